"""The real Thanos and Prometheus with the arguments of the rendered manifests: two datacenters on loopback answer one global query over mutual
TLS, from sidecars what is fresh and from an S3 server what is old, and replicas are one series.

Each process runs the container's arguments, its addresses, folders and files replaced by those of this machine."""

import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import cell
import chart
import cluster

LIMIT_SECS = 300
HOUR = 3600
# The pods' own ports.
PORTS = {"http": 10902, "grpc": 10901}
# The second datacenter's query, as the first one's values name it.
REMOTE = "query.dc2.example.net:10901"
VALUES = {"storage": {"thanos": {"globalQuery": {"endpoints": [REMOTE]}}}}


def containers():
    """Name of the object and arguments of every container of Thanos."""
    for o, pod in chart.pod_specs(chart.objects("medium", "storage-multi-dc", values=VALUES)):
        for container in pod["spec"]["containers"]:
            if container["name"] == "thanos":
                yield o["metadata"]["name"], container["args"]


class Flags(unittest.TestCase):
    def test_the_arguments_of_every_part_are_taken(self):
        values = chart.default_values()["storage"]["thanos"]
        self.assertEqual(values["image"]["tag"], values["version"])
        self.assertEqual(cell.version("thanos"), values["version"], "the tests' Thanos is another one than the chart's")
        checked = set()
        self.assertIn("--bogus", cell.refusal(cluster.program("thanos"), ["query", "--bogus"]))
        for name, given in containers():
            command = [a for a in given if not a.startswith("--")]
            self.assertEqual(cell.refusal(cluster.program("thanos"), given), "", name)
            checked.add(" ".join(command))
        self.assertEqual(checked, {"query", "query-frontend", "store", "compact", "tools bucket replicate"})


