"""The real Argo CD, from the labels of clusters to a synced Helios: its ApplicationSet controller reads deploy/argocd/applicationset.yaml, its
repository server renders what that makes from a git repository of this tree, and its controller syncs it to a real API server.

One cluster exists, the one that Argo CD runs in; of the others there is only the Secret. chart/operators fetches other projects' charts from the
network: here it is one ConfigMap, and the operators' resource definitions and the Prometheus Operator are there."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import cell
import chart
import cluster
import yaml
from test_guide import blocks, section

SET = yaml.load((cell.ROOT / "deploy/argocd/applicationset.yaml").read_text(), chart.LOADER)
SOURCE = SET["spec"]["template"]["spec"]["source"]
LABEL = "helios.io/"
# Name, labels, and whose values are its own. All tiers and all storages, one of them by default.
CLUSTERS = {
    "dc1": {"scale-tier": "small", "datacenter": "dc1", "region": "eu"},
    "Frankfurt_1": {"scale-tier": "medium", "datacenter": "fra", "storage": "multi-dc"},
    "dc3": {"scale-tier": "large", "datacenter": "dc3", "storage": "cloud-s3"},
    "dc4": {"scale-tier": "xl", "datacenter": "dc4", "storage": "hybrid"},
}
LEFT_OUT = {
    "no-tier": {"datacenter": "dc5"}, "no-datacenter": {"scale-tier": "small"}, "unknown-tier": {"scale-tier": "huge", "datacenter": "dc6"},
    "not-enabled": {"scale-tier": "small", "datacenter": "dc7", "enabled": "false"}, "unlabelled": {"enabled": None},
}
# The ClickHouse operator is not here, so nothing would say that its ClickHouse is ready.
OWN = {"global": {"clickhouse": {"mode": "external", "url": "https://clickhouse.example.net:8443"}, "network": {"deviceCidrs": ["10.20.0.0/16"]}},
       "storage": {"ruler": {"enabled": False}}}
OPERATORS = {
    "Chart.yaml": {"apiVersion": "v2", "name": "operators", "version": "0.1.0"},
    "templates/operators.yaml": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "operators"}, "data": {"release": "{{ .Release.Name }}"}},
}


class ArgoCD(unittest.TestCase):
    """One Argo CD; the tests run in the order of their names."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="helios-kube.")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.cell = cell.Cell(cls.folder / "cluster")
        cls.addClassCleanup(cls.cell.cluster.down)
        (cls.folder / "helm").symlink_to(chart.helm())
        (cls.folder / "tmp").mkdir()
        cls.repository()
        module = json.loads(cls.cell.run("go", "mod", "download", "-json", "github.com/argoproj/argo-cd/v3@" + cell.version("argocd")).stdout)["Dir"]
        cls.cell.kubectl("apply", "--server-side", "-k", f"{module}/manifests/crds")
        cls.cell.definitions()
        # What an installation of Argo CD has from its start.
        part_of = {"app.kubernetes.io/part-of": "argocd"}
        cls.cell.kubectl("create", "namespace", "argocd")
        cls.apply("v1", "ConfigMap", "argocd-cm", part_of)
        cls.apply("v1", "Secret", "argocd-secret", part_of, stringData={"server.secretkey": "test"})
        cls.apply("argoproj.io/v1alpha1", "AppProject", "default", spec={
            "sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]})
        cls.servers = {name: f"https://{name.lower().replace('_', '-')}.example.net" for name in [*CLUSTERS, *LEFT_OUT]}
        cls.servers["dc1"] = cls.cell.api.server
        access = {"bearerToken": cls.cell.api.token, "tlsClientConfig": {"caData": base64.b64encode(pathlib.Path(cls.cell.api.ca).read_bytes()).decode()}}
        for name, server in cls.servers.items():
            cls.apply("v1", "Secret", cls.secret(name), {"argocd.argoproj.io/secret-type": "cluster"},
                      stringData={"name": name, "server": server, "config": json.dumps(access if name == "dc1" else {})})
        cls.redis, cls.rendering, metrics, probes, webhook = cluster.free_ports(5)
        listen = lambda port: f"127.0.0.1:{port}"
        cls.start("applicationset", "--enable-progressive-syncs", f"--argocd-repo-server={listen(cls.rendering)}", "--repo-server-plaintext",
                  f"--metrics-addr={listen(metrics)}", f"--probe-addr={listen(probes)}", f"--webhook-addr={listen(webhook)}")

    @classmethod
    def repository(cls):
        """A git repository of the tree as it is here, with the release's tag. Its `chart/operators` needs no network."""
        tree = cls.folder / "tree"
        names = subprocess.run(["git", "-C", cell.ROOT, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
        for name in names.rstrip("\0").split("\0"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(cell.ROOT / name, tree / name, follow_symlinks=False)
        for name, thing in OPERATORS.items():
            path = tree / "chart/operators" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(thing))
        git = lambda *arguments: subprocess.run(["git", "-C", tree, "-c", "user.name=test", "-c", "user.email=test@example.net", *arguments], check=True, capture_output=True)
        git("init", "-q")
        git("add", "--all", "--force")
        git("commit", "-q", "-m", "the tree")
        git("tag", SOURCE["targetRevision"])
        cls.url = f"file://{tree}"

    @classmethod
    def apply(cls, version, kind, name, labels=None, **more):
        thing = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "argocd", "labels": labels or {}}, **more}
        cls.cell.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(thing))

    @classmethod
    def start(cls, name, *arguments):
        """A part of Argo CD, or another program with arguments."""
        if name in ("applicationset", "controller"):
            arguments = [f"--kubeconfig={cls.cell.cluster.kubeconfig}", "--namespace=argocd", *arguments]
        command = [cluster.program(name)] if name in ("redis-server", "prometheus-operator") else [cluster.program("argocd"), name]
        # The repository server calls the `helm` of its PATH.
        environment = {**cls.cell.environment, "PATH": f"{cls.folder}:{os.environ['PATH']}", "TMPDIR": str(cls.folder / "tmp"), "ARGOCD_GPG_ENABLED": "false"}
        with open(cls.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(["nice", "-n", "5", *command, *arguments], env=environment, stdout=log, stderr=log)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)

    @staticmethod
    def secret(name):
        return f"cluster-{name.lower().replace('_', '-')}"

    def label(self, name, **labels):
        """Sets labels, or takes those away that are None."""
        changes = [f"{LABEL}{key}-" if value is None else f"{LABEL}{key}={value}" for key, value in labels.items()]
        self.cell.kubectl("label", "secret", self.secret(name), "-n", "argocd", "--overwrite", *changes)

    def own_values(self, name, text):
        self.cell.kubectl("annotate", "secret", self.secret(name), "-n", "argocd", "--overwrite", f"{LABEL}values={text}")

    def applications(self):
        return {a["metadata"]["name"]: a for a in self.cell.get("applications.argoproj.io", "-n", "argocd")["items"]}

    def condition(self, kind):
        """The message of a condition that is true."""
        conditions = self.cell.get("applicationset", "helios", "-n", "argocd").get("status", {}).get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == kind and c["status"] == "True"), None)

    def helm_of(self, name):
        """Names of values files, and values, of an Application."""
        helm = self.applications()[f"helios-{name}"]["spec"]["source"]["helm"]
        return helm["valueFiles"], helm["valuesObject"]

    def test_1_labelled_clusters_get_applications_and_others_none(self):
        # The page's own commands label dc1.
        (self.folder / "my-values.yaml").write_text(yaml.safe_dump(OWN))
        commands = [c for c in blocks(section("Many clusters with Argo CD"))[-1].replace("\\\n", "").splitlines() if " secret CLUSTER " in c]
        self.assertEqual([c.split()[3] for c in commands], ["label", "annotate"])
        script = "\n".join(commands).replace("CLUSTER", self.secret("dc1")).replace("kubectl", cluster.program("kubectl"))
        subprocess.run(["bash", "-euc", script], env=self.cell.environment, cwd=self.folder, check=True, capture_output=True)
        self.label("dc1", storage=None, **CLUSTERS["dc1"])
        for name, labels in {**CLUSTERS, **LEFT_OUT}.items():
            if name != "dc1":
                self.label(name, **{"enabled": "true", **labels})
        self.apply(SET["apiVersion"], SET["kind"], "helios", spec={**SET["spec"], "template": {**SET["spec"]["template"], "spec": {
            **SET["spec"]["template"]["spec"], "source": {**SOURCE, "repoURL": self.url}}}})
        expected = {f"{part}-{name.lower().replace('_', '-')}": (part, name) for part in ("operators", "helios") for name in CLUSTERS}
        made = self.cell.wait_for("Applications", lambda: (a := self.applications()) if len(self.applications()) >= len(expected) else None)
        self.assertEqual(set(made), set(expected))
        for name, (part, known) in expected.items():
            metadata, spec = made[name]["metadata"], made[name]["spec"]
            self.assertEqual(spec["destination"], {"server": self.servers[known], "namespace": {"operators": "helios-operators", "helios": "helios-system"}[part]})
            source = spec["source"]
            self.assertEqual((source["repoURL"], source["targetRevision"], source["path"]), (self.url, SOURCE["targetRevision"], f"chart/{part}"))
            self.assertEqual(source["helm"]["releaseName"], {"operators": "helios-operators", "helios": "helios"}[part])
            labels = CLUSTERS[known]
            if part == "helios":
                self.assertEqual(source["helm"]["valueFiles"], [f"values-{labels['scale-tier']}.yaml", f"values-storage-{labels.get('storage', 'single-dc')}.yaml"])
                values = {"clusterName": labels["datacenter"], "region": labels.get("region", "default")}
                self.assertEqual(source["helm"]["valuesObject"], {**OWN, "global": {**values, **OWN["global"]}} if known == "dc1" else {"global": values})
            else:
                self.assertEqual(set(source["helm"]), {"releaseName"})
            self.assertLessEqual({"ServerSideApply=true", "CreateNamespace=true", "SkipDryRunOnMissingResource=true", "RespectIgnoreDifferences=true"}, set(spec["syncPolicy"]["syncOptions"]))
            self.assertEqual(spec["ignoreDifferences"], [{"group": "apps", "kind": "StatefulSet", "jsonPointers": ["/spec/volumeClaimTemplates"]}])
            # The steps of the set start syncs, wave by wave; a finalizer would delete what was installed with its Application.
            self.assertNotIn("automated", spec["syncPolicy"])
            self.assertEqual(metadata["labels"][f"{LABEL}wave"], {"operators": "1", "helios": "2"}[part])
            self.assertNotIn("finalizers", metadata)
        self.assertIsNone(self.condition("ErrorOccurred"))
        type(self).made = {name: made[f"helios-{name.lower().replace('_', '-')}"] for name in CLUSTERS}

    def test_2_a_changed_label_changes_the_application(self):
        self.label("Frankfurt_1", **{"scale-tier": "large", "region": "eu"})
        wanted = (["values-large.yaml", "values-storage-multi-dc.yaml"], {"global": {"clusterName": "fra", "region": "eu"}})
        self.cell.wait_for("the values of another tier", lambda: self.helm_of("frankfurt-1") == wanted)

    def test_3_values_that_are_no_map_are_an_error_that_changes_nothing(self):
        before = {name: a["spec"] for name, a in self.applications().items()}
        self.own_values("dc3", "no map")
        said = self.cell.wait_for("an error", lambda: self.condition("ErrorOccurred"))
        self.assertIn("fromYaml", said)
        self.assertEqual({name: a["spec"] for name, a in self.applications().items()}, before)
        self.own_values("dc3", "global: {region: us}")
        self.cell.wait_for("the mended values", lambda: self.helm_of("dc3")[1] == {"global": {"clusterName": "dc3", "region": "us"}})
        self.cell.wait_for("no error", lambda: self.condition("ErrorOccurred") is None)

    def test_4_a_cluster_that_goes_takes_its_applications_with_it(self):
        self.cell.kubectl("delete", "secret", self.secret("dc4"), "-n", "argocd")
        for name in ("Frankfurt_1", "dc3"):
            self.label(name, enabled=None)
        self.cell.wait_for("Applications of one cluster", lambda: set(self.applications()) == {"operators-dc1", "helios-dc1"})

    def test_5_every_application_renders_to_objects_that_the_server_takes(self):
        # As docs/kubernetes.md creates them, before Argo CD comes.
        self.cell.namespaces("medium")
        forms = set()
        for application in self.made.values():
            helm = application["spec"]["source"]["helm"]
            names = [name.removeprefix("values-").removesuffix(".yaml") for name in helm["valueFiles"]]
            forms |= {json.dumps(o, sort_keys=True) for o in chart.objects(*names, values=helm["valuesObject"])}
        self.cell.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-", text="\n---\n".join(forms))

    def synced(self, tier):
        """dc1's Helios, once the API server has what its values files say and all of it is healthy."""
        def there():
            found = self.applications()["helios-dc1"]
            status = found.get("status", {})
            states = (status.get("sync", {}).get("status"), status.get("health", {}).get("status"), status.get("operationState", {}).get("phase"))
            compared = status.get("sync", {}).get("comparedTo", {}).get("source", {}).get("helm", {}).get("valueFiles", [""])[0]
            return found if states == ("Synced", "Healthy", "Succeeded") and compared == f"values-{tier}.yaml" else None
        try:
            return self.cell.wait_for(f"tier {tier} that is synced", there, 2 * cluster.START_LIMIT_SECS)
        except AssertionError as late:
            status = self.applications()["helios-dc1"].get("status", {})
            left = [f"{r['kind']} {r['name']}: {r.get('status')} {r.get('health')}" for r in status.get("resources", [])
                    if r.get("status") != "Synced" or r.get("health", {}).get("status", "Healthy") != "Healthy"]
            raise AssertionError(f"{late}: {left} {status.get('conditions')} {status.get('operationState', {}).get('message')}") from late

    def test_6_operators_are_synced_before_helios(self):
        self.start("redis-server", "--bind", "127.0.0.1", "--port", str(self.redis), "--save", "")
        self.start("repo-server", "--address=127.0.0.1", f"--port={self.rendering}", "--metrics-address=127.0.0.1", f"--metrics-port={cluster.free_ports(1)[0]}", "--disable-tls",
                   f"--redis=127.0.0.1:{self.redis}")
        self.start("controller", f"--redis=127.0.0.1:{self.redis}", f"--repo-server=127.0.0.1:{self.rendering}", "--repo-server-plaintext",
                   "--repo-server-timeout-seconds=300", "--app-resync=30", "--app-resync-jitter=0", f"--metrics-port={cluster.free_ports(1)[0]}")
        self.start("prometheus-operator", f"--web.listen-address=127.0.0.1:{cluster.free_ports(1)[0]}")
        helios = self.synced("small")
        operators = self.applications()["operators-dc1"]["status"]
        self.assertLessEqual(operators["operationState"]["finishedAt"], helios["status"]["operationState"]["startedAt"])
        # What the chart renders, and nothing that Argo CD would not take.
        kinds = {r["kind"] for r in helios["status"]["resources"]}
        self.assertLessEqual({"Namespace", "StatefulSet", "Prometheus", "ScrapeConfig", "ValidatingAdmissionPolicy", "CustomResourceDefinition"}, kinds)
        managers = {m["manager"]: m["operation"] for m in self.cell.get("statefulset", "gnmic", "-n", "helios-collection", "--show-managed-fields")["metadata"]["managedFields"]}
        self.assertEqual(managers["argocd-controller"], "Apply")


if __name__ == "__main__":
    unittest.main()
