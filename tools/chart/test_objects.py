"""Objects: pod security, no credentials, images, network policies against the ports of pods, tokens, probes, stop times."""

import json
import re
import unittest

import chart
from test_values import merge

FULL = {"automation": {"samples": True, "scriptImages": ["registry.example.net/checks:1.0"], "groups": {"approver": ["network"]}}, "global": {"netbox": {"url": "https://netbox.example.net"}, "clickhouse": {"runbooks": True}}, "integration": {"source": "netbox"},
        "visualization": {"grafana": {"ingress": {"enabled": True}}, "alertmanager": {"existingSecret": "alertmanager"}}}
# One rendering for each kind of thing that the values can make.
RENDERINGS = {
    "small": chart.objects(),
    "all parts, several datacenters": chart.objects("medium", "storage-multi-dc", values=FULL),
    "xl with a cloud's objects": chart.objects("xl", "storage-cloud-s3"),
    "daemonset": chart.objects(values={"flows": {"mode": "daemonset"}}),
    "deployment, external ClickHouse": chart.objects(values={"flows": {"mode": "deployment"}, "global": {"clickhouse": {"mode": "external", "url": "https://clickhouse.example.net:8443"}}}),
    "TLS everywhere": chart.objects(values={"global": {"clickhouse": {"tlsSecret": "clickhouse-tls"}}, "collection": {"gnmic": {"caSecret": "devices-ca"}}}),
}
# Who asks the API server.
TOKENS = {"targets", "helios-operator"}
# Images that a release may name, by where they come from.
REGISTRIES = {
    "ghcr.io/helios/", "ghcr.io/openconfig/gnmic", "docker.io/clickhouse/", "docker.io/prom/", "docker.io/grafana/grafana", "docker.io/chrislusf/seaweedfs",
    "docker.io/library/busybox", "quay.io/prometheus/", "quay.io/thanos/thanos",
}


def every(kinds=None):
    for name, rendered in RENDERINGS.items():
        for o in rendered:
            if kinds is None or o["kind"] in kinds:
                yield name, o


def pods():
    for name, rendered in RENDERINGS.items():
        for o, pod in chart.pod_specs(rendered):
            yield f"{name}: {o['kind']} {o['metadata']['name']}", o, pod


