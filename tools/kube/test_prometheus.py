"""The real Prometheus Operator reads the chart's resources: its configuration passes promtool, rules arrive where they are
evaluated, and shards split the SNMP targets by the device and not by the exporter's address."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import cell
import chart
import cluster
import yaml

SHARDS = 2


class Operator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cell = cell.Cell(cls.folder.name)
        cls.addClassCleanup(cls.cell.cluster.down)
        cls.cell.definitions()
        cls.cell.namespaces("medium")
        cls.cell.secrets([("helios-storage", "helios-objstore", ["objstore.yml", "s3.json"])])
        port = cluster.free_ports(1)[0]
        log = open(pathlib.Path(cls.folder.name) / "operator.log", "w")
        cls.addClassCleanup(log.close)
        operator = subprocess.Popen([cluster.program("prometheus-operator"), f"--web.listen-address=127.0.0.1:{port}"], env=cls.cell.environment, stdout=log, stderr=log)
        cls.addClassCleanup(operator.wait)
        cls.addClassCleanup(operator.terminate)
        # Without the checks: this test needs the metrics side alone.
        cls.cell.helm("install", "helios", chart.CHART, "-f", chart.CHART / "values-medium.yaml", "--set", "global.checks=false",
                      "--namespace", "helios-system", "--create-namespace")
        cls.cell.wait_for("configuration written by the operator", lambda: cls.cell.kubectl("get", "secret", "prometheus-helios", "-n", "helios-storage", check=False).returncode == 0)
        cls.config = cls.cell.wait_for("scrape configurations", lambda: (text := cls.cell.prometheus_config()) and "helios-snmp" in text and text)

    def test_the_operator_reports_everything_as_reconciled(self):
        for kind, namespace in (("prometheus", "helios-storage"), ("thanosruler", "helios-storage"), ("alertmanager", "helios-visualization")):
            def available():
                conditions = self.cell.get(kind, "helios", "-n", namespace).get("status", {}).get("conditions", [])
                return {c["type"]: c["status"] for c in conditions} == {"Available": "True", "Reconciled": "True"}
            self.cell.wait_for(f"{kind} that is available", available)
        sets = {s["metadata"]["name"]: s["spec"] for s in self.cell.get("statefulsets", "-n", "helios-storage")["items"]}
        for shard in ("prometheus-helios", "prometheus-helios-shard-1"):
            self.assertEqual(sets[shard]["replicas"], 2)
            self.assertIn("thanos-sidecar", {c["name"] for c in sets[shard]["template"]["spec"]["containers"]})

    def test_no_resource_was_skipped(self):
        self.cell.wait_for("the operator's rules", lambda: self.rule_files("prometheus"))
        events = [f"{e['involvedObject']['name']}: {e['message']}" for e in self.cell.get("events", "-A")["items"] if e["reason"] == "InvalidConfiguration"]
        self.assertEqual(events, [])

    def rule_files(self, name):
        maps = self.cell.get("configmaps", "-n", "helios-storage")["items"]
        return {key: text for m in maps if m["metadata"]["name"].startswith(f"{name}-helios-rulefiles") for key, text in m["data"].items()}

    def test_rules_arrive_where_they_are_evaluated(self):
        for name, folder in (("prometheus", chart.ROOT / "alerts"), ("thanos-ruler", chart.ROOT / "alerts/ruler")):
            ours = {rule.get("alert", rule.get("record")) for path in folder.glob("*.yaml") if not path.name.endswith(".test.yaml")
                    for group in yaml.load(path.read_text(), chart.LOADER)["groups"] for rule in group["rules"]}
            if not ours:
                continue
            def arrived(name=name):
                texts = self.rule_files(name).values()
                return {rule.get("alert", rule.get("record")) for text in texts for group in yaml.load(text, chart.LOADER)["groups"] for rule in group["rules"]}
            self.cell.wait_for(f"all {len(ours)} names in {name}", lambda ours=ours, arrived=arrived: arrived() == ours)

    def for_shard(self, folder, shard):
        """The configuration as the sidecar expands it, with the lists of targets in a folder here."""
        path = folder / f"prometheus-{shard}.yaml"
        text = self.config.replace("$(SHARD)", str(shard)).replace("$(POD_NAME)", f"prometheus-helios-{shard}")
        text = re.sub(r"^rule_files:\n(?:- .*\n)*", "", text, flags=re.M)
        path.write_text(text.replace("/etc/prometheus/targets", str(folder / "targets")))
        return path

    def promtool(self, *arguments):
        return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)

    def test_the_configuration_passes_promtool(self):
        with tempfile.TemporaryDirectory() as folder:
            checked = self.promtool("check", "config", "--syntax-only", self.for_shard(pathlib.Path(folder), 0))
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_shards_split_the_targets_and_each_target_has_one(self):
        devices = [f"192.0.2.{n}" for n in range(1, 101)]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for kind in ("snmp", "icmp", "tcp"):
                (folder / "targets" / kind).mkdir(parents=True)
                targets = [{"targets": [address], "labels": {"__param_module": "if_mib", "device": address}} for address in devices]
                (folder / "targets" / kind / "0.json").write_text(json.dumps(targets))
                found = []
                for shard in range(SHARDS):
                    done = self.promtool("check", "service-discovery", self.for_shard(folder, shard), f"scrapeConfig/helios-storage/helios-{kind}")
                    labels = [t["labels"] for t in json.loads(done.stdout) if t.get("labels")]
                    found.append({(t["instance"], t["__address__"], t["__param_target"]) for t in labels})
                exporter = "snmp-exporter.helios-collection.svc:9116" if kind == "snmp" else "blackbox-exporter.helios-collection.svc:9115"
                self.assertEqual(set().union(*found), {(a, exporter, a) for a in devices}, kind)
                self.assertEqual(sum(map(len, found)), len(devices), f"{kind}: a target in two shards")
                for shard in found:
                    # Half and half, as a hash does it: 50 +- 4 standard deviations of a binomial distribution.
                    self.assertGreater(len(shard), 30, kind)


if __name__ == "__main__":
    unittest.main()
