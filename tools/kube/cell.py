"""What tests of the chart do with a cluster: commands, secrets, operators' resource definitions."""

import base64
import functools
import gzip
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tools/chart")]

import chart
import cluster

# Resource definitions of the Altinity operator, which publishes no module: read where they are, made up by name where they are not.
CLICKHOUSE_CRDS = pathlib.Path(os.environ.get("HELIOS_CRDS", ROOT.parent / "shared/crds/altinity-clickhouse-operator-0.25.6"))
HELIOS = os.environ.get("HELIOS", str(ROOT / "target/debug/helios"))
CLICKHOUSE_KINDS = (("clickhouse.altinity.com", "ClickHouseInstallation"), ("clickhouse-keeper.altinity.com", "ClickHouseKeeperInstallation"))


class Cell:
    """A running cluster."""

    def __init__(self, folder):
        self.cluster = cluster.Cluster(folder)
        self.folder = self.cluster.folder
        self.cluster.up()
        self.environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "HELM_CACHE_HOME": f"{folder}/helm",
                            "HELM_CONFIG_HOME": f"{folder}/helm", "HELM_DATA_HOME": f"{folder}/helm"}
        self.api = cluster.Api(folder)

    def run(self, *command, text=None, check=True):
        done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True, env=self.environment, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
        return done

    def kubectl(self, *arguments, text=None, check=True):
        return self.run(cluster.program("kubectl"), *arguments, text=text, check=check)

    def helm(self, *arguments, check=True):
        return self.run(chart.helm(), *arguments, check=check)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def wait_for(self, what, is_there, limit_secs=cluster.START_LIMIT_SECS):
        return cluster.wait_for(what, is_there, limit_secs)

    def definitions(self):
        """Resource definitions of both operators. Says whether the ClickHouse operator's are the real ones."""
        module = json.loads(self.run("go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator@" + version("prometheus-operator")).stdout)
        self.kubectl("apply", "--server-side", "-f", f"{module['Dir']}/example/prometheus-operator-crd")
        real = CLICKHOUSE_CRDS.is_dir()
        if real:
            self.kubectl("apply", "--server-side", "-f", CLICKHOUSE_CRDS)
        else:
            print(f"kube: no definitions of the ClickHouse operator at {CLICKHOUSE_CRDS} (set HELIOS_CRDS): any ClickHouseInstallation is accepted")
            for group, kind in CLICKHOUSE_KINDS:
                self.kubectl("apply", "-f", "-", text=json.dumps(anything(group, kind)))
        # `kubectl wait` fails where one is so new that it has no conditions.
        def established():
            found = self.api.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
            return all("Established" in [c["type"] for c in d["status"]["conditions"] or [] if c["status"] == "True"] for d in found)
        self.wait_for("resource definitions", established)
        return real

    def namespaces(self, *files, values=None):
        """As docs/kubernetes.md creates them."""
        text = chart.template(*files, values=values, show_only=["templates/namespaces.yaml"])
        self.kubectl("apply", "--server-side", "--field-manager", "helm", "-f", "-", text=text)

    def secrets(self, wanted):
        for namespace, name, keys in wanted:
            literals = [f"--from-literal={key}={content(key)}" for key in keys]
            self.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)

    def account(self, name, namespace):
        """A kubeconfig with the rights of a ServiceAccount."""
        token = self.kubectl("create", "token", name, "-n", namespace).stdout.strip()
        access = json.loads(self.cluster.kubeconfig.read_text())
        access["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self.folder / f"{namespace}-{name}.kubeconfig"
        path.write_text(json.dumps(access))
        return path

    def targets(self, devices):
        """The CronJob's containers as processes here, one after the other: its configuration, with other devices, and the rights of its
        account."""
        config = self.get("configmap", "targets", "-n", "helios-integration")["data"]["helios.yaml"]
        static, file = self.folder / "static.yaml", self.folder / "targets.yaml"
        static.write_text(json.dumps({"devices": devices}))
        file.write_text(config.replace("/etc/helios/targets/static.yaml", str(static)))
        kubeconfig = self.account("targets", "helios-integration")
        for part in self.get("cronjob", "targets", "-n", "helios-integration")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
            arguments = [a.replace("/etc/helios/targets/helios.yaml", str(file)) for a in part["args"]]
            environment = {**os.environ, "KUBECONFIG": str(kubeconfig), **{e["name"]: e["value"] for e in part["env"]}}
            done = subprocess.run([HELIOS, *arguments], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    def prometheus_config(self):
        """What the Prometheus Operator wrote for the pods of every shard, or nothing yet."""
        found = self.kubectl("get", "secret", "prometheus-helios", "-n", "helios-storage", "-o", "jsonpath={.data.prometheus\\.yaml\\.gz}", check=False)
        return gzip.decompress(base64.b64decode(found.stdout)).decode() if found.stdout else ""


def content(key):
    """A key of a secret, as its reader wants it."""
    if key in ("objstore.yml", "replica.yml"):
        return "type: S3\nconfig: {bucket: helios-metrics, endpoint: '127.0.0.1:1', access_key: test, secret_key: test, insecure: true}\n"
    if key == "s3.json":
        return '{"identities": []}'
    return "test"


@functools.lru_cache
def version(name):
    for line in (ROOT / "tools/components/versions").read_text().splitlines():
        if line.startswith(f"{name} "):
            return line.split()[1]
    raise KeyError(name)


def refusal(program, arguments):
    """What a program says against a container's arguments; nothing where it takes them. `--help` after them lets it read them and start nothing."""
    done = subprocess.run([program, *arguments, "--help"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def anything(group, kind):
    """A definition that accepts everything."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.lower()}, "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]},
    }
