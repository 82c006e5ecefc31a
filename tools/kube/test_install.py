"""The chart on a real API server: what it refuses, every tier from `helm install --wait` to `helm uninstall`, all sixteen combinations."""

import json
import re
import tempfile
import time
import unittest

import cell
import chart

NAMESPACES = ["helios-flows", "helios-collection", "helios-storage", "helios-visualization", "helios-integration", "helios-automation"]
RELEASE = ("--namespace", "helios-system", "--create-namespace")
# Of the combinations with the most parts.
TLS = [("helios-storage", "helios-thanos-tls", ["tls.crt", "tls.key", "ca.crt"])]


# Values that no tier has, each accepted as well. The namespaces are those that exist.
ODD = [
    {"flows": {"mode": "daemonset"}},
    {"flows": {"mode": "daemonset", "daemonset": {"takeover": False}}},
    {"flows": {"mode": "deployment", "service": {"type": "NodePort", "annotations": {"example.net/pool": "flows"}}},
     "global": {"clickhouse": {"mode": "external", "url": "https://clickhouse.example.net:8443", "cluster": "main", "tlsSecret": "clickhouse-tls"}}},
    {"global": {"imageRegistry": "registry.example.net:5000/mirror", "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "helios", "operator": "Exists"}], "priorityClassName": "system-cluster-critical", "storageClass": "fast",
                "network": {"deviceCidrs": ["2001:db8::/32"], "serviceCidrs": ["::/0"], "nodeCidrs": ["fd00::/8"]},
                "netbox": {"url": "https://[2001:db8::1]:8443/netbox/", "ca": True}, "clickhouse": {"tlsSecret": "clickhouse-tls"}},
     "integration": {"source": "netbox", "staticDevices": [{"name": "v6", "address": "2001:db8::2"}]},
     "automation": {"scriptImages": ["registry.example.net/checks:1.0"], "groups": {"author": ["a:b"], "requester": ["c d"], "approver": ["é"], "auditor": ["e"]}},
     "collection": {"gnmic": {"caSecret": "devices-ca", "replicas": 200}},
     "storage": {"prometheus": {"shards": 64, "replicas": 3, "kubeStateMetrics": ""}, "ruler": {"enabled": False}, "thanos": {"query": {"externalServiceType": "NodePort"}}},
     "visualization": {"grafana": {"ingress": {"enabled": True, "className": "nginx", "tlsSecret": "grafana-tls"}, "rootUrl": "https://grafana.example.net"},
                       "alertmanager": {"existingSecret": "alertmanager", "replicas": 5}}},
    {part: {"enabled": False} for part in ("collection", "storage", "visualization", "integration", "automation")},
]


def references(node):
    """Names of Secrets without which a pod does not start, or an operator does not do its work."""
    if isinstance(node, list):
        for value in node:
            yield from references(value)
    if not isinstance(node, dict) or node.get("optional") or node.get("kind") == "Ingress":
        return
    for key, value in node.items():
        if key in ("secretName", "configSecret"):
            yield value
        elif key in ("secretKeyRef", "secretRef", "objectStorageConfig", "secret") and isinstance(value, dict) and "name" in value and not value.get("optional"):
            yield value["name"]
        else:
            yield from references(value)


def files(*names):
    return [argument for name in names for argument in ("-f", str(chart.CHART / f"values-{name}.yaml"))]


