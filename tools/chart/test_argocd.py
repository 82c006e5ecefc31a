"""deploy/argocd/applicationset.yaml: what its templates make of clusters. Helm's engine stands for Argo CD's: both are Go templates with sprig."""

import pathlib
import subprocess
import tempfile
import unittest

import chart
import yaml

SET = yaml.load((chart.ROOT / "deploy/argocd/applicationset.yaml").read_text(), chart.LOADER)["spec"]


def evaluate(text, parameters):
    """The text with Argo CD's parameters as the template's dot."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "templates").mkdir()
        (folder / "Chart.yaml").write_text("apiVersion: v2\nname: set\nversion: 0.0.0\n")
        (folder / "templates/all.yaml").write_text("{{- with .Values.parameters }}\n" + text + "\n{{- end }}\n")
        (folder / "values.yaml").write_text(yaml.safe_dump({"parameters": parameters}))
        return subprocess.run([chart.helm(), "template", "set", str(folder)], check=True, capture_output=True, text=True).stdout


def cluster(name, annotations=None, **labels):
    """Argo CD leaves `annotations` out where there are none."""
    metadata = {"labels": labels, **({"annotations": annotations} if annotations else {})}
    return {"name": name, "nameNormalized": name.lower().replace("_", "-"), "server": f"https://{name}.example.net", "metadata": metadata}


def merge(base, over):
    for key, value in (over or {}).items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


def application(known, element):
    """As Argo CD makes it: the template, and on top of it the patch."""
    parameters = {**known, **element}
    made = yaml.load(evaluate(yaml.safe_dump(SET["template"]), parameters), chart.LOADER)
    return merge(made, yaml.load(evaluate(SET["templatePatch"], parameters), chart.LOADER))


def selects(known):
    """Kubernetes' label selector."""
    selector = SET["generators"][0]["matrix"]["generators"][0]["clusters"]["selector"]
    labels = known["metadata"]["labels"]
    if any(labels.get(k) != v for k, v in selector["matchLabels"].items()):
        return False
    return all(labels.get(e["key"]) in e["values"] if e["operator"] == "In" else e["key"] in labels for e in selector["matchExpressions"])


ELEMENTS = {e["part"]: e for e in SET["generators"][0]["matrix"]["generators"][1]["list"]["elements"]}
LABELS = {"helios.io/enabled": "true", "helios.io/scale-tier": "large", "helios.io/datacenter": "dc1"}


class ApplicationSet(unittest.TestCase):
    def test_a_cluster_gets_its_tier_storage_and_name(self):
        known = cluster("Frankfurt_1", **LABELS, **{"helios.io/storage": "multi-dc", "helios.io/region": "eu"})
        made = application(known, ELEMENTS["helios"])
        helm = made["spec"]["source"]["helm"]
        self.assertEqual(made["metadata"]["name"], "helios-frankfurt-1")
        self.assertEqual(made["spec"]["destination"], {"server": "https://Frankfurt_1.example.net", "namespace": "helios-system"})
        self.assertEqual(helm["valueFiles"], ["values-large.yaml", "values-storage-multi-dc.yaml"])
        self.assertEqual(helm["valuesObject"]["global"], {"clusterName": "dc1", "region": "eu"})

    def test_a_clusters_own_values_are_on_top(self):
        own = "global:\n  region: us\n  netbox: {url: https://netbox.example.net}\nstorage: {ruler: {enabled: false}}\n"
        made = application(cluster("dc1", {"helios.io/values": own}, **LABELS), ELEMENTS["helios"])
        values = made["spec"]["source"]["helm"]["valuesObject"]
        self.assertEqual(values, {"global": {"clusterName": "dc1", "region": "us", "netbox": {"url": "https://netbox.example.net"}}, "storage": {"ruler": {"enabled": False}}})
        chart.template(values=values)

    def test_every_tier_and_storage_names_files_that_exist_and_values_that_the_chart_takes(self):
        for tier in chart.TIERS:
            for storage in [None, *chart.STORAGES]:
                labels = {**LABELS, "helios.io/scale-tier": tier, **({"helios.io/storage": storage} if storage else {})}
                helm = application(cluster("dc1", **labels), ELEMENTS["helios"])["spec"]["source"]["helm"]
                for file in helm["valueFiles"]:
                    self.assertTrue((chart.CHART / file).exists(), file)
                self.assertIn(f"values-storage-{storage or 'single-dc'}.yaml", helm["valueFiles"])
        chart.template(values=helm["valuesObject"])

    def test_operators_come_first_and_have_no_values(self):
        made = application(cluster("dc1", **LABELS), ELEMENTS["operators"])
        self.assertEqual(made["spec"]["source"], {**made["spec"]["source"], "path": "chart/operators", "helm": {"releaseName": "helios-operators"}})
        steps = [step["matchExpressions"][0]["values"] for step in SET["strategy"]["rollingSync"]["steps"]]
        self.assertEqual(steps, [[ELEMENTS["operators"]["wave"]], [ELEMENTS["helios"]["wave"]]])
        self.assertEqual(made["metadata"]["labels"], {"helios.io/wave": "1"})

    def test_what_the_operators_bring_is_where_the_chart_looks_for_it(self):
        release, namespace = ELEMENTS["operators"]["release"], ELEMENTS["operators"]["namespace"]
        self.assertEqual(chart.default_values()["storage"]["prometheus"]["kubeStateMetrics"], f"{release}-kube-state-metrics.{namespace}.svc:8080")
        guide = (chart.ROOT / "docs/kubernetes.md").read_text()
        self.assertIn(f"helm install {release} chart/operators --namespace {namespace}", guide)

    def test_a_cluster_needs_all_three_labels(self):
        self.assertTrue(selects(cluster("dc1", **LABELS)))
        for missing in LABELS:
            self.assertFalse(selects(cluster("dc1", **{k: v for k, v in LABELS.items() if k != missing})), missing)
        self.assertFalse(selects(cluster("dc1", **{**LABELS, "helios.io/scale-tier": "huge"})))


if __name__ == "__main__":
    unittest.main()
