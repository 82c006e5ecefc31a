"""Configurations that the chart writes for `helios run` and `helios targets`: `helios check` takes them."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import chart

HELIOS = pathlib.Path(os.environ.get("HELIOS", chart.ROOT / "target/debug/helios"))
NETBOX = {"global": {"netbox": {"url": "https://netbox.example.net", "ca": True}}, "integration": {"source": "netbox"}}
CASES = {
    "small": chart.objects(),
    "several shards, NetBox": chart.objects("xl", values=NETBOX),
    "external ClickHouse": chart.objects(values={"global": {"clickhouse": {"mode": "external", "url": "https://clickhouse.example.net:8443", "cluster": "main", "tlsSecret": "ca"}}}),
    "own keys": chart.objects(values={"flows": {"config": {"collector": {"workers": 2}}}, "integration": {
        "targets": {"max_loss": 0.1}, "staticDevices": [{"name": "switch", "address": "192.0.2.10", "platform": "eos"}]}}),
}


class Configurations(unittest.TestCase):
    def test_helios_takes_them(self):
        self.assertTrue(HELIOS.exists(), f"{HELIOS}: run `cargo build --bin helios`, or set HELIOS")
        for case, rendered in CASES.items():
            maps = {o["metadata"]["name"]: o["data"] for o in rendered if o["kind"] == "ConfigMap"}
            for name in ("helios", "targets"):
                with self.subTest(case=case, of=name), tempfile.TemporaryDirectory() as folder:
                    # The folders that the pod mounts.
                    text = maps[name]["helios.yaml"].replace("/etc/helios", folder).replace("/var/lib/helios", f"{folder}/state")
                    for path, content in (("clickhouse/helios", "x"), ("netbox/token", "nbt_x.x"), ("targets/static.yaml", maps["targets"]["static.yaml"])):
                        (pathlib.Path(folder) / path).parent.mkdir(exist_ok=True)
                        (pathlib.Path(folder) / path).write_text(content)
                    # Authorities are read as well: those of this machine stand for them.
                    for path in ("clickhouse-tls", "netbox"):
                        (pathlib.Path(folder) / path).mkdir(exist_ok=True)
                        (pathlib.Path(folder) / path / "ca.crt").write_text(authorities())
                    (pathlib.Path(folder) / "helios.yaml").write_text(text)
                    done = subprocess.run([HELIOS, "check", "--config", f"{folder}/helios.yaml"], capture_output=True, text=True, check=False)
                    self.assertEqual(done.returncode, 0, f"{done.stderr}\n{text}")


def authorities():
    return pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text()


if __name__ == "__main__":
    unittest.main()
