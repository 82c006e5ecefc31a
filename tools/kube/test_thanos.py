"""The real Thanos with the arguments of the rendered manifests: it accepts every flag, and two datacenters on loopback answer one
global query, from the sidecar of what is fresh and from the bucket of what is old, without doubles of replicas.

The bucket is a folder (Thanos' FILESYSTEM): what S3 adds is the client's, which the project does not configure beyond its file."""

import json
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import cell
import chart
import cluster

LIMIT_SECS = 90


def rendered_arguments():
    """Arguments of every container of Thanos, by its object's name."""
    found = {}
    for o, pod in chart.pod_specs(chart.objects("medium", "storage-multi-dc")):
        for container in pod["spec"]["containers"]:
            if container["name"] == "thanos":
                found[o["metadata"]["name"]] = container["args"]
    return found


class Flags(unittest.TestCase):
    def test_every_flag_is_known(self):
        arguments = rendered_arguments()
        self.assertEqual(set(arguments), {"thanos-query", "thanos-query-global", "thanos-query-frontend", "thanos-store", "thanos-compact", "thanos-replicate"})
        for name, given in arguments.items():
            command = [a for a in given if not a.startswith("--")]
            known = subprocess.run([cluster.program("thanos"), *command, "--help"], capture_output=True, text=True, check=False)
            text = known.stdout + known.stderr
            for flag in (a.split("=")[0] for a in given if a.startswith("--")):
                with self.subTest(name=name, flag=flag):
                    self.assertRegex(text, rf"{flag}[ =\n]|--\[no-\]{flag[2:]}\b")


class Datacenters(unittest.TestCase):
    """Two: each with two Prometheus replicas, sidecars, a bucket, a store and a query; one global query over both."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-thanos.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.processes = {}
        cls.addClassCleanup(lambda: [cls.stop(name) for name in list(cls.processes)])
        cls.end = int(time.time()) // 7200 * 7200 - 7200
        cls.queries = [cls.datacenter(name) for name in ("dc1", "dc2")]
        cls.query = cls.start_query("global", cls.queries)

    @classmethod
    def start(cls, name, program, *arguments):
        log = open(pathlib.Path(cls.folder.name) / f"{name}.log", "w")
        cls.processes[name] = subprocess.Popen([program, *map(str, arguments)], stdout=log, stderr=log)
        log.close()

    @classmethod
    def stop(cls, name):
        process = cls.processes.pop(name)
        process.terminate()
        process.wait()

    @classmethod
    def start_query(cls, name, endpoints):
        """With the flags of the chart, its addresses replaced; returns the gRPC address."""
        http, grpc = cluster.free_ports(2)
        flags = [f for f in rendered_arguments()["thanos-query"] if not f.startswith(("--endpoint", "--http", "--grpc"))]
        cls.start(f"query-{name}", cluster.program("thanos"), *flags, f"--http-address=127.0.0.1:{http}", f"--grpc-address=127.0.0.1:{grpc}",
                  *(f"--endpoint={e}" for e in endpoints))
        cls.http = getattr(cls, "http", {}) | {name: http}
        return f"127.0.0.1:{grpc}"

    @classmethod
    def datacenter(cls, name):
        folder = pathlib.Path(cls.folder.name) / name
        bucket = folder / "bucket"
        bucket.mkdir(parents=True)
        objects = folder / "objstore.yml"
        objects.write_text(f"type: FILESYSTEM\nconfig: {{directory: {bucket}}}\n")
        endpoints = []
        for replica in ("a", "b"):
            endpoints.append(cls.replica(name, replica, folder / replica, objects))
        http, grpc = cluster.free_ports(2)
        cls.start(f"store-{name}", cluster.program("thanos"), "store", f"--data-dir={folder}/store", f"--objstore.config-file={objects}",
                  f"--http-address=127.0.0.1:{http}", f"--grpc-address=127.0.0.1:{grpc}", "--sync-block-duration=5s")
        return cls.start_query(name, [*endpoints, f"127.0.0.1:{grpc}"])

    @classmethod
    def replica(cls, datacenter, name, folder, objects):
        """Prometheus with four hours of samples in blocks, and its sidecar."""
        folder.mkdir()
        samples = "".join(f'helios_demo{{device="edge-{datacenter}"}} {t % 100} {t}\n' for t in range(cls.end - 4 * 3600, cls.end - 60, 60))
        (folder / "samples.txt").write_text(f"# TYPE helios_demo gauge\n{samples}# EOF\n")
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data"], check=True, capture_output=True)
        web, grpc, http = cluster.free_ports(3)
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "2s", "external_labels": {"cluster": datacenter, "prometheus_replica": name}},
            "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{web}"]}]}]}))
        cls.start(f"prometheus-{datacenter}-{name}", "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                  f"--web.listen-address=127.0.0.1:{web}", "--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")
        cls.start(f"sidecar-{datacenter}-{name}", cluster.program("thanos"), "sidecar", f"--prometheus.url=http://127.0.0.1:{web}", f"--tsdb.path={folder}/data",
                  f"--objstore.config-file={objects}", f"--grpc-address=127.0.0.1:{grpc}", f"--http-address=127.0.0.1:{http}", "--shipper.upload-compacted")
        return f"127.0.0.1:{grpc}"

    def ask(self, name, question, at=None):
        parameters = urllib.parse.urlencode({"query": question, **({"time": at} if at else {})})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http[name]}/api/v1/query?{parameters}", timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    def wait_for(self, what, is_there):
        deadline = time.monotonic() + LIMIT_SECS
        while time.monotonic() < deadline:
            if is_there():
                return
            time.sleep(0.5)
        logs = {p.stem: p.read_text()[-600:] for p in pathlib.Path(self.folder.name).glob("query-*.log")}
        self.fail(f"no {what} within {LIMIT_SECS} s: {logs}")

    def test_one_global_query_sees_both_datacenters_and_no_replica_twice(self):
        def clusters():
            return sorted(s["metric"]["cluster"] for s in self.ask("global", 'up{job="self"}'))
        self.wait_for("`up` of both datacenters, once each", lambda: clusters() == ["dc1", "dc2"])
        self.assertNotIn("prometheus_replica", self.ask("global", 'up{job="self"}')[0]["metric"])
        # Old samples: from both as well.
        self.wait_for("old samples of both", lambda: len(self.ask("global", "helios_demo", self.end - 3600)) == 2)

    def test_what_prometheus_no_longer_has_comes_from_the_bucket(self):
        buckets = [pathlib.Path(self.folder.name) / name / "bucket" for name in ("dc1", "dc2")]
        self.wait_for("uploaded blocks", lambda: all(len(list(b.glob("*/meta.json"))) >= 4 for b in buckets))
        for name in [n for n in self.processes if n.startswith(("prometheus-dc2", "sidecar-dc2"))]:
            self.stop(name)
        self.wait_for("old samples of dc2 from its store", lambda: [s["metric"]["device"] for s in self.ask("dc2", "helios_demo", self.end - 3600)] == ["edge-dc2"])


if __name__ == "__main__":
    unittest.main()
