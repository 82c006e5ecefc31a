"""`helios targets --kubernetes` against the real API server: what it applies, and that it does not apply it twice."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
HELIOS = os.environ.get("HELIOS") or str(HERE.parents[1] / "target/debug/helios")
DEVICES = 2000


class Targets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cluster = pathlib.Path(cls.folder.name) / "cluster"
        cls.addClassCleanup(subprocess.run, [sys.executable, HERE / "cluster.py", "down", cls.cluster], check=False)
        subprocess.run([sys.executable, HERE / "cluster.py", "up", cls.cluster], check=True)

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
        kubectl = next(pathlib.Path(os.environ.get("HELIOS_COMPONENTS") or pathlib.Path.home() / ".cache/helios/components").glob("kubectl-*/kubectl"))
        done = subprocess.run([kubectl, "--kubeconfig", self.cluster / "kubeconfig", "get", "configmaps", "-o", "json", "--show-managed-fields",
                               "-l", "app.kubernetes.io/managed-by=helios-targets"], capture_output=True, text=True, check=True)
        return {item["metadata"]["name"]: item for item in json.loads(done.stdout)["items"]}

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


if __name__ == "__main__":
    unittest.main()