def images(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from images(value)
    elif isinstance(node, list):
        for value in node:
            yield from images(value)


def spreads(node):
    if isinstance(node, dict):
        yield from node.get("topologySpreadConstraints") or []
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from spreads(value)


class Objects(unittest.TestCase):
    def test_pods_are_restricted(self):
        for name, o, pod in pods():
            host = pod["spec"].get("hostNetwork", False)
            with self.subTest(name):
                self.assertEqual(host, o["kind"] == "DaemonSet")
                spec = pod["spec"]
                self.assertTrue(spec["securityContext"]["runAsNonRoot"])
                self.assertGreater(spec["securityContext"]["runAsUser"], 0)
                self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                for container in [*spec["containers"], *([] if host else spec.get("initContainers", []))]:
                    security = container["securityContext"]
                    self.assertEqual(security, {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                    self.assertIn("memory", container["resources"]["limits"])
                    self.assertIn("cpu", container["resources"]["requests"])

    def test_only_who_asks_the_api_server_has_a_token(self):
        for name, o, pod in pods():
            with self.subTest(name):
                self.assertEqual(pod["spec"]["automountServiceAccountToken"], o["metadata"]["name"] in TOKENS)

    def test_every_container_that_stays_has_probes(self):
        for name, o, pod in pods():
            if o["kind"] in ("Job", "CronJob", "Pod") or o["kind"].startswith("ClickHouse"):
                continue  # the ClickHouse operator adds its own
            for container in pod["spec"]["containers"]:
                with self.subTest(name):
                    self.assertIn("readinessProbe", container)
                    self.assertIn("livenessProbe", container)

    def test_no_credential_is_rendered(self):
        for name, o in every():
            self.assertNotEqual(o["kind"], "Secret", f"{name}: {o['metadata']['name']}")
            text = json.dumps(o)
            for word in re.findall(r'"(?:password|token|community|access_key|secret_key)": "([^"]+)"', text):
                self.fail(f"{name}: {o['metadata']['name']} holds {word}")
            for value in re.findall(r"(?:password|token|community|access_key|secret_key): *([^\\\"{}\s]+)", text):
                self.assertTrue(value.startswith("$") or value.startswith("'%s'"), f"{name}: {o['metadata']['name']}: {value}")

    def test_images_have_a_version_and_a_known_origin(self):
        for name, o in every():
            for image in images(o):
                with self.subTest(f"{name}: {image}"):
                    self.assertRegex(image, r":v?[0-9][^:/]*$")
                    self.assertTrue(any(image.startswith(known) for known in REGISTRIES))

    def test_helios_own_images_are_those_that_make_builds(self):
        makefile = (chart.ROOT / "Makefile").read_text()
        registry, version, names = (re.search(rf"^{name} [?:]= (.+)$", makefile, re.M)[1] for name in ("REGISTRY", "VERSION", "IMAGES"))
        built = {f"{registry}/{name}:{version}" for name in names.split()}
        self.assertEqual({image for o in chart.objects() for image in images(o) if "/helios" in image}, built)
        dockerfile = (chart.ROOT / "Dockerfile").read_text()
        self.assertEqual(set(re.findall(r"distroless/static-debian12:nonroot AS (\S+)", dockerfile)), set(names.split()))

    def test_one_registry_replaces_all(self):
        for o in chart.objects("medium", "storage-multi-dc", values={"global": {"imageRegistry": "mirror.example.net/proxy"}}):
            for image in images(o):
                self.assertTrue(image.startswith("mirror.example.net/proxy/"), image)

    def test_a_part_that_is_off_leaves_nothing_in_its_namespace(self):
        for part in ("flows", "collection", "storage", "visualization", "integration", "automation"):
            off = {part: {"enabled": False}, **({"integration": {"enabled": False}} if part in ("collection", "storage") else {})}
            rendered = chart.objects(values=off)
            there = {o["metadata"]["name"] for o in rendered if o["kind"] == "Namespace"}
            self.assertNotIn(f"helios-{part}", there)
            elsewhere = {f"{o['kind']} {o['metadata']['name']}" for o in rendered if "namespace" in o["metadata"] and o["metadata"]["namespace"] not in there}
            self.assertEqual(elsewhere, set(), part)

    def test_a_digest_takes_precedence_over_a_tag(self):
        digest = "sha256:" + "a" * 64
        rendered = chart.objects(values={"flows": {"image": {"digest": digest}}})
        self.assertIn(f"ghcr.io/helios/helios@{digest}", {image for o in rendered for image in images(o)})

    def test_secrets_that_pods_name_are_those_that_the_check_asks_for(self):
        known = {"helios-clickhouse", "gnmic-credentials", "snmp-credentials", "helios-objstore", "helios-grafana", "helios-netbox"}
        optional = {"helios-thanos-tls", "clickhouse-tls", "devices-ca", "alertmanager", "helios-operator", "helios-runbook-secrets"}
        for name, o in every():
            for secret in re.findall(r'"secretName": "([^"]+)"|"secret(?:Key)?Ref": {[^}]*"name": "([^"]+)"', json.dumps(o)):
                self.assertIn("".join(secret), known | optional, f"{name}: {o['metadata']['name']}")

    def test_a_stop_has_more_time_than_the_pipeline_takes(self):
        for seconds in (10, 60):
            rendered = chart.objects(values={"flows": {"shutdownTimeoutMs": seconds * 1000}})
            pod = next(pod for o, pod in chart.pod_specs(rendered) if o["metadata"]["name"] == "helios" and o["kind"] == "StatefulSet")
            config = next(o for o in rendered if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "helios")["data"]["helios.yaml"]
            self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"], seconds)
            self.assertIn(f"shutdown_timeout_ms: {seconds * 1000}", config)

    def test_more_than_one_pod_has_a_budget_and_one_has_none(self):
        for name, rendered in RENDERINGS.items():
            budgets = {o["metadata"]["name"] for o in rendered if o["kind"] == "PodDisruptionBudget"}
            several = {o["metadata"]["name"] for o in rendered if o["kind"] in ("Deployment", "StatefulSet") and o["spec"]["replicas"] > 1}
            single = {o["metadata"]["name"] for o in rendered if o["kind"] in ("Deployment", "StatefulSet") and o["spec"]["replicas"] == 1}
            self.assertLessEqual(several, budgets, name)
            self.assertFalse(single & budgets, name)

    def test_budgets_and_spread_select_pods_whatever_the_releases_name_is(self):
        for release in ("helios", "other"):
            rendered = chart.objects("medium", release=release)
            labels = [pod["metadata"]["labels"] for _, pod in chart.pod_specs(rendered)]
            # The Prometheus Operator labels its pods with the name of its resource.
            made = {"Prometheus": "prometheus", "Alertmanager": "alertmanager", "ThanosRuler": "thanos-ruler"}
            for o in rendered:
                if o["kind"] in made:
                    self.assertGreater(o["spec"]["replicas"], 1)
                    labels.append({"app.kubernetes.io/name": made[o["kind"]], "app.kubernetes.io/instance": o["metadata"]["name"]})
            selectors = {f"{o['kind']} {o['metadata']['name']}": o["spec"]["selector"]["matchLabels"] for o in rendered if o["kind"] == "PodDisruptionBudget"}
            self.assertLessEqual(set(made.values()), {name.split()[1] for name in selectors})
            for o in rendered:
                for spread in spreads(o):
                    selectors[f"spread of {o['kind']} {o['metadata']['name']}"] = spread["labelSelector"]["matchLabels"]
            for name, selector in selectors.items():
                self.assertTrue(any(selector.items() <= of.items() for of in labels), f"{release}: {name} selects no pod: {selector}")

    def test_each_part_has_its_own_place_beside_the_one_of_all(self):
        place = {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "fast", "operator": "Exists"}], "affinity": {"podAffinity": {}}, "priorityClassName": "high",
                 "topologySpreadConstraints": []}
        every_part = {}
        for path, _ in chart.leaves(chart.default_values()):
            if path[-1] == "pod":
                every_part = merge(every_part, chart.nested(path, place))
        rendered = chart.objects("medium", "storage-multi-dc", values=merge(every_part, {"global": {"nodeSelector": {"all": "nodes"}, "priorityClassName": "low"}}))
        fields = {k: v for k, v in place.items() if v}
        specs = [(o, o["spec"]) for o in rendered if o["kind"] in ("Prometheus", "Alertmanager", "ThanosRuler")]
        specs += [(o, pod["spec"]) for o, pod in chart.pod_specs(rendered) if not o["metadata"]["name"].startswith("helios-test")]
        self.assertGreaterEqual(len(specs), 20)
        for o, spec in specs:
            self.assertEqual({k: spec.get(k) for k in fields}, fields, f"{o['kind']} {o['metadata']['name']}")

    def test_the_bucket_is_made_while_the_store_waits_for_it(self):
        def job(**values):
            rendered = chart.objects(values={"storage": {"objectStorage": values}})
            return next(o for o in rendered if o["kind"] == "Job" and o["metadata"]["name"].startswith("seaweedfs-bucket-"))
        # A hook would run when `helm install --wait` has seen the store ready, which it is not without its bucket.
        self.assertNotIn("annotations", job()["metadata"])
        self.assertIn("helios-metrics", job()["spec"]["template"]["spec"]["containers"][0]["args"][0])
        # A Job's template cannot change.
        self.assertEqual(job()["metadata"]["name"], job(accountAnnotations={"a": "b"})["metadata"]["name"])
        self.assertNotEqual(job()["metadata"]["name"], job(bucket="other")["metadata"]["name"])

    def test_of_kube_state_metrics_only_the_targets_cronjob_is_kept(self):
        scrape = next(o for o in chart.objects(values={"global": {"namespaces": {"integration": "sync"}}}) if o["metadata"]["name"] == "helios-kube-state-metrics")
        keep = scrape["spec"]["metricRelabelings"][0]["regex"]
        read = set(re.findall(r"kube_\w+", "".join(p.read_text() for p in (chart.ROOT / "alerts").rglob("*.yaml") if p.parent.name != "tests")))
        self.assertTrue(read)
        for name in read:
            self.assertRegex(f"{name};sync", f"^{keep}$")
        self.assertNotRegex("kube_pod_info;sync", f"^{keep}$")

    def test_clickhouses_image_writes_nothing_into_what_the_operator_mounts(self):
        pods = [pod for o, pod in chart.pod_specs(chart.objects()) if o["kind"] == "ClickHouseInstallation"]
        self.assertEqual([pod["spec"]["containers"][0]["env"] for pod in pods], [[{"name": "CLICKHOUSE_SKIP_USER_SETUP", "value": "1"}]])

    def test_grafanas_user_has_the_limits_of_the_one_of_deploy(self):
        profiles = next(o for o in chart.objects() if o["kind"] == "ClickHouseInstallation")["spec"]["configuration"]["profiles"]
        settings = (chart.ROOT / "deploy/grafana/clickhouse-user.sql").read_text().split("SETTINGS")[1].split(";")[0]
        self.assertEqual(profiles, {f"grafana/{name}": value for name, value in re.findall(r"(\w+) = (\d+)", settings)})

    def test_namespaces_enforce_restricted_but_for_the_hosts_network(self):
        for name, rendered in RENDERINGS.items():
            levels = {o["metadata"]["name"]: o["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for o in rendered if o["kind"] == "Namespace"}
            self.assertEqual(len(levels), 6)
            privileged = {n for n, level in levels.items() if level != "restricted"}
            self.assertEqual(privileged, {"helios-flows"} if name == "daemonset" else set())

    def test_addresses_of_exporters_are_kept(self):
        for name, o in every({"Service"}):
            if o["metadata"]["name"] == "helios":
                self.assertEqual((o["spec"]["externalTrafficPolicy"], o["spec"]["sessionAffinity"]), ("Local", "ClientIP"), name)

    def test_a_port_of_the_nodes_is_kept(self):
        rendered = chart.objects(values={"flows": {"service": {"type": "NodePort"}, "ports": [{"name": "netflow", "port": 2055, "nodePort": 32055}, {"name": "sflow", "port": 6343}]}})
        ports = next(o for o in rendered if o["kind"] == "Service" and o["metadata"]["name"] == "helios")["spec"]["ports"]
        self.assertEqual([p.get("nodePort") for p in ports], [32055, None])

    def test_prometheus_may_look_where_podmonitors_send_it(self):
        cases = {**RENDERINGS, "flows are elsewhere": chart.objects(values={"flows": {"enabled": False}})}
        for name, rendered in cases.items():
            sent = {n for o in rendered if o["kind"] == "PodMonitor" for n in o["spec"]["namespaceSelector"]["matchNames"]}
            allowed = {o["metadata"]["namespace"] for o in rendered if o["kind"] == "RoleBinding" and o["metadata"]["name"] == "helios-prometheus"}
            self.assertEqual(sent, allowed, name)
        self.assertIn("helios-flows", {o["metadata"]["name"] for o in RENDERINGS["daemonset"] if o["kind"] == "PodMonitor"})

    def test_the_object_storage_finds_its_own_parts_before_it_is_ready(self):
        by = {(o["kind"], o["metadata"]["name"]): o["spec"] for o in chart.objects() if "spec" in o}
        service, server = by["Service", "seaweedfs"], by["StatefulSet", "seaweedfs"]
        self.assertEqual((service["clusterIP"], service["publishNotReadyAddresses"]), ("None", True))
        arguments = server["template"]["spec"]["containers"][0]["args"]
        self.assertIn(f"-ip=seaweedfs-0.{server['serviceName']}.helios-storage.svc", arguments)
        # An address of IPv4 alone would not answer in a cluster of IPv6.
        self.assertIn("-ip.bind=$(POD_IP)", arguments)

    def test_relabelings_name_the_default_action(self):
        # The API server adds it, and Argo CD would sync for ever what it finds changed.
        for name, o in every({"ScrapeConfig", "PodMonitor"}):
            for part in [o["spec"], *o["spec"].get("podMetricsEndpoints", [])]:
                self.assertEqual([r for r in part.get("relabelings", []) if "action" not in r], [], f"{name}: {o['metadata']['name']}")

    def test_a_takeover_has_what_it_needs(self):
        sets = {o["metadata"]["name"]: o["spec"] for o in RENDERINGS["daemonset"] if o["kind"] == "DaemonSet"}
        self.assertEqual(set(sets), {"helios-a", "helios-b"})
        for slot, port in (("a", 8080), ("b", 8081)):
            spec = sets[f"helios-{slot}"]
            pod = spec["template"]["spec"]
            helios = pod["containers"][0]
            self.assertEqual(spec["updateStrategy"], {"type": "OnDelete"})
            self.assertEqual(pod["nodeSelector"], {f"helios.io/flows-{slot}": "run"})
            # Ports in the specification would be the node's, and keep the second pod from it.
            self.assertNotIn("ports", helios)
            self.assertIn("--takeover", helios["args"])
            self.assertEqual(helios["env"], [{"name": "HELIOS_ADMIN__LISTEN", "value": f"[::]:{port}"}])
            self.assertEqual({p["httpGet"]["port"] for p in (helios["readinessProbe"], helios["livenessProbe"], helios["startupProbe"])}, {port})
        self.assertEqual(sets["helios-a"]["template"]["spec"]["volumes"], sets["helios-b"]["template"]["spec"]["volumes"])


class Network(unittest.TestCase):
    def policies(self, rendered):
        return {(o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"] for o in rendered if o["kind"] == "NetworkPolicy"}

    def test_every_pod_has_a_policy_of_its_own_and_every_namespace_denies_by_default(self):
        for name, rendered in RENDERINGS.items():
            policies = self.policies(rendered)
            for namespace in (o["metadata"]["name"] for o in rendered if o["kind"] == "Namespace"):
                default = policies[namespace, "helios-default"]
                self.assertEqual((default["podSelector"], default["policyTypes"]), ({}, ["Ingress", "Egress"]))
            for o, pod in chart.pod_specs(rendered):
                if not pod["spec"].get("hostNetwork"):
                    label = pod["metadata"]["labels"]["app.kubernetes.io/name"]
                    self.assertIn((o["metadata"]["namespace"], label), policies, name)

    def test_what_is_let_in_is_what_pods_listen_on(self):
        # What the operators add: the reloader's port, Prometheus' and its sidecar's, Alertmanager's.
        added = {"prometheus": {9090, 8080, 10901, 10902}, "alertmanager": {9093, 9094, 8080}, "thanos-ruler": {10901, 10902}}
        for name, rendered in RENDERINGS.items():
            listens = {}
            for o, pod in chart.pod_specs(rendered):
                ports = {p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}
                listens.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/name"], set()).update(ports)
            for (namespace, pod), spec in self.policies(rendered).items():
                if pod == "helios-default":
                    continue
                let_in = {p["port"] for hole in spec["ingress"] or [] for p in hole.get("ports", [])}
                here = added.get(pod, set()) | listens.get(pod, set())
                if not (pod in listens or pod in added):
                    continue
                with self.subTest(f"{name}: {namespace}/{pod}"):
                    self.assertLessEqual(let_in, here, "open, and nobody listens")
                    if pod not in ("clickhouse", "seaweedfs"):  # plain ports stay shut where TLS is on; the filer's own are its own
                        self.assertLessEqual(here - let_in, {9090} if pod == "prometheus" else {10901}, "listens, and is shut")

    def test_every_address_in_a_pods_configuration_may_be_reached_from_it(self):
        # Services that operators make, and ports of those that are named by SRV records or without one.
        made = {"prometheus-operated": "prometheus", "thanos-ruler-operated": "thanos-ruler", "alertmanager-operated": "alertmanager", "keeper-helios": "keeper", "clickhouse-helios": "clickhouse"}
        records = {"grpc": 10901, "web": 9093}
        parts = {"ThanosRuler": "thanos-ruler", "ScrapeConfig": "prometheus", "ClickHouseInstallation": "clickhouse"}
        for name, rendered in RENDERINGS.items():
            policies, checked = self.policies(rendered), set()
            services = {(o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"] for o in rendered if o["kind"] == "Service"}
            maps = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in rendered if o["kind"] == "ConfigMap"}
            listens = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: {p.get("name"): p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}
                       for _, pod in chart.pod_specs(rendered)}
            texts = [((o["metadata"]["namespace"], parts[o["kind"]]), json.dumps(o["spec"])) for o in rendered if o["kind"] in parts]
            for o, pod in chart.pod_specs(rendered):
                if pod["spec"].get("hostNetwork"):
                    continue
                namespace, label = o["metadata"]["namespace"], pod["metadata"]["labels"]["app.kubernetes.io/name"]
                # The operator hands the addresses of servers to its executors.
                label = {"helios-operator": "helios-executor"}.get(label, label)
                mounted = [maps[namespace, v["configMap"]["name"]] for v in pod["spec"].get("volumes", []) if (namespace, v.get("configMap", {}).get("name")) in maps]
                texts.append(((namespace, label), json.dumps([pod["spec"], mounted])))
            for source, text in texts:
                for record, service, namespace, port in re.findall(r"(?:_(\w+)\._tcp\.)?([a-z0-9-]+)\.(helios-\w+)\.svc(?:\.cluster\.local)?(?::(\d+))?", text):
                    spec = services.get((namespace, service))
                    target = (namespace, spec["selector"]["app.kubernetes.io/name"] if spec else made.get(service) or "clickhouse")
                    if namespace == "helios-operators" or target == source:
                        continue
                    wanted = records[record] if record else int(port or 0)
                    if spec and port:
                        to = next(p["targetPort"] for p in spec["ports"] if p["port"] == wanted)
                        wanted = to if isinstance(to, int) else listens[target[1]][to]
                    elif service == "prometheus-operated" and not record:
                        wanted = 9090
                    holes = [hole for hole in policies[source]["egress"] or [] for peer in hole["to"]
                             if peer.get("podSelector", {}).get("matchLabels") == {"app.kubernetes.io/name": target[1]}
                             and peer["namespaceSelector"].get("matchLabels") == {"kubernetes.io/metadata.name": namespace}]
                    open_ports = {p["port"] for hole in holes for p in hole.get("ports", [])}
                    self.assertTrue(open_ports and (not wanted or wanted in open_ports), f"{name}: {source} to {target}, port {wanted}: {open_ports} are open")
                    checked.add((source, target, wanted))
            self.assertGreater(len(checked), 6, name)

    def test_the_port_of_an_object_storage_is_https_unless_it_says_another(self):
        for endpoint, port in (("", 443), ("s3.example.net", 443), ("s3.example.net:9000", 9000), ("https://s3.example.net", 443), ("http://s3.example.net", 80)):
            rendered = chart.objects(values={"storage": {"objectStorage": {"provider": "external", "endpoint": endpoint}}})
            egress = self.policies(rendered)["helios-storage", "thanos-store"]["egress"]
            self.assertEqual([p["port"] for hole in egress for p in hole["ports"]], [port], endpoint)

    def test_connections_of_ones_own_and_another_dns(self):
        network = {"connections": [{"from": "visualization/alertmanager", "to": "automation/helios-operator", "ports": [8443, "514/UDP"]}],
                   "dns": {"namespace": "openshift-dns", "label": "dns=default", "ports": [5353], "cidrs": []}}
        policies = self.policies(chart.objects(values={"global": {"network": network}}))
        ports = [{"port": 8443, "protocol": "TCP"}, {"port": 514, "protocol": "UDP"}]
        for pod, side in ((("helios-visualization", "alertmanager"), "egress"), (("helios-automation", "helios-operator"), "ingress")):
            self.assertIn(ports, [hole["ports"] for hole in policies[pod][side]])
        self.assertEqual(policies["helios-flows", "helios-default"]["egress"], [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}, "podSelector": {"matchLabels": {"dns": "default"}}}],
            "ports": [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]}])

    def test_both_sides_of_a_connection_agree(self):
        for name, rendered in RENDERINGS.items():
            sides = {"ingress": set(), "egress": set()}
            for (namespace, pod), spec in self.policies(rendered).items():
                for side, far in (("ingress", "from"), ("egress", "to")):
                    for hole in (spec.get(side) or []) if pod != "helios-default" else []:
                        for peer in hole[far]:
                            labels = peer.get("podSelector", {}).get("matchLabels")
                            if not labels or len(peer) < 2 or not peer["namespaceSelector"]:
                                continue
                            other = (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], labels["app.kubernetes.io/name"])
                            ends = (other, (namespace, pod)) if side == "ingress" else ((namespace, pod), other)
                            for port in hole["ports"]:
                                sides[side].add((*ends, port["port"], port["protocol"]))
            self.assertEqual(sides["ingress"], sides["egress"], name)


if __name__ == "__main__":
    unittest.main()