class Datacenters(unittest.TestCase):
    """Two of them, each with two replicas of Prometheus, a bucket, a store, a compactor and a query; one of them asks both."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="helios-thanos.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.processes, cls.arguments = {}, dict(containers())
        cls.addClassCleanup(lambda: [cls.stop(name) for name in list(cls.processes)])
        cls.make_certificates()
        # Samples end two hours ago: their blocks are complete, and Prometheus has nothing newer of this name.
        cls.end = int(time.time()) // (2 * HOUR) * (2 * HOUR) - 2 * HOUR
        cls.s3 = cls.start_s3()
        cls.datacenters, cls.leaves = {}, {}
        for name in ("dc1", "dc2"):
            cls.start_datacenter(name)
        remote = f"localhost:{cls.datacenters['dc2'][1]}"
        cls.overall = cls.thanos("thanos-query-global", "global", endpoints=cls.leaves["dc1"], replace={REMOTE: remote})
        cls.frontend = cls.thanos("thanos-query-frontend", "frontend", more=[f"--query-frontend.downstream-url=http://127.0.0.1:{cls.overall[0]}"])

    @classmethod
    def start(cls, name, *command, env=None):
        with open(cls.path / f"{name}.log", "w") as log:
            cls.processes[name] = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=env)

    @classmethod
    def stop(cls, name):
        process = cls.processes.pop(name)
        process.terminate()
        process.wait()

    @classmethod
    def make_certificates(cls):
        """An authority, and a certificate of it for the name under which the other datacenter's query is reached. No address: what is found by
        address has none in a cluster either."""
        tls = cls.path / "tls"
        tls.mkdir()
        openssl = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=tls)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=thanos")
        (tls / "names").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", "tls.crt")

    @classmethod
    def start_s3(cls):
        """Two buckets a datacenter: its own and the copy. Requests without a valid signature are refused."""
        port = cluster.free_ports(1)[0]
        for bucket in ("dc1", "dc2", "dc1-copy", "dc2-copy"):
            (cls.path / "s3" / bucket).mkdir(parents=True)
        cls.start("s3", cluster.program("versitygw"), "--port", f"127.0.0.1:{port}", "posix", cls.path / "s3",
                  env={**os.environ, "ROOT_ACCESS_KEY_ID": "test", "ROOT_SECRET_ACCESS_KEY": "test-secret"})
        return port

    @classmethod
    def bucket(cls, name):
        """objstore.yml, in the form that docs/kubernetes.md has."""
        file = cls.path / f"{name}.yml"
        file.write_text(json.dumps({"type": "S3", "config": {"bucket": name, "endpoint": f"127.0.0.1:{cls.s3}", "access_key": "test", "secret_key": "test-secret",
                                                             "insecure": True, "region": "us-east-1", "bucket_lookup_type": "path"}}))
        return file

    @classmethod
    def thanos(cls, part, name, endpoints=(), datacenter=None, more=(), replace=None):
        """A part with the manifest's arguments. Returns its HTTP and gRPC ports."""
        ports = dict(zip(PORTS, cluster.free_ports(2)))
        replaced = {"/var/thanos": cls.path / f"data-{name}", "/etc/thanos/tls": cls.path / "tls", **(replace or {})}
        for kind, port in PORTS.items():
            replaced[f"--{kind}-address=:{port}"] = f"--{kind}-address=127.0.0.1:{ports[kind]}"
        if datacenter:
            replaced["/etc/thanos/objects/objstore.yml"] = cls.bucket(datacenter)
            replaced["/etc/thanos/objects/replica.yml"] = cls.bucket(f"{datacenter}-copy")
        given = []
        for argument in cls.arguments[part]:
            # DNS has the addresses of the cluster's pods: here are the same parts by their addresses.
            if argument.startswith("--endpoint=dnssrv+") or argument.split("=")[0] in [flag.split("=")[0] for flag in more]:
                continue
            for old, new in replaced.items():
                argument = argument.replace(old, str(new))
            given.append(argument)
        cls.start(name, cluster.program("thanos"), *given, *(f"--endpoint=127.0.0.1:{port}" for port in endpoints), *more)
        return ports["http"], ports["grpc"]

    @classmethod
    def start_datacenter(cls, name):
        sidecars = [cls.start_replica(name, replica) for replica in ("a", "b")]
        _, store = cls.thanos("thanos-store", f"store-{name}", datacenter=name, more=["--sync-block-duration=5s"])
        cls.leaves[name] = [*sidecars, store]
        cls.datacenters[name] = cls.thanos("thanos-query", f"query-{name}", endpoints=cls.leaves[name])

    @classmethod
    def start_replica(cls, datacenter, name):
        """Prometheus with four hours of samples in blocks, and its sidecar. Returns the sidecar's gRPC port."""
        folder = cls.path / f"{datacenter}-{name}"
        folder.mkdir()
        samples = "".join(f'helios_demo{{device="edge-{datacenter}"}} {t % 100} {t}\n' for t in range(cls.end - 4 * HOUR, cls.end, 60))
        (folder / "samples.txt").write_text(f"# TYPE helios_demo gauge\n{samples}# EOF\n")
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data"], check=True, capture_output=True)
        web, grpc, http = cluster.free_ports(3)
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "2s", "external_labels": {"cluster": datacenter, "prometheus_replica": name}},
            "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{web}"], "labels": {"instance": f"prometheus-{datacenter}"}}]}]}))
        cls.start(f"prometheus-{datacenter}-{name}", cluster.program("prometheus3"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                  f"--web.listen-address=127.0.0.1:{web}", "--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")
        # The operator starts the sidecar, and these are its flags; it uploads old blocks only when told to.
        cls.start(f"sidecar-{datacenter}-{name}", cluster.program("thanos"), "sidecar", f"--prometheus.url=http://127.0.0.1:{web}", f"--tsdb.path={folder}/data",
                  f"--objstore.config-file={cls.bucket(datacenter)}", f"--grpc-address=127.0.0.1:{grpc}", f"--http-address=127.0.0.1:{http}", "--shipper.upload-compacted")
        return grpc

    def ask(self, port, question, at=None, **more):
        parameters = urllib.parse.urlencode({"query": question, **({"time": at} if at else {}), **more})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{parameters}", timeout=30) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    def values(self, port, label, question, at=None):
        return sorted(series["metric"][label] for series in self.ask(port, question, at))

    def wait_for(self, what, is_there):
        try:
            return cluster.wait_for(what, is_there, LIMIT_SECS)
        except AssertionError as error:
            logs = {p.stem: p.read_text()[-1500:] for p in self.path.glob("*.log") if "level=error" in p.read_text() or "level=warn" in p.read_text()}
            raise AssertionError(f"{error}: {json.dumps(logs, indent=1)}") from None

    def uploaded(self, bucket):
        return {p.parent.name for p in (self.path / "s3" / bucket).glob("*/meta.json")}

    def test_1_one_global_query_sees_both_datacenters_and_no_replica_twice(self):
        for port in (self.overall[0], self.frontend[0]):
            self.wait_for("`up` of both datacenters, once each", lambda port=port: self.values(port, "cluster", 'up{job="self"}') == ["dc1", "dc2"])
        for series in self.ask(self.overall[0], 'up{job="self"}'):
            self.assertNotIn("prometheus_replica", series["metric"])
        # With replicas apart there are four. The second datacenter's query has made one of its two before the global one sees them.
        self.wait_for("two replicas", lambda: len(self.ask(self.datacenters["dc2"][0], 'up{job="self"}', dedup="false")) == 2)
        self.wait_for("replicas apart", lambda: len(self.ask(self.overall[0], 'up{job="self",cluster="dc1"}', dedup="false")) == 2)
        self.wait_for("samples of old blocks of both", lambda: self.values(self.overall[0], "device", "helios_demo", self.end - HOUR) == ["edge-dc1", "edge-dc2"])

    def test_2_blocks_are_in_the_bucket_and_copied_to_the_second_one(self):
        for name in ("dc1", "dc2"):
            # Two replicas, two blocks of two hours each.
            self.wait_for(f"uploaded blocks of {name}", lambda name=name: len(self.uploaded(name)) >= 4)
        self.thanos("thanos-replicate", "replicate", datacenter="dc1")
        self.wait_for("copies", lambda: self.uploaded("dc1-copy") >= self.uploaded("dc1"))

    def test_3_the_compactor_takes_the_retention_of_the_chart_and_makes_one_of_two_replicas(self):
        before = self.uploaded("dc1")
        # Blocks of the last half hour would be left for later: their upload could be under way.
        self.thanos("thanos-compact", "compact", datacenter="dc1", more=["--consistency-delay=0s"])
        log = self.path / "compact.log"
        self.wait_for("a finished compaction", lambda: "compaction iterations done" in log.read_text())
        self.assertNotIn("level=error", log.read_text())
        for resolution, days in (("raw", 14), ("5 min aggregated", 30), ("1 hour aggregated", 90)):
            self.assertRegex(log.read_text(), rf"{resolution} samples is enabled. duration={days * 24}h0m0s")
        made = self.uploaded("dc1") - before
        labels = [json.loads((self.path / "s3/dc1" / block / "meta.json").read_text())["thanos"]["labels"] for block in made]
        self.assertTrue(labels)
        self.assertEqual({tuple(sorted(block)) for block in labels}, {("cluster",)}, "a replica's label is left in a block of both")

    def test_4_what_prometheus_no_longer_has_comes_from_the_bucket(self):
        for name in [n for n in self.processes if n.startswith(("prometheus-dc2", "sidecar-dc2"))]:
            self.stop(name)
        self.wait_for("old samples of dc2 from its store", lambda: self.values(self.datacenters["dc2"][0], "device", "helios_demo", self.end - HOUR) == ["edge-dc2"])
        self.assertEqual(self.ask(self.datacenters["dc2"][0], 'up{job="self"}'), [])
        self.wait_for("and in the global query", lambda: self.values(self.overall[0], "device", "helios_demo", self.end - HOUR) == ["edge-dc1", "edge-dc2"])

    def test_5_a_query_without_a_certificate_of_the_authority_is_refused(self):
        context = ssl.create_default_context(cafile=self.path / "tls/ca.crt")
        context.set_alpn_protocols(["h2"])
        address = ("localhost", self.datacenters["dc2"][1])

        def alert():
            with socket.create_connection(address) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
                # With TLS 1.3 the server says with its first octets that it wants a certificate.
                return tls.recv(1)
        with self.assertRaisesRegex(ssl.SSLError, "certificate required"):
            alert()
        context.load_cert_chain(self.path / "tls/tls.crt", self.path / "tls/tls.key")
        self.assertEqual(len(alert()), 1, "HTTP/2's first frame")

    def test_6_a_datacenter_that_is_gone_leaves_the_others_series(self):
        self.stop("query-dc2")
        self.wait_for("the series of dc1", lambda: self.values(self.overall[0], "device", "helios_demo", self.end - HOUR) == ["edge-dc1"])


if __name__ == "__main__":
    unittest.main()
