"""The ten samples on the lab: a network with flows, metrics and a NetBox, Prometheus, Alertmanager, ClickHouse, and an API server.

SAMPLES=interface-drain,... chooses some of them. Each sample is run dry, forward, with a device that does the first change and answers too late, and with an executor that is killed
after its first change. Forward is called good only where another witness says so: counters in Prometheus, flows in ClickHouse, gnmic.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import runbook_rig
import runbook_wire
from runbook_case import ROOT, Case, audit_table
from runbook_rig import wait_for

PROTOCOLS = "/network-instances/network-instance[name=default]/protocols"
ISIS = PROTOCOLS + "/protocol[identifier=ISIS][name=isis]/isis"
START_SECS, EVIDENCE_SECS = 600, 900


def metric_path(interface):
    family = "levels/level[level-number=2]/afi-safi/af[afi-name=IPV4][safi-name=UNICAST]"
    return f"{ISIS}/interfaces/interface[interface-id={interface}]/{family}/config/metric"


class RunningLab:
    """tools/lab as a program, and its witnesses."""

    def __init__(self, folder):
        self.folder = folder
        self.log = open(folder.parent / "lab.log", "wb")
        environment = {**os.environ, "LAB_FOLDER": str(folder), "LAB_BASE": os.environ.get("LAB_BASE") or "90"}
        self.process = subprocess.Popen([ROOT / "tools/lab", "up"], env=environment, stdout=self.log, stderr=self.log)

    def wait(self):
        wait_for("lab", self.is_up, START_SECS)
        self.places = json.loads((self.folder / "lab.json").read_text())

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder.parent / "lab.log").read_text()[-3000:])
        return (self.folder / "lab.json").exists()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def query(self, expression):
        url = self.places["prometheus"] + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=60) as answer:
            found = json.load(answer)["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def bits(self, device, interface):
        return self.query(f'helios:if_out_bits:rate5m{{device="{device}",interface="{interface}"}}')

    def sql(self, text):
        with urllib.request.urlopen(self.places["clickhouse"], text.encode(), timeout=60) as answer:
            return answer.read().decode().strip()

    def flow_bits(self, condition, seconds=60):
        """Bit/s of the flows of the last so many seconds, without the last 20 s, which may be on their way."""
        found = self.sql(f"SELECT sum(bytes * sampling_interval) * 8 / {seconds} FROM helios.flows WHERE {condition} "
                         f"AND received_at >= now() - {seconds + 20} AND received_at < now() - 20")
        return float(found or 0)

    def network(self):
        with urllib.request.urlopen(self.places["network"] + "/api/network", timeout=30) as answer:
            return {device["name"]: device for device in json.load(answer)["devices"]}


class Samples(Case):
    @classmethod
    def lab_folder(cls):
        return cls.lab.folder

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="helios-samples.")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.lab = RunningLab(pathlib.Path(cls.scratch.name) / "lab")
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.wait()
        super().setUpClass()
        cls.lab.sql(audit_table())
        places = cls.lab.places
        cls.rig.servers = {"prometheus_url": places["prometheus"], "clickhouse_url": places["clickhouse"], "clickhouse_database": "helios",
                           "http_hosts": [urllib.parse.urlparse(places["alertmanager"]).netloc]}
        cls.leader = cls.rig.leading("op-a")
        cls.apply_samples()
        cls.kubelet = runbook_rig.Kubelet(cls.rig, most=12)
        cls.addClassCleanup(cls.kubelet.__exit__)
        cls.choose()

    @classmethod
    def apply_samples(cls):
        for path in sorted((ROOT / "runbooks/samples").glob("*.yaml")):
            # The one address of a server that a sample has: the lab's Alertmanager is elsewhere.
            text = path.read_text().replace("http://alertmanager-helios.helios-visualization:9093", cls.lab.places["alertmanager"])
            refused = cls.create(text, user="carol")
            assert not refused, refused

    @classmethod
    def choose(cls):
        """Devices and interfaces, far enough from each other that no sample changes the evidence of another one."""
        wait_for("metrics of interfaces", lambda: cls.lab.bits("zrh-core-1", "Ethernet3"), START_SECS)
        network = cls.lab.network()
        cls.addresses = {name: f"{device['address']}:9339" for name, device in network.items()}

        def to(device, far):
            return next(i["name"] for i in network[device]["interfaces"] if (i["to"] or "").startswith(far + " "))
        cls.drained = to("zrh-core-1", "zrh-access-1")
        cls.bounced = to("sto-core-2", "sto-core-1")
        cls.isolated = to("sto-edge-1", "sto-core-1")
        cls.neighbor = network["lon-core-2"]["sessions"][0]["peer"]
        cls.drifted = to("sto-core-1", "sto-access-1")
        top = "SELECT toString(dst_addr) FROM helios.flows WHERE exporter_name = 'zrh-edge-1' AND in_if_name = 'Ethernet3' GROUP BY dst_addr ORDER BY sum(bytes) DESC LIMIT 1"
        cls.victim = wait_for("flows", lambda: cls.lab.sql(top), START_SECS).removeprefix("::ffff:")
        cls.values = {
            "interface-bounce": {"device": "sto-core-2", "interface": cls.bounced},
            "interface-drain": {"device": "zrh-core-1", "interface": cls.drained},
            "interface-undrain": {"device": "zrh-core-1", "interface": cls.drained, "metric": 10},
            "bgp-soft-reset": {"device": "lon-core-2", "neighbor": cls.neighbor},
            "isolate-flapping-link": {"device": "sto-edge-1", "interface": cls.isolated},
            "rtbh-blackhole": {"device": "zrh-edge-1", "prefix": cls.victim + "/32", "hold": "5m"},
            "maintenance-mode": {"device": "lon-core-1", "starts_at": "2026-12-01T22:00:00Z", "ends_at": "2027-12-02T02:00:00Z"},
            "collect-diagnostics": {"device": "zrh-core-2", "interface": "Ethernet1"},
            "sampling-change": {"devices": "lon-edge-1,lon-core-2", "rate": 4, "settle": "2m"},
            "configuration-drift": {"device": "sto-core-1", "interface": cls.drifted},
        }
        if chosen := os.environ.get("SAMPLES"):
            cls.values = {sample: cls.values[sample] for sample in chosen.split(",")}

    def device(self, sample):
        values = self.values[sample]
        return values.get("device") or values["devices"].split(",")[0]

    def leaf(self, device, path):
        return self.rig.leaf(path, self.addresses[device])

    def configuration(self, device):
        done = subprocess.run([*self.rig.gnmic(self.addresses[device]), "get", "--path", "/interfaces", "--path", "/network-instances", "--path", "/sampling",
                               "-t", "CONFIG", "-e", "json_ietf"], capture_output=True, text=True, check=True)
        return [notification["updates"] for notification in json.loads(done.stdout)]

    def broken(self, sample):
        """What a device has before a sample that would otherwise change nothing."""
        if sample == "configuration-drift":
            self.drift()
        if sample == "interface-undrain":
            self.put("zrh-core-1", metric_path(self.drained), 20)

    def put(self, device, path, value):
        subprocess.run([*self.rig.gnmic(self.addresses[device]), "set", "--update-path", path, "--update-value", json.dumps(value), "-e", "json_ietf"],
                       capture_output=True, text=True, check=True)

    def start(self, name, sample, **spec):
        item = {"apiVersion": "helios.io/v1alpha1", "kind": "RunbookExecution", "metadata": {"name": name},
                "spec": {"runbookRef": {"name": sample}, "requestedBy": "alice", "parameters": self.values[sample], **spec}}
        self.make(item, "alice")
        status = wait_for(f"admission of {name}", lambda: (found := self.rig.status(name)).get("phase") and found.get("runbook") and found)
        if status["phase"] == "AwaitingApproval":
            for user in ("bob", "erin")[:status["runbook"]["spec"]["approval"]["minApprovals"]]:
                self.vote(name, user)

    def end(self, name, limit_secs=EVIDENCE_SECS):
        return wait_for(f"end of {name}", lambda: (status := self.rig.status(name)).get("closed") and status, limit_secs)

    def all_samples(self, run):
        """All at the same time; returns what each gave."""
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            futures = {sample: pool.submit(run, sample) for sample in self.values}
        failed, results = [], {}
        for sample, future in futures.items():
            try:
                results[sample] = future.result()
            except Exception as error:  # the others go on, and all are told of
                failed.append(f"{sample}: {error}")
        for sample, result in results.items():
            print(f"{self.id().rsplit('.', 1)[1]} | {sample} | {result}", flush=True)
        self.assertEqual(failed, [])

    def test_1_dry_shows_every_request_and_changes_nothing(self):
        def run(sample):
            before = self.configuration(self.device(sample))
            self.start(f"dry-{sample}", sample, dryRun=True)
            status = self.end(f"dry-{sample}")
            self.assertEqual(status["phase"], "Succeeded", status["message"])
            self.assertEqual(self.configuration(self.device(sample)), before)
            shown = sum("dry run, not sent" in step.get("message", "") for step in status["steps"])
            return f"{status['phase']}, {shown} requests shown"
        self.all_samples(run)

    def test_2_a_device_that_does_it_and_answers_too_late_is_put_back(self):
        def run(sample):
            device, name = self.device(sample), f"late-{sample}"
            self.broken(sample)
            before = self.configuration(device)
            self.rig.fault("slow-set", device=device)
            try:
                self.start(name, sample)
                if sample != "collect-diagnostics":
                    wait_for(f"change of {device} by {name}", lambda: self.configuration(device) != before, EVIDENCE_SECS)
            finally:
                self.rig.fault("slow-set", undo=True, device=device)
            status = self.end(name)
            self.assertEqual(status["phase"], "Succeeded" if sample == "collect-diagnostics" else "RolledBack", status["message"])
            self.assertEqual(self.configuration(device), before)
            return f"{status['phase']}: {status['message'][:120]}"
        self.all_samples(run)

    def test_3_what_a_dead_executor_changed_is_put_back_by_another_one(self):
        def run(sample):
            device, name = self.device(sample), f"dead-{sample}"
            steps = self.plan_of(f"dry-{sample}")
            if "gnmi-set" not in steps:
                return "changes nothing"
            self.broken(sample)
            before = self.configuration(device)
            deadly = runbook_wire.Deadly(self.api)
            self.rig.executor_servers[name] = deadly.url
            try:
                # Claim, start and end of each step before; the start of the Set; its end is not written.
                deadly.arm(2 + 2 * steps.index("gnmi-set"), "before", lambda: self.kill_executor(name))
                self.start(name, sample)
                status = self.end(name)
                self.assertTrue(deadly.disarm())
            finally:
                deadly.close()
            self.assertEqual(status["phase"], "RolledBack", status["message"])
            self.assertEqual(self.configuration(device), before)
            return f"{status['phase']}: {status['message'][:120]}"
        self.all_samples(run)

    def plan_of(self, name):
        return [step["type"] for step in self.rig.status(name)["steps"]]

    def kill_executor(self, name):
        for pod, process in list(self.kubelet.running.values()):
            if pod["metadata"]["labels"]["helios.io/execution"] == name:
                process.kill()

    def test_4_forward_with_another_witness(self):
        def run(sample):
            return getattr(self, "forward_" + sample.replace("-", "_"), self.forward)(f"run-{sample}", sample)
        self.all_samples(run)

    def succeeds(self, name):
        status = self.end(name)
        self.assertEqual(status["phase"], "Succeeded", status["message"])
        return status

    def forward(self, name, sample):
        self.start(name, sample)
        return self.succeeds(name)["phase"]

    def forward_interface_bounce(self, name, sample):
        up = f'helios:if_oper_up{{device="sto-core-2",interface="{self.bounced}"}}'
        self.start(name, sample)
        wait_for("an interface that is down", lambda: self.leaf("sto-core-2", f"/interfaces/interface[name={self.bounced}]/state/oper-status") == "DOWN")
        self.succeeds(name)
        wait_for("an interface that is up", lambda: self.lab.query(up) == 1, EVIDENCE_SECS)
        return "down in gNMI, then up in Prometheus"

    def forward_interface_drain(self, name, sample):
        condition = f"exporter_name = 'zrh-core-1' AND out_if_name = '{self.drained}'"
        before, flows = self.lab.bits("zrh-core-1", self.drained), self.lab.flow_bits(condition)
        self.assertGreater(before, 1e6)
        self.assertGreater(flows, 1e6)
        self.start(name, sample)
        wait_for("a raised metric", lambda: float(self.leaf("zrh-core-1", metric_path(self.drained))) == 16777214, EVIDENCE_SECS)
        # The metric is raised, the counters of five minutes still show the traffic: it is not called good.
        self.assertEqual(self.rig.status(name)["phase"], "Running")
        status = self.succeeds(name)
        after, left = self.lab.bits("zrh-core-1", self.drained), self.lab.flow_bits(condition)
        self.assertLess(after, 1e6)
        self.assertLess(left, 1e6)
        seconds = status["finishedAt"] - status["startedAt"]
        return f"counters {before / 1e6:.1f} -> {after / 1e6:.3f} Mbit/s, flows {flows / 1e6:.1f} -> {left / 1e6:.3f} Mbit/s, good after {seconds} s"

    def forward_interface_undrain(self, name, sample):
        if "interface-drain" in self.values:
            wait_for("end of the drain", lambda: self.rig.has_closed("run-interface-drain"), EVIDENCE_SECS)
        condition = f"exporter_name = 'zrh-core-1' AND out_if_name = '{self.drained}'"
        self.put("zrh-core-1", metric_path(self.drained), 16777214)
        wait_for("a drained interface", lambda: self.lab.flow_bits(condition, 30) < 1e6, EVIDENCE_SECS)
        before = self.lab.flow_bits(condition, 30)
        self.start(name, sample)
        self.succeeds(name)
        wait_for("traffic that is back", lambda: self.lab.flow_bits(condition) > 1e6, EVIDENCE_SECS)
        return f"flows {before / 1e6:.3f} -> {self.lab.flow_bits(condition) / 1e6:.1f} Mbit/s"

    def forward_bgp_soft_reset(self, name, sample):
        transitions = f'helios:bgp_established_transitions{{device="lon-core-2",peer="{self.neighbor}"}}'
        series = transitions if self.lab.query(transitions) is not None else 'sum(helios:bgp_established_transitions{device="lon-core-2"})'
        before = self.lab.query(series)
        self.start(name, sample)
        self.succeeds(name)
        after = wait_for("a session that came again", lambda: (now := self.lab.query(series)) and now > before and now, EVIDENCE_SECS)
        return f"transitions in Prometheus {before:.0f} -> {after:.0f}"

    def forward_isolate_flapping_link(self, name, sample):
        condition = f"exporter_name = 'sto-edge-1' AND out_if_name = '{self.isolated}'"
        before = self.lab.flow_bits(condition)
        self.assertGreater(before, 0)
        self.start(name, sample)
        self.succeeds(name)
        up = f'helios:if_oper_up{{device="sto-edge-1",interface="{self.isolated}"}}'
        wait_for("an interface that is down", lambda: self.lab.query(up) == 0, EVIDENCE_SECS)
        wait_for("no flows", lambda: self.lab.flow_bits(condition, 30) == 0, EVIDENCE_SECS)
        other = self.lab.flow_bits("exporter_name = 'sto-edge-1'", 30)
        self.assertGreater(other, 0)
        return f"flows of the link {before / 1e6:.1f} -> 0 Mbit/s, of the device still {other / 1e6:.1f} Mbit/s"

    def forward_rtbh_blackhole(self, name, sample):
        # What leaves a device; interface 0 is where it is discarded.
        condition = f"toString(dst_addr) IN ('{self.victim}', '::ffff:{self.victim}') AND out_if_index != 0"
        before = self.lab.flow_bits(condition)
        self.assertGreater(before, 0)
        self.start(name, sample)
        wait_for("route", lambda: (steps := self.rig.status(name).get("steps")) and steps[-1]["name"] == "hold", EVIDENCE_SECS)
        # Other flows of the same time are there: none for the victim is no delay.
        wait_for("no traffic for the victim", lambda: self.lab.flow_bits(condition, 30) == 0 and self.lab.flow_bits("out_if_index != 0", 30) > 0, EVIDENCE_SECS)
        status = self.rig.status(name)
        self.assertEqual((status["phase"], status["steps"][-1]["name"]), ("Running", "hold"))
        dropped = self.lab.flow_bits(condition.replace("!= 0", "= 0"), 30)
        self.succeeds(name)
        after = wait_for("traffic for the victim again", lambda: self.lab.flow_bits(condition, 30), EVIDENCE_SECS)
        return f"flows to {self.victim} {before / 1e6:.1f} -> 0 (discarded {dropped / 1e6:.1f}) -> {after / 1e6:.1f} Mbit/s"

    def forward_maintenance_mode(self, name, sample):
        before = self.lab.query('sum(helios:if_out_bits:rate5m{device="lon-core-1"})')
        self.start(name, sample)
        self.succeeds(name)
        after = self.lab.query('sum(helios:if_out_bits:rate5m{device="lon-core-1"})')
        with urllib.request.urlopen(self.lab.places["alertmanager"] + "/api/v2/silences", timeout=30) as answer:
            silences = [silence for silence in json.load(answer) if silence["matchers"][0]["value"] == "lon-core-1"]
        self.assertTrue(silences)
        self.assertLess(after, 1e7)
        return f"{len(silences)} silences in Alertmanager, counters of the device {before / 1e6:.1f} -> {after / 1e6:.1f} Mbit/s"

    def forward_collect_diagnostics(self, name, sample):
        self.start(name, sample)
        status = self.succeeds(name)
        read = [step["output"] for step in status["steps"]]
        self.assertEqual(read, [self.leaf("zrh-core-2", "/interfaces/interface[name=Ethernet1]/state/oper-status"), True, "zrh-core-2"])
        return f"outputs {read}, as gnmic reads them"

    def forward_sampling_change(self, name, sample):
        condition = "exporter_name IN ('lon-edge-1', 'lon-core-2')"
        before = self.lab.flow_bits(condition)
        self.start(name, sample)
        self.succeeds(name)
        seen = f"{condition} AND sampling_interval = 4"
        after = wait_for("flows that were sampled", lambda: self.lab.flow_bits(seen), EVIDENCE_SECS)
        both = f"SELECT uniq(exporter_name) FROM helios.flows WHERE {seen}"
        wait_for("flows of both that were sampled", lambda: self.lab.sql(both) == "2", EVIDENCE_SECS)
        return f"sampling_interval 4 in flows of both, {before / 1e6:.1f} -> {after / 1e6:.1f} Mbit/s in all"

    def drift(self):
        self.put("sto-core-1", f"/sampling/sflow/interfaces/interface[name={self.drifted}]/config/enabled", False)

    def forward_configuration_drift(self, name, sample):
        condition = f"exporter_name = 'sto-core-1' AND in_if_name = '{self.drifted}'"
        self.drift()
        wait_for("no flows", lambda: self.lab.flow_bits(condition, 30) == 0, EVIDENCE_SECS)
        self.start(name, sample)
        self.succeeds(name)
        after = wait_for("flows again", lambda: self.lab.flow_bits(condition, 30), EVIDENCE_SECS)
        return f"flows of the interface 0 -> {after / 1e6:.1f} Mbit/s"


if __name__ == "__main__":
    unittest.main()
