"""`helios targets --kubernetes` against the real API server, over IPv4 and over IPv6 alone: what it applies, and that it does not apply it
twice. And the operator of runbooks where there is nothing but IPv6."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import cluster

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HELIOS = os.environ.get("HELIOS") or str(ROOT / "target/debug/helios")
OPERATOR = os.environ.get("HELIOS_OPERATOR") or str(pathlib.Path(HELIOS).parent / "helios-operator")
DEVICES = 2000


class Targets(unittest.TestCase):
    address = "127.0.0.1"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cluster = pathlib.Path(cls.folder.name) / "cluster"
        cls.addClassCleanup(subprocess.run, [sys.executable, HERE / "cluster.py", "down", cls.cluster], check=False)
        subprocess.run([sys.executable, HERE / "cluster.py", "up", cls.cluster, "--address", cls.address], check=True)

    def kubectl(self, *arguments):
        return subprocess.run([cluster.program("kubectl"), "--kubeconfig", self.cluster / "kubeconfig", *arguments], capture_output=True, text=True, check=True).stdout

    def helios(self, devices, *arguments):
        names = "".join(f"- {{name: edge-{at}, address: 10.0.{at >> 8}.{at & 255}, platform: eos}}\n" for at in range(devices))
        file = pathlib.Path(self.folder.name) / "devices.yaml"
        file.write_text("devices:\n" + names)
        command = [HELIOS, "targets", "--kubernetes", "--namespace", "default", "--set", f"targets.static_file={file}",
                   "--set", "targets.gnmic_parts=3", *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.cluster / "kubeconfig")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def config_maps(self):
        """Name, text and version of each, read by kubectl's own client library: helios' list is not asked."""
        found = self.kubectl("get", "configmaps", "-o", "json", "--show-managed-fields", "-l", "app.kubernetes.io/managed-by=helios-targets")
        return {item["metadata"]["name"]: item for item in json.loads(found)["items"]}

    def test_parts_are_applied_once_by_their_field_manager(self):
        first = self.helios(DEVICES)
        self.assertEqual(first.returncode, 0, first.stderr)
        before = self.config_maps()
        self.assertLessEqual({f"helios-targets-gnmic-{part}" for part in range(3)}, set(before))
        for name, item in before.items():
            self.assertEqual([(field["manager"], field["operation"]) for field in item["metadata"]["managedFields"]],
                             [("helios-targets", "Apply")], name)
        again = self.helios(DEVICES)
        self.assertIn("nothing written", again.stdout, again.stderr)
        self.assertEqual(self.config_maps(), before)
        fewer = self.helios(DEVICES - 1)
        self.assertIn("1 gone", fewer.stdout, fewer.stderr)
        changed = [name for name, item in self.config_maps().items() if item != before[name]]
        self.assertEqual(sorted(name.rsplit("-", 1)[0] for name in changed), ["helios-targets-gnmic", "helios-targets-icmp"])
        refused = self.helios(1)
        self.assertEqual(refused.returncode, 1)
        self.assertEqual(set(self.config_maps()), set(before))


class OverIPv6(Targets):
    """The API server listens on [::1] and nowhere else."""

    address = "::1"

    def test_the_operator_of_runbooks_asks_and_listens_over_ipv6(self):
        self.kubectl("apply", "--server-side", "-f", ROOT / "runbooks/crds")
        port = cluster.free_ports(1)[0]
        environment = {**os.environ, "KUBECONFIG": str(self.cluster / "kubeconfig"), "POD_NAMESPACE": "default", "POD_NAME": "operator-1",
                       "EXECUTOR_IMAGE": "registry.example.net/helios-operator:1", "LISTEN": f"[::1]:{port}"}
        log = self.enterContext(open(self.cluster / "operator.log", "w+"))
        operator = subprocess.Popen([OPERATOR, "run"], env=environment, stdout=log, stderr=log)
        self.addCleanup(operator.wait)
        self.addCleanup(operator.terminate)

        def leads():
            self.assertIsNone(operator.poll(), (self.cluster / "operator.log").read_text())
            try:
                with urllib.request.urlopen(f"http://[::1]:{port}/metrics", timeout=10) as answer:
                    return b"\nhelios_runbook_leader 1\n" in answer.read()
            except OSError:
                return False
        # Which it does when the API server has taken its Lease.
        cluster.wait_for("leader", leads, cluster.START_LIMIT_SECS)
        self.assertEqual(json.loads(self.kubectl("get", "lease", "helios-operator", "-o", "json"))["spec"]["holderIdentity"], "operator-1")


if __name__ == "__main__":
    unittest.main()
