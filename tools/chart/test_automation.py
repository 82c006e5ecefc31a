"""Runbooks: definitions, policies and roles are the repository's; the operator gets the lists of devices that are written for it."""

import json
import unittest

import chart
import yaml

DEPLOY = chart.ROOT / "deploy/runbooks"


def documents(path):
    return [o for o in yaml.load_all(path.read_text(), chart.LOADER) if o]


def bare(o):
    """An object without what the chart adds."""
    return {**o, "metadata": {"name": o["metadata"]["name"]}}


class Automation(unittest.TestCase):
    def test_definitions_are_those_of_the_operator(self):
        text = chart.template(options=["--include-crds"])
        made = {o["metadata"]["name"]: o for o in yaml.load_all(text, chart.LOADER) if o and o["kind"] == "CustomResourceDefinition"}
        ours = {o["metadata"]["name"]: o for path in (chart.ROOT / "runbooks/crds").glob("*.yaml") for o in documents(path)}
        self.assertEqual(made, ours)
        self.assertEqual(len(made), 3)

    def test_policies_and_roles_are_those_of_deploy(self):
        rendered = {(o["kind"], o["metadata"]["name"]): o for o in chart.objects(values={"global": {"namespaces": {"automation": "robots"}}})}
        for file in ("policies.yaml", "roles.yaml"):
            for o in documents(DEPLOY / file):
                made = rendered[o["kind"], o["metadata"]["name"]]
                self.assertEqual(bare(made), bare(o))
                self.assertEqual(made["metadata"].get("namespace"), "robots" if o["kind"] == "Role" else None)
        without = {o["kind"] for o in chart.objects(values={"automation": {"policies": False}})}
        self.assertFalse({kind for kind in without if kind.startswith("ValidatingAdmissionPolicy")})

    def test_executors_have_the_lists_that_are_written_into_their_namespace(self):
        for tier in chart.TIERS:
            by = {(o["kind"], o["metadata"]["name"]): o["spec"] for o in chart.objects(tier) if "spec" in o}
            operator = by["Deployment", "helios-operator"]["template"]["spec"]["containers"][0]
            environment = {e["name"]: e.get("value") for e in operator["env"]}
            parts = by["StatefulSet", "gnmic"]["replicas"]
            self.assertEqual(environment["DEVICE_MAPS"].split(","), [f"helios-targets-gnmic-{n}" for n in range(parts)])
            self.assertEqual(environment["EXECUTOR_IMAGE"], operator["image"])
            writers = by["CronJob", "targets"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
            self.assertEqual([c["env"][0]["value"] for c in writers], ["helios-collection", "helios-storage", "helios-automation"])

    def test_neither_operator_nor_executor_may_read_secrets(self):
        for o in chart.objects(values={"automation": {"samples": True}}):
            if o["kind"] in ("Role", "ClusterRole") and o["metadata"].get("namespace") == "helios-automation":
                for rule in o["rules"]:
                    self.assertFalse({"secrets", "*"} & set(rule["resources"]), o["metadata"]["name"])
                    self.assertNotIn("*", rule["verbs"])
            self.assertNotIn(o["kind"], ("ClusterRole", "ClusterRoleBinding"))

    def test_executors_may_create_jobs_only_where_scripts_are_allowed(self):
        for images in ([], ["registry.example/echo:1"]):
            rendered = {(o["kind"], o["metadata"]["name"]): o for o in chart.objects(values={"automation": {"scriptImages": images}})}
            resources = {resource for rule in rendered["Role", "helios-executor"]["rules"] for resource in rule["resources"]}
            self.assertEqual("jobs" in resources, bool(images))
            operator = rendered["Deployment", "helios-operator"]["spec"]["template"]["spec"]["containers"][0]
            servers = json.loads({e["name"]: e.get("value") for e in operator["env"]}["HELIOS_SERVERS"])
            self.assertEqual(servers["script_images"], images)
            policies = {o["metadata"]["name"] for o in rendered.values() if o["kind"] == "NetworkPolicy" and o["metadata"]["namespace"] == "helios-automation"}
            self.assertEqual("helios-script" in policies, bool(images))

    def test_groups_get_their_role_and_no_other(self):
        groups = {"author": ["architects"], "approver": ["noc", "oncall"]}
        bound = {o["roleRef"]["name"]: [s["name"] for s in o["subjects"]] for o in chart.objects(values={"automation": {"groups": groups}})
                 if o["kind"] == "RoleBinding" and o["subjects"][0]["kind"] == "Group"}
        self.assertEqual(bound, {f"helios-runbook-{role}": names for role, names in groups.items()})

    def test_samples_are_the_repositorys_ten(self):
        made = {o["metadata"]["name"]: o["spec"] for o in chart.objects(values={"automation": {"samples": True}}) if o["kind"] == "Runbook"}
        ours = {o["metadata"]["name"]: o["spec"] for path in (chart.ROOT / "runbooks/samples").glob("*.yaml") for o in documents(path)}
        self.assertEqual(made, ours)
        self.assertEqual(len(made), 10)
        self.assertFalse([o for o in chart.objects() if o["kind"] == "Runbook"])

    def test_a_cluster_without_policies_is_refused_unless_it_is_meant(self):
        old = ["--kube-version", "1.29.0"]
        with self.assertRaises(chart.Refused) as refused:
            chart.template(options=old)
        self.assertIn("automation.policies=false", str(refused.exception))
        chart.template(options=old, values={"automation": {"policies": False}})

    def test_clickhouse_is_asked_where_its_user_is_made(self):
        for runbooks in (False, True):
            rendered = chart.objects(values={"global": {"clickhouse": {"runbooks": runbooks}}})
            by = {(o["kind"], o["metadata"]["name"]): o["spec"] for o in rendered if "spec" in o}
            users = by["ClickHouseInstallation", "helios"]["configuration"]["users"]
            servers = {e["name"]: e.get("value") for e in by["Deployment", "helios-operator"]["template"]["spec"]["containers"][0]["env"]}["HELIOS_SERVERS"]
            self.assertEqual("runbooks/password" in users, runbooks)
            self.assertEqual("clickhouse_url" in servers, runbooks)

    def test_an_authority_of_ones_own_is_trusted_where_clickhouse_or_the_values_want_it(self):
        for values, ca_file in (({}, None), ({"global": {"clickhouse": {"tlsSecret": "own"}}}, None), ({"automation": {"serversCa": True}}, "/etc/helios/secrets/ca.crt"),
                                ({"global": {"clickhouse": {"tlsSecret": "own", "runbooks": True}}}, "/etc/helios/secrets/ca.crt")):
            values = {**values, "automation": {**values.get("automation", {}), "serversSecret": "servers"}}
            operator = next(o for o in chart.objects(values=values) if (o["kind"], o["metadata"]["name"]) == ("Deployment", "helios-operator"))["spec"]["template"]["spec"]
            environment = {e["name"]: e.get("value") for e in operator["containers"][0]["env"]}
            self.assertEqual(json.loads(environment["HELIOS_SERVERS"]).get("ca_file"), ca_file)
            # The operator's own pod has the secret in the folder of this file, and it gives the secret's name to executors.
            self.assertEqual(environment["SERVERS_SECRET"], "servers")
            self.assertIn("servers", [source["secret"]["name"] for source in operator["volumes"][0]["projected"]["sources"]])

    def test_hosts_that_steps_may_ask_are_let_out(self):
        hosts = ["alertmanager-operated.helios-visualization.svc:9093", "[2001:db8::1]:8443", "netbox.example.net:443"]
        policies = {o["metadata"]["name"]: o["spec"] for o in chart.objects(values={"automation": {"httpHosts": hosts}}) if o["kind"] == "NetworkPolicy"}
        out = {p["port"] for hole in policies["helios-executor"]["egress"] for p in hole.get("ports", []) if any("ipBlock" in peer for peer in hole["to"])}
        self.assertLessEqual({9093, 8443, 443}, out)


if __name__ == "__main__":
    unittest.main()
