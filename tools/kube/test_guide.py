"""docs/kubernetes.md: its commands, as they stand, on a real API server, from the empty cluster to the removal. Left out is what needs a
network or running containers: the operators' charts (their definitions are there), logs, and forwarded ports."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import cell
import chart
import cluster
import yaml

PAGE = (cell.ROOT / "docs/kubernetes.md").read_text()
LEFT_OUT = re.compile(r"^(helm dependency build|helm install helios-operators|kubectl .*(logs job/|port-forward)).*$", re.M)
# The reader's own: files that the page names, and words in capitals.
FILES = {"gnmi-password.txt": "test", "netbox-token.txt": "nbt_test.test", "auths.yml": "auths: {}\n", "replica.yml": cell.content("replica.yml")}
WORDS = {"NODE": "node-0", "NEW": "0.2.0"}


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


def blocks(text, language="sh"):
    return [LEFT_OUT.sub("", block) for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


class Guide(unittest.TestCase):
    """One cluster; the tests run in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cell = cell.Cell(pathlib.Path(cls.folder.name) / "cluster")
        cls.addClassCleanup(cls.cell.cluster.down)
        cls.cell.definitions()
        # The repository, as the reader has it, with the files that the reader makes beside it.
        cls.home = pathlib.Path(cls.folder.name) / "home"
        cls.home.mkdir()
        for part in ("chart", "tools", "runbooks", "deploy"):
            (cls.home / part).symlink_to(cell.ROOT / part)
        for name, text in FILES.items():
            (cls.home / name).write_text(text)
        programs = cls.home / "bin"
        programs.mkdir()
        for name in ("kubectl", "helm"):
            (programs / name).symlink_to(cluster.program(name))
        cls.cell.environment["PATH"] = f"{programs}:{cls.cell.environment['PATH']}"

    def run_script(self, *parts):
        script = "\n".join(parts)
        for word, value in WORDS.items():
            script = re.sub(rf"\b{word}\b", value, script)
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=self.home, env=self.cell.environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        return done.stdout

    @staticmethod
    def values_line():
        return re.search(r'^VALUES=".*"$', PAGE, re.M)[0]

    def test_1_ten_steps_install_it(self):
        text = section("Install")
        self.assertEqual(re.findall(r"^\*\*(\d+)\. ", text, re.M), [str(n) for n in range(1, 11)])
        values, = blocks(text, "yaml")
        (self.home / "my-values.yaml").write_text(values)
        said = self.run_script(*blocks(text))
        self.assertIn("STATUS: deployed", said)
        self.assertEqual(said.count("Phase:          Succeeded"), 2)
        self.assertFalse((self.home / "objstore.yml").exists(), "a file with keys is left over")

    def test_1a_the_query_over_several_datacenters_is_added(self):
        text = section("Several datacenters")
        values, = blocks(text, "yaml")
        file = self.home / "my-values.yaml"
        file.write_text(yaml.safe_dump({**yaml.load(file.read_text(), chart.LOADER), **yaml.load(values, chart.LOADER)}))
        self.assertIn("thanos-query-external", self.run_script(*blocks(text)))
        arguments = self.cell.get("deployment", "thanos-query-global", "-n", "helios-storage")["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("query.dc2.example.net:10901", arguments[-1])
        self.assertFalse((self.home / "tls.key").exists(), "a key is left over")

    def test_2_an_upgrade_changes_definitions_and_release(self):
        text = section("Upgrade")
        commands = [c for c in re.findall(r"`([^`]+)`", text) if c.startswith(("kubectl apply", "helm upgrade helios"))]
        self.assertEqual(len(commands), 2)
        self.assertIn("REVISION: 3", self.run_script(self.values_line(), *commands))

    def test_3_flow_collectors_move_to_the_nodes_and_take_over(self):
        self.run_script(self.values_line(), "helm upgrade helios chart/helios $VALUES --namespace helios-system --set flows.mode=daemonset --wait --timeout 10m")
        self.run_script(*blocks(section("Flow collectors on the nodes' addresses")))
        def running():
            pods = [p for p in self.cell.get("pods", "-n", "helios-flows", "-l", "helios.io/slot")["items"] if "deletionTimestamp" not in p["metadata"]]
            return [(p["metadata"]["labels"]["helios.io/slot"], p["spec"]["nodeName"], p["spec"]["containers"][0]["image"].rsplit(":", 1)[-1]) for p in pods]
        # The controller ends the other pod a moment after the label is gone.
        self.cell.wait_for("the second slot alone, with the new version", lambda: running() == [("b", "node-0", "0.2.0")])

    def test_4_removing_leaves_nothing(self):
        self.run_script(*blocks(section("Remove")))
        left = [n["metadata"]["name"] for n in self.cell.get("namespaces", "-l", "app.kubernetes.io/part-of=helios")["items"]]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