class Install(unittest.TestCase):
    """One cluster; the tests run in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cell = cell.Cell(cls.folder.name)
        cls.addClassCleanup(cls.cell.cluster.down)

    def install(self, *names, verb="install", check=True):
        started = time.monotonic()
        done = self.cell.helm(verb, "helios", chart.CHART, *files(*names), *RELEASE, "--wait", "--timeout", "10m", check=check)
        if check:
            self.assertNotIn("would violate PodSecurity", done.stderr)
            print(f"kube: {verb} {', '.join(names) or 'defaults'}: ready after {time.monotonic() - started:.0f} s")
        return done

    def test_1_an_operator_that_is_missing_is_named_with_the_command(self):
        done = self.install("small", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Prometheus Operator is not installed", done.stderr)
        self.assertIn("helm install helios-operators chart/operators", done.stderr)

    def test_2_secrets_that_are_missing_are_named_with_their_commands(self):
        type(self).real_clickhouse = self.cell.definitions()
        done = self.install("small", check=False)
        self.assertNotEqual(done.returncode, 0)
        named = re.findall(r"kubectl create secret generic (\S+) -n (\S+)", done.stderr)
        self.assertEqual(sorted(named), [
            ("gnmic-credentials", "helios-collection"), ("helios-clickhouse", "helios-flows"), ("helios-clickhouse", "helios-visualization"),
            ("helios-grafana", "helios-visualization"), ("helios-objstore", "helios-storage"), ("snmp-credentials", "helios-collection")])
        self.cell.namespaces("small")
        self.cell.secrets([("helios-flows", "helios-clickhouse", ["helios", "grafana"]), ("helios-visualization", "helios-clickhouse", ["grafana"]),
                           ("helios-collection", "gnmic-credentials", ["username", "password"]), ("helios-collection", "snmp-credentials", ["community"]),
                           ("helios-visualization", "helios-grafana", ["admin-user", "admin-password"]), *TLS])
        # What else the values need of the cluster.
        done = self.cell.helm("install", "helios", chart.CHART, *RELEASE, "--set", "visualization.grafana.route.enabled=true",
                              "--set", "visualization.grafana.route.parentRefs[0].name=public", "--dry-run=server", check=False)
        self.assertIn("visualization.grafana.route needs the Gateway API", done.stderr)
        # A key that is missing counts as well.
        self.cell.secrets([("helios-storage", "helios-objstore", ["objstore.yml"])])
        done = self.install("small", check=False)
        self.assertIn("helios-objstore in helios-storage lacks s3.json", done.stderr)
        self.cell.kubectl("delete", "secret", "helios-objstore", "-n", "helios-storage")
        self.cell.secrets([("helios-storage", "helios-objstore", ["objstore.yml", "s3.json", "replica.yml"])])

    def test_2a_every_secret_that_a_pod_needs_is_asked_for(self):
        values = {"global": {"netbox": {"url": "https://netbox.example.net", "ca": True}, "clickhouse": {"tlsSecret": "clickhouse-tls", "runbooks": True}},
                  "integration": {"source": "netbox"}, "collection": {"gnmic": {"caSecret": "devices-ca"}},
                  "visualization": {"alertmanager": {"existingSecret": "alertmanager"}}}
        needed = set()
        for o in chart.objects("medium", "storage-multi-dc", values=values):
            for secret in references(o):
                needed.add((secret, o["metadata"].get("namespace")))
        file = self.cell.folder / "every-secret.yaml"
        file.write_text(json.dumps(values))
        present = {(s["metadata"]["name"], s["metadata"]["namespace"]) for s in self.cell.get("secrets", "-A")["items"]}
        done = self.cell.helm("install", "helios", chart.CHART, *files("medium", "storage-multi-dc"), "-f", file, *RELEASE, "--dry-run=server", check=False)
        named = set(re.findall(r"kubectl create secret generic (\S+) -n (\S+)", done.stderr))
        # What a secret that is there lacks is asked for as well, so `named` may have some of `present`.
        self.assertEqual(needed - present - named, set(), done.stderr)
        self.assertEqual({name for name, _ in named - needed}, {"helios-runbook-secrets"}, "asked for, and no pod needs it")
        self.assertIn("--from-file=ca.crt=FILE", next(line for line in done.stderr.splitlines() if "generic helios-netbox -n helios-flows" in line))

    def test_3_every_combination_is_accepted_by_the_server(self):
        # Created and rolled back by the server: names, label values, schemas of all resources, unknown fields, RBAC. Most objects are the
        # same in several combinations: each form of an object is asked once.
        combinations = {(tier, storage): chart.objects(tier, f"storage-{storage}") for tier in chart.TIERS for storage in chart.STORAGES}
        odd = [chart.objects(values=values) for values in ODD]
        forms = {json.dumps(o, sort_keys=True) for rendered in [*combinations.values(), *odd] for o in rendered}
        text = "\n---\n".join(forms)
        done = self.cell.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=text, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        # The pods with the nodes' network belong into a namespace that the values make privileged; here it exists and is restricted.
        self.assertEqual([line for line in done.stderr.splitlines() if "would violate" in line and "hostNetwork=true" not in line], [])
        self.assertEqual(len(done.stdout.splitlines()), len(forms))
        for names, rendered in combinations.items():
            print(f"kube: {', '.join(names)}: {len(rendered)} objects accepted")
        print(f"kube: {len(forms)} forms of objects; ClickHouse by {'its own' if self.real_clickhouse else 'no'} schema")

    def test_4_the_server_refuses_a_pod_that_is_not_restricted(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
        for namespace in NAMESPACES:
            done = self.cell.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod), check=False)
            self.assertIn("violates PodSecurity \"restricted", done.stderr, namespace)

    def test_5_every_tier_installs_and_upgrades(self):
        self.install("small")
        self.check_pods()
        for tier in ("medium", "large", "xl"):
            self.install(tier, verb="upgrade")
            self.check_pods()
        self.assertEqual(len(self.cell.get("pods", "-n", "helios-collection", "-l", "app.kubernetes.io/name=gnmic")["items"]), 10)
        # Volumes keep their size, and the notes say how they grow.
        notes = self.cell.helm("get", "notes", "helios", "--namespace", "helios-system").stdout
        self.assertRegex(notes, r"grep /data-seaweedfs-\).*4500Gi.*has 120Gi")

    def test_6_helios_targets_writes_what_the_collectors_mount_with_the_rights_of_its_account(self):
        """The CronJob's command as a process here, with a token of its account and the configuration that the chart wrote."""
        devices = [{"name": f"edge-{n}", "address": f"192.0.2.{n}", "site": "Zurich", "platform": "eos" if n % 2 else "unknown"} for n in range(1, 101)]
        self.cell.targets(devices)
        # What is mounted is what was written: a part for each gnmic pod, and Prometheus' lists.
        gnmic = self.cell.get("statefulset", "gnmic", "-n", "helios-collection")["spec"]
        names = [s["configMap"]["name"] for v in gnmic["template"]["spec"]["volumes"] if v["name"] == "targets" for s in v["projected"]["sources"]]
        self.assertEqual(len(names), gnmic["replicas"])
        found = [n for name in names for n in re.findall(r'"(edge-\d+)":', self.cell.get("configmap", name, "-n", "helios-collection")["data"]["gnmic.yaml"])]
        self.assertEqual(sorted(found), sorted(f"edge-{n}" for n in range(1, 101, 2)))
        snmp = self.cell.get("configmap", "helios-targets-snmp-0", "-n", "helios-storage")["data"]["snmp.json"]
        self.assertEqual(len(json.loads(snmp)), 50)
        # The operator's executors have the same lists, in their own namespace.
        operator = self.cell.get("deployment", "helios-operator", "-n", "helios-automation")["spec"]["template"]["spec"]["containers"][0]
        maps = next(e["value"] for e in operator["env"] if e["name"] == "DEVICE_MAPS").split(",")
        found = [n for name in maps for n in re.findall(r'"(edge-\d+)":', self.cell.get("configmap", name, "-n", "helios-automation")["data"]["gnmic.yaml"])]
        self.assertEqual(sorted(found), sorted(f"edge-{n}" for n in range(1, 101, 2)))
        # And its account may do nothing else.
        for verb, what, namespace in (("get", "secrets", "helios-collection"), ("delete", "configmaps", "helios-collection"), ("create", "configmaps", "helios-flows")):
            answer = self.cell.kubectl("auth", "can-i", verb, what, "-n", namespace, "--as=system:serviceaccount:helios-integration:targets", check=False)
            self.assertEqual(answer.stdout.strip(), "no", f"{verb} {what} in {namespace}")

    def test_7_the_tests_of_the_release_pass(self):
        done = self.cell.helm("test", "helios", "--namespace", "helios-system", "--timeout", "3m")
        self.assertEqual(done.stdout.count("Phase:          Succeeded"), 2, done.stdout)

    def test_8_a_rollback_goes_back_to_the_tier_before(self):
        self.cell.helm("rollback", "helios", "3", "--namespace", "helios-system", "--wait", "--timeout", "10m")
        self.cell.wait_for("five gnmic pods", lambda: len(self.cell.get("pods", "-n", "helios-collection", "-l", "app.kubernetes.io/name=gnmic")["items"]) == 5)
        self.check_pods()

    def test_9_the_parts_of_several_datacenters_install(self):
        self.install("medium", "storage-multi-dc", verb="upgrade")
        names = {o["metadata"]["name"] for o in self.cell.get("deployments", "-n", "helios-storage")["items"]}
        self.assertLessEqual({"thanos-query", "thanos-query-global", "thanos-replicate"}, names)

    def test_9z_uninstalling_keeps_namespaces_secrets_and_volumes(self):
        claims = {c["metadata"]["name"] for c in self.cell.get("pvc", "-A")["items"]}
        self.cell.helm("uninstall", "helios", "--namespace", "helios-system", "--wait")
        for namespace in NAMESPACES:
            self.assertEqual(self.cell.get("namespace", namespace)["status"]["phase"], "Active")
            left = self.cell.get("deployments,statefulsets,daemonsets,cronjobs,networkpolicies,services,roles,rolebindings", "-n", namespace)["items"]
            self.assertEqual([f"{o['kind']} {o['metadata']['name']}" for o in left], [], namespace)
        self.assertEqual({c["metadata"]["name"] for c in self.cell.get("pvc", "-A")["items"]}, claims)
        self.assertTrue(self.cell.get("secret", "helios-objstore", "-n", "helios-storage"))
        # And it installs again into what was left.
        self.install("small")

    def check_pods(self):
        """Every pod of Helios is ready: admitted by PodSecurity, scheduled, its volumes bound."""
        def waiting():
            pods = [p for n in NAMESPACES for p in self.cell.get("pods", "-n", n)["items"] if p["status"]["phase"] not in ("Succeeded",)]
            return [p["metadata"]["name"] for p in pods if not self.cell.cluster.is_ready(p)]
        self.cell.wait_for("ready pods", lambda: not waiting())
        refused = [e["message"] for e in self.cell.get("events", "-A")["items"] if e["reason"] == "FailedCreate"]
        self.assertEqual(refused, [])


if __name__ == "__main__":
    unittest.main()
