"""The real Prometheus Operator reads the chart's resources, and real Prometheus processes of the chart's version load what it writes: one for each
shard, with the container's arguments, the rights of its account, the lists of targets that `helios targets` wrote, and the rules.

Pods have addresses and no processes: Prometheus asks through a proxy, which answers for all of them and counts what it was asked."""

import collections
import http.server
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request

import cell
import chart
import cluster
import yaml

SHARDS = 2
DEVICES = 100
# Addresses of the exporters, as ScrapeConfigs have them.
EXPORTERS = {"snmp": "snmp-exporter.helios-collection.svc:9116", "icmp": "blackbox-exporter.helios-collection.svc:9115"}
# The parts that the metrics side needs, and intervals that a test can wait for.
VALUES = {
    "flows": {"enabled": False}, "automation": {"enabled": False},
    "storage": {"prometheus": {"snmpInterval": "5s", "probeInterval": "5s", "scrapeInterval": "5s"}},
}


class Proxy(http.server.ThreadingHTTPServer):
    """Stands for everything in the cluster that Prometheus speaks to, as a proxy before it: answers with one metric, and counts which address was
    asked about which device, and who got alerts."""

    daemon_threads = True

    def __init__(self):
        self.asked, self.notified = collections.Counter(), collections.Counter()
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        self.server.asked[url.netloc, url.path, asked.get("target"), asked.get("module")] += 1
        self.answer(b"# TYPE probe_success gauge\nprobe_success 1\n")

    def do_POST(self):
        alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in alerts:
            self.server.notified[urllib.parse.urlsplit(self.path).netloc, alert["labels"]["alertname"]] += 1
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Operator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.cell = cell.Cell(cls.folder.name)
        cls.addClassCleanup(cls.cell.cluster.down)
        cls.cell.definitions()
        (cls.path / "values.yaml").write_text(json.dumps(VALUES))
        cls.cell.namespaces("medium", values=VALUES)
        cls.cell.secrets([
            ("helios-storage", "helios-objstore", ["objstore.yml", "s3.json"]), ("helios-collection", "gnmic-credentials", ["username", "password"]),
            ("helios-collection", "snmp-credentials", ["community"]), ("helios-visualization", "helios-clickhouse", ["grafana"]),
            ("helios-visualization", "helios-grafana", ["admin-user", "admin-password"])])
        cls.start("operator", cluster.program("prometheus-operator"), f"--web.listen-address=127.0.0.1:{cluster.free_ports(1)[0]}", env=cls.cell.environment)
        cls.cell.helm("install", "helios", chart.CHART, "-f", chart.CHART / "values-medium.yaml", "-f", cls.path / "values.yaml",
                      "--namespace", "helios-system", "--create-namespace", "--wait", "--timeout", "10m")
        devices = [{"name": f"edge-{n}", "address": f"192.0.2.{n}", "site": "Zurich", "platform": "unknown"} for n in range(1, DEVICES + 1)]
        cls.cell.targets(devices)
        cls.config = cls.cell.wait_for("configuration with every scrape", cls.whole_config)
        cls.pods = Proxy()
        cls.addClassCleanup(cls.pods.server_close)
        cls.addClassCleanup(cls.pods.shutdown)
        cls.account = cls.cell.account("prometheus", "helios-storage")
        cls.ports = [cls.prometheus(shard) for shard in range(SHARDS)]

    @classmethod
    def start(cls, name, *command, env=None):
        with open(cls.path / f"{name}.log", "w") as log:
            process = subprocess.Popen(list(map(str, command)), env=env, stdout=log, stderr=log)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)

    @classmethod
    def whole_config(cls):
        text = cls.cell.prometheus_config()
        return text if all(f"scrapeConfig/helios-storage/helios-{kind}" in text for kind in ("snmp", "icmp", "tcp")) and "podMonitor/" in text else None

    @classmethod
    def statefulset(cls, shard):
        name = "prometheus-helios" if shard == 0 else f"prometheus-helios-shard-{shard}"
        return cls.cell.get("statefulset", name, "-n", "helios-storage")["spec"]

    @classmethod
    def mounted(cls, shard):
        """The ConfigMaps of a shard's pod in a folder, as its kubelet would lay them out. Returns mount path -> folder."""
        pod = cls.statefulset(shard)["template"]["spec"]
        mounts = next(c for c in pod["containers"] if c["name"] == "prometheus")["volumeMounts"]
        folders = {}
        for volume in pod["volumes"]:
            sources = [source["configMap"] for source in volume.get("projected", {}).get("sources", []) if "configMap" in source]
            if "configMap" in volume:
                sources.append(volume["configMap"])
            where = next((m["mountPath"] for m in mounts if m["name"] == volume["name"]), None)
            if not where or not sources:
                continue
            folder = folders[where] = cls.path / f"shard-{shard}" / volume["name"]
            folder.mkdir(parents=True)
            for source in sources:
                found = cls.cell.kubectl("get", "configmap", source["name"], "-n", "helios-storage", "-o", "json", check=False)
                if found.returncode != 0:
                    assert source.get("optional"), found.stderr
                    continue
                data = json.loads(found.stdout)["data"]
                for item in source.get("items") or [{"key": key, "path": key} for key in data]:
                    (folder / item["path"]).write_text(data[item["key"]])
        return folders

    @classmethod
    def prometheus(cls, shard):
        """A process with the configuration of a shard's first pod. Returns its port."""
        cls.cell.wait_for("rules", lambda: cls.rules("prometheus"))
        folders = cls.mounted(shard)
        text = cls.config.replace("$(SHARD)", str(shard)).replace("$(POD_NAME)", f"prometheus-helios-{shard}-0")
        for mounted, folder in folders.items():
            text = text.replace(f"{mounted}/", f"{folder}/")
        config = yaml.load(text, chart.LOADER)
        for part in [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]:
            part["proxy_url"] = f"http://127.0.0.1:{cls.pods.server_port}"
            for discovery in part.get("kubernetes_sd_configs", []):
                # In a pod this is where the account's token and the API server's address come from.
                discovery["kubeconfig_file"] = str(cls.account)
        file = cls.path / f"prometheus-{shard}.yaml"
        file.write_text(yaml.safe_dump(config))
        port = cluster.free_ports(1)[0]
        here = {"--config.file": file, "--storage.tsdb.path": cls.path / f"data-{shard}", "--web.config.file": "", "--web.listen-address": f"127.0.0.1:{port}"}
        given = [a for a in cls.container(shard, "prometheus")["args"] if a.split("=")[0] not in here]
        cls.start(f"prometheus-{shard}", cluster.program("prometheus3"), *given, *(f"{flag}={value}" for flag, value in here.items() if value))
        return port

    @classmethod
    def container(cls, shard, name):
        return next(c for c in cls.statefulset(shard)["template"]["spec"]["containers"] if c["name"] == name)

    def ask(self, shard, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[shard]}/api/v1/{path}", timeout=30) as answer:
                return json.load(answer)["data"]
        except OSError:
            return {}

    @classmethod
    def rules(cls, name):
        """Names of the rules that the operator wrote for Prometheus or the ruler."""
        maps = cls.cell.get("configmaps", "-n", "helios-storage")["items"]
        texts = [text for m in maps if m["metadata"]["name"].startswith(f"{name}-helios-rulefiles") for text in m["data"].values()]
        return names(texts)

    def test_every_resource_is_reconciled_and_none_is_skipped(self):
        for kind, namespace in (("prometheus", "helios-storage"), ("thanosruler", "helios-storage"), ("alertmanager", "helios-visualization")):
            def available(kind=kind, namespace=namespace):
                conditions = self.cell.get(kind, "helios", "-n", namespace).get("status", {}).get("conditions", [])
                return {c["type"]: c["status"] for c in conditions} == {"Available": "True", "Reconciled": "True"}
            self.cell.wait_for(f"{kind} that is available", available)
        for shard in range(SHARDS):
            spec = self.statefulset(shard)
            self.assertEqual(spec["replicas"], 2)
            self.assertIn("thanos-sidecar", {c["name"] for c in spec["template"]["spec"]["containers"]})
        events = [f"{e['involvedObject']['name']}: {e['message']}" for e in self.cell.get("events", "-A")["items"] if e["reason"] in ("InvalidConfiguration", "FailedCreate")]
        self.assertEqual(events, [])

    def test_rules_arrive_where_they_are_evaluated(self):
        for name, folder in (("prometheus", chart.ROOT / "alerts"), ("thanos-ruler", chart.ROOT / "alerts/ruler")):
            ours = names(path.read_text() for path in folder.glob("*.yaml") if not path.name.endswith(".test.yaml"))
            self.assertTrue(ours)
            self.cell.wait_for(f"all {len(ours)} rules in {name}", lambda name=name, ours=ours: self.rules(name) == ours)
        for shard in range(SHARDS):
            loaded = self.cell.wait_for("rules", lambda shard=shard: self.ask(shard, "rules").get("groups"))
            self.assertEqual({rule["name"] for group in loaded for rule in group["rules"]}, self.rules("prometheus"))

    def test_shards_split_the_devices_and_not_the_exporters_address(self):
        devices = {f"192.0.2.{n}" for n in range(1, DEVICES + 1)}
        for kind, module in (("snmp", "if_mib"), ("icmp", "icmp4")):
            job = f'up{{job="helios-{kind}"}}'
            found = []
            for shard in range(SHARDS):
                def scraped(shard=shard, job=job):
                    series = self.ask(shard, "query?" + urllib.parse.urlencode({"query": job})).get("result", [])
                    targets = [t for t in self.ask(shard, "targets?state=active").get("activeTargets", []) if t["labels"]["job"] == f"helios-{kind}"]
                    return series if series and len(series) == len(targets) else None
                series = self.cell.wait_for(f"scraped targets of {job} in shard {shard}", scraped)
                self.assertEqual({s["value"][1] for s in series}, {"1"}, kind)
                found.append({s["metric"]["instance"] for s in series})
            self.assertEqual(set().union(*found), devices, kind)
            self.assertEqual(sum(map(len, found)), len(devices), f"{kind}: a device in two shards")
            for shard in found:
                # Half and half, as a hash does it: 50 +- 4 standard deviations of a binomial distribution.
                self.assertGreater(len(shard), 30, kind)
            asked = {target for (at, _, target, modules) in self.pods.asked if at == EXPORTERS[kind] and module in (modules or "").split(",")}
            self.assertEqual(asked, devices, kind)

    def addresses(self, labels, ports):
        """address:port of every running pod with these labels, by kubectl: what a PodMonitor's discovery has to find."""
        found = set()
        for pod in self.cell.get("pods", "-A", "-l", labels, "--field-selector=status.phase=Running")["items"]:
            found |= {f"{pod['status']['podIP']}:{p['containerPort']}" for c in pod["spec"]["containers"] for p in c.get("ports", []) if p.get("name") in ports}
        return found

    def test_prometheus_finds_every_pod_by_the_api_server_with_the_rights_of_its_account(self):
        def found():
            targets = [t for shard in range(SHARDS) for t in self.ask(shard, "targets?state=active").get("activeTargets", [])]
            return sorted(t["discoveredLabels"]["__address__"] for t in targets if t["scrapePool"].startswith("podMonitor/") and t["health"] == "up")
        expected = self.addresses("app.kubernetes.io/part-of=helios", {"metrics", "fast", "slow", "web"})
        self.assertGreater(len(expected), 20)
        # Each once: a pod's port in two shards would be counted twice.
        self.cell.wait_for("scraped pods", lambda: found() == sorted(self.addresses("app.kubernetes.io/part-of=helios", {"metrics", "fast", "slow", "web"})))
        asked = {(address, path) for (address, path, *_) in self.pods.asked}
        self.assertLessEqual({(address, "/metrics") for address in expected}, asked)

    def test_all_ports_of_a_pod_are_in_one_shard(self):
        """Rules about gnmic join what its API says with what its outputs have."""
        def ports():
            found = [[t["discoveredLabels"]["__address__"].rsplit(":", 1) for t in self.ask(shard, "targets?state=active").get("activeTargets", [])
                      if t["scrapePool"].startswith("podMonitor/") and t["labels"]["job"] == "helios-gnmic"] for shard in range(SHARDS)]
            return found if sum(map(len, found)) == len(expected) else None
        expected = self.addresses("app.kubernetes.io/name=gnmic", {"metrics", "fast", "slow"})
        shards = [{host for host, _ in targets} for targets in self.cell.wait_for("every port of gnmic", ports)]
        self.assertEqual(len(expected), 3 * sum(map(len, shards)), f"a pod in two shards: {shards}")

    def test_alerts_go_to_every_alertmanager(self):
        expected = self.addresses("app.kubernetes.io/name=alertmanager", {"web"})
        self.assertTrue(expected)
        for shard in range(SHARDS):
            def active(shard=shard):
                return {urllib.parse.urlsplit(a["url"]).netloc for a in self.ask(shard, "alertmanagers").get("activeAlertmanagers", [])} == expected
            self.cell.wait_for(f"alertmanagers of shard {shard}", active)
        self.cell.wait_for("the alert that always fires", lambda: {(address, "Watchdog") for address in expected} <= set(self.pods.notified))

    def test_every_name_that_thanos_looks_up_is_a_port_of_a_service(self):
        def ports():
            return {f"_{p['name']}._{p['protocol'].lower()}.{s['metadata']['name']}.{s['metadata']['namespace']}.svc"
                    for s in self.cell.get("services", "-A")["items"] for p in s["spec"]["ports"] if "name" in p}
        asked = set(re.findall(r"dnssrv\+(?:http://)?([\w.-]+?\.svc)\.", json.dumps(self.cell.get("deployments,statefulsets,thanosrulers", "-n", "helios-storage"))))
        self.assertEqual({name.split(".")[2] for name in asked}, {"prometheus-operated", "thanos-ruler-operated", "thanos-store", "alertmanager-operated"})
        self.cell.wait_for(f"ports {sorted(asked)}", lambda: asked <= ports())

    def test_what_the_operator_starts_takes_its_arguments_in_the_charts_versions(self):
        self.assertEqual(cell.version("prometheus3").removeprefix("v0.").replace(".", ""), chart.default_values()["storage"]["prometheus"]["version"].removeprefix("v").replace(".", ""))
        self.assertEqual(cell.version("alertmanager"), chart.default_values()["visualization"]["alertmanager"]["version"])
        cases = [("thanos", self.container(0, "thanos-sidecar"))]
        for name, namespace, container, program in (("thanos-ruler-helios", "helios-storage", "thanos-ruler", "thanos"),
                                                    ("alertmanager-helios", "helios-visualization", "alertmanager", "alertmanager")):
            containers = self.cell.get("statefulset", name, "-n", namespace)["spec"]["template"]["spec"]["containers"]
            cases.append((program, next(c for c in containers if c["name"] == container)))
        for program, container in cases:
            self.assertEqual(cell.refusal(cluster.program(program), container["args"]), "", container["name"])

    def test_nothing_is_logged_as_an_error_or_as_forbidden(self):
        for shard in range(SHARDS):
            text = (self.path / f"prometheus-{shard}.log").read_text().lower()
            self.assertNotIn("level=error", text)
            self.assertNotIn("forbidden", text)


def names(texts):
    return {rule.get("alert", rule.get("record")) for text in texts for group in yaml.load(text, chart.LOADER)["groups"] for rule in group["rules"]}


if __name__ == "__main__":
    unittest.main()
