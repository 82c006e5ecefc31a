"""The real Prometheus Operator reads the chart's resources, and real Prometheus processes load what it writes: one for each shard, with the
lists of targets that `helios targets` wrote, and the rules. Prometheus is Debian's: the operator is told its version, and writes what that
version reads."""

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
# Of the exporters, as ScrapeConfigs have them: for each, what stands for it here.
EXPORTERS = {"snmp-exporter.helios-collection.svc:9116": "/snmp", "blackbox-exporter.helios-collection.svc:9115": "/probe"}
VERSION = re.search(r"version ([0-9.]+)", subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True).stdout)[1]
# The parts that the metrics side needs, and intervals that a test can wait for.
VALUES = {
    "flows": {"enabled": False}, "automation": {"enabled": False},
    "storage": {"prometheus": {"version": f"v{VERSION}", "snmpInterval": "5s", "probeInterval": "5s", "scrapeInterval": "5s"}},
}


class Exporters(http.server.ThreadingHTTPServer):
    """Stands for snmp_exporter and blackbox_exporter: answers with one metric, and counts who asked about which device."""

    daemon_threads = True

    def __init__(self):
        self.asked = collections.Counter()
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        self.server.asked[url.path, asked.get("target"), asked.get("module")] += 1
        body = b"# TYPE probe_success gauge\nprobe_success 1\n"
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
        cls.exporters = Exporters()
        cls.addClassCleanup(cls.exporters.server_close)
        cls.addClassCleanup(cls.exporters.shutdown)
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
        for exporter in EXPORTERS:
            text = text.replace(exporter, f"127.0.0.1:{cls.exporters.server_port}")
        config = yaml.load(text, chart.LOADER)
        # Debian's Prometheus is built without discovery by the Kubernetes API: PodMonitors and Alertmanager's Service are left out.
        config["scrape_configs"] = [job for job in config["scrape_configs"] if "kubernetes_sd_configs" not in job]
        config["alerting"]["alertmanagers"] = []
        file = cls.path / f"prometheus-{shard}.yaml"
        file.write_text(yaml.safe_dump(config))
        port = cluster.free_ports(1)[0]
        cls.start(f"prometheus-{shard}", "prometheus", f"--config.file={file}", f"--storage.tsdb.path={cls.path}/data-{shard}", f"--web.listen-address=127.0.0.1:{port}")
        return port

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
            path = "/snmp" if kind == "snmp" else "/probe"
            asked = {target for (at, target, modules) in self.exporters.asked if at == path and module in (modules or "").split(",")}
            self.assertEqual(asked, devices, kind)

    def test_the_account_may_find_the_pods_that_podmonitors_name(self):
        jobs = [job for job in yaml.load(self.config, chart.LOADER)["scrape_configs"] if "kubernetes_sd_configs" in job]
        namespaces = {n for job in jobs for discovery in job["kubernetes_sd_configs"] for n in discovery["namespaces"]["names"]}
        self.assertLessEqual({"helios-collection", "helios-storage", "helios-visualization", "helios-integration"}, namespaces)
        for namespace in namespaces:
            for verb in ("get", "list", "watch"):
                answer = self.cell.kubectl("auth", "can-i", verb, "pods", "-n", namespace, "--as=system:serviceaccount:helios-storage:prometheus", check=False)
                self.assertEqual(answer.stdout.strip(), "yes", f"{verb} pods in {namespace}")

    def test_nothing_is_logged_as_an_error(self):
        for shard in range(SHARDS):
            self.assertNotIn("level=error", (self.path / f"prometheus-{shard}.log").read_text())


def names(texts):
    return {rule.get("alert", rule.get("record")) for text in texts for group in yaml.load(text, chart.LOADER)["groups"] for rule in group["rules"]}


if __name__ == "__main__":
    unittest.main()
