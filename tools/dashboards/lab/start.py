"""Starts what the dashboards ask: the ClickHouse engine with flows of `helios simulate` -> `helios run`, and a Prometheus with our
recording rules over the series of the same devices. All of it on loopback, in one folder, ended by `Lab.stop`.

    python3 -m lab.start --folder DIR [--hours N] [--fault NAME ...]      in tools/dashboards; stays until Ctrl-C

SIGUSR1 switches all faults on.
"""

import argparse
import http.server
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from helios_dashboards.flows.shared import SERVICE_PORT
from helios_dashboards.schema import IN_EVERY_SUMMARY, SUMMARIES
from processes import ROOT, Processes, component, fail, free_port, get

from .network import RULES, devices, inventory, networks
from .series import FAULTS, Network, Octets, line, openmetrics

STEP_SECONDS = 60
HISTORY_FLOWS_PER_MINUTE = 1500
"""Flows of the history: enough for smooth curves, few enough for a start within a minute."""
FRESH_SECONDS = 20
FRESH_RATE = 1000

# The alerts that the dashboards of alerts need; alerts/ has those of the product.
ALERTS = """groups:
  - name: lab
    interval: 10s
    rules:
      - {alert: DeviceUnreachable, expr: 'helios:device_up == 0', for: 10s, labels: {severity: critical}}
      - {alert: InterfaceDown, expr: 'helios:if_admin_up == 1 and on (device, interface) helios:if_oper_up == 0', for: 10s, labels: {severity: warning}}
      - {alert: InterfaceErrorRateHigh, expr: 'helios:if_in_error_ratio:rate5m > 0.01', labels: {severity: warning}}
      - {alert: BgpSessionDown, expr: 'helios:bgp_session_state < 6', labels: {severity: critical}}
      - {alert: CpuHigh, expr: 'helios:cpu_utilization:ratio > 0.8', labels: {severity: warning}}
      - {alert: Watchdog, expr: 'vector(1)', labels: {severity: none}}
"""


class Lab:
    def __init__(self, folder: Path, helios: Path, hours: int, faults: tuple[str, ...] = (), say=print) -> None:
        self.folder, self.helios, self.hours, self.say = folder.absolute(), helios.absolute(), hours, say
        self.processes = Processes(self.folder)
        self.network = Network(devices(), Octets(), time.time() - hours * 3600)
        self.faults = faults
        self.clickhouse = self.prometheus = ""
        self.exporter: http.server.ThreadingHTTPServer | None = None
        self.ended = threading.Event()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def start(self) -> "Lab":
        self.clickhouse = self.processes.engine()
        self._start_helios()
        self._send_flows()
        self._write_history()
        # At once: a graph would show a gap between the history and the flows of now.
        self._keep_sending()
        self._read_octets()
        self._start_exporter()
        self._start_prometheus()
        self.begin_faults(*self.faults)
        return self

    def stop(self) -> None:
        self.ended.set()
        self.processes.stop()
        if self.exporter:
            self.exporter.shutdown()

    def sql(self, statement: str) -> str:
        return get(self.clickhouse + "/", statement)

    def query(self, expr: str) -> list:
        asked = urllib.parse.urlencode({"query": expr})
        return json.loads(get(f"{self.prometheus}/api/v1/query?{asked}"))["data"]["result"]

    def begin_faults(self, *faults: str) -> None:
        for fault in faults:
            self.network.faults.setdefault(fault, time.time())

    def _start_helios(self) -> None:
        self.flows, self.admin = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", f"127.0.0.1:{free_port()}"
        subprocess.run([self.helios, "simulate", "--write-geoip", self.folder], check=True, stdout=subprocess.DEVNULL)
        (self.folder / "devices.yaml").write_text(inventory(self.network.devices))
        (self.folder / "networks.yaml").write_text(networks())
        (self.folder / "helios.yaml").write_text(
            f"collector:\n  listen: ['{self.flows}']\n  state_dir: {self.folder}/state\n"
            f"enricher:\n  geoip: {{city: {self.folder}/city.mmdb, asn: {self.folder}/asn.mmdb}}\n"
            f"  inventory: {{files: [{self.folder}/devices.yaml]}}\n  networks: {{files: [{self.folder}/networks.yaml]}}\n{RULES}"
            f"clickhouse:\n  url: {self.clickhouse}\nadmin:\n  listen: {self.admin}\n"
        )
        self.processes.start("helios", self.helios, "run", "--config", self.folder / "helios.yaml")
        self.processes.wait_for("the start of helios", lambda: get(f"http://{self.admin}/readyz"))

    def _send_flows(self) -> None:
        self.say(f"lab: {len(self.network.devices)} exporters send for {FRESH_SECONDS} seconds")
        summary = ("--summary-json", self.folder / "sent.json")
        command = self._simulate("--rate", FRESH_RATE, "--duration", f"{FRESH_SECONDS}s", *summary)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            fail(f"helios simulate failed: {done.stderr[-800:]}")
        sent = json.loads((self.folder / "sent.json").read_text())["total"]["flows"]
        self.processes.wait_for(f"the {sent} flows in ClickHouse", lambda: int(self.sql("SELECT count() FROM helios.flows")) >= sent)

    def _simulate(self, *arguments: object) -> list[str]:
        command = [self.helios, "simulate", "--target", self.flows, "--exporters", len(self.network.devices), *arguments]
        return [str(word) for word in command]

    def _keep_sending(self, rate: int = HISTORY_FLOWS_PER_MINUTE // 60) -> None:
        """Flows go on as long as the lab stands, within 24 hours."""
        self.processes.start("simulate", *self._simulate("--rate", rate, "--duration", "24h"))

    def serve_console(self, port: int) -> str:
        """Its address."""
        console = ["node", str(ROOT / "console/server.mjs"), "--clickhouse", self.clickhouse, "--prometheus", self.prometheus]
        self.processes.start("console", *console, "--port", port)
        log = self.folder / "console.log"
        self.processes.wait_for("the start of the console", lambda: "http://" in log.read_text())
        return log.read_text().split("console: ")[1].strip()

    def _write_history(self) -> None:
        """Copies of what came, at earlier times: more at noon than at night."""
        self.say(f"lab: flows of {self.hours} hours before")
        # The fresh flows become the pattern: 20 seconds at many times the usual rate would be a peak in every graph.
        self.sql("CREATE TABLE helios.pattern ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM helios.flows")
        for table in ("flows", "flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h"):
            self.sql(f"TRUNCATE TABLE helios.{table}")
        pattern = int(self.sql("SELECT count() FROM helios.pattern"))
        columns = ", ".join(f"f.{c} - toIntervalMinute(n.number) AS {c}" for c in ("received_at", "flow_start", "flow_end"))
        # The simulated GeoIP database has countries alone.
        cities = "transform(toString(f.src_country), ['GB', 'SE', 'US'], ['London', 'Linköping', 'Milton'], '') AS src_city"
        for hour in range(self.hours):
            curve = 1 + 0.6 * math.sin(((time.time() / 3600 - hour) % 24 - 9) / 24 * 2 * math.pi)
            wanted = max(1, round(1e6 * HISTORY_FLOWS_PER_MINUTE / pattern * curve))
            self.sql(
                f"INSERT INTO helios.flows SELECT f.* REPLACE ({columns}, {cities}) FROM helios.pattern AS f"
                f" CROSS JOIN (SELECT number FROM numbers({hour * 60}, 60)) AS n"
                f" WHERE cityHash64(f.src_addr, f.dst_addr, f.src_port, f.dst_port, f.bytes, n.number) % 1000000 < {wanted}"
            )
        self.sql("DROP TABLE helios.pattern")
        # The views that stand in for Helios here list hosts alone, and no pairs of AS.
        keys = ", ".join(f"f.{name} AS {name}" for name in sorted(SUMMARIES["as"] | IN_EVERY_SUMMARY))
        self.sql(
            f"INSERT INTO helios.summary_1h (received_at, side, {', '.join(sorted(SUMMARIES['as'] | IN_EVERY_SUMMARY))}, bytes, packets, flows)"
            f" SELECT toStartOfHour(f.received_at) AS hour, 'as' AS side, {keys}, sum(f.bytes) AS bytes, sum(f.packets) AS packets,"
            " sum(f.flows) AS flows FROM helios.flows_1m AS f GROUP BY ALL"
        )
        for side, host, peer, proto, port in (
            ("pair", "f.src_addr", "f.dst_addr", "toUInt8(0)", "toUInt16(0)"),
            ("service", "toIPv6('::')", "toIPv6('::')", "f.proto", SERVICE_PORT),
        ):
            self.sql(
                f"INSERT INTO helios.talkers_1m SELECT toStartOfMinute(f.received_at) AS received_at, f.exporter_name AS exporter_name, '{side}' AS side,"
                f" {host} AS host, {peer} AS peer, {proto} AS proto, {port} AS port, sum(f.bytes * f.sampling_interval) AS bytes,"
                " sum(f.packets * f.sampling_interval) AS packets, count() AS flows FROM helios.flows AS f GROUP BY ALL"
                " ORDER BY bytes DESC LIMIT 50 BY received_at, exporter_name"
            )

    def _read_octets(self) -> None:
        octets = Octets()
        for way in ("in", "out"):
            rows = self.sql(
                f"SELECT exporter_name, {way}_if_name, toUnixTimestamp(received_at) AS minute, sum(bytes), sum(packets) FROM helios.flows_1m"
                f" WHERE flow_direction != 'egress' GROUP BY ALL ORDER BY minute FORMAT TSV"
            )
            for row in rows.splitlines():
                device, interface, minute, total, packets = row.split("\t")
                octets.add(device, interface, way, int(minute), float(total), float(packets))
        self.network.octets = octets

    def _start_exporter(self) -> None:
        lab = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                now = time.time()
                body = "\n".join(line(sample) for sample in lab.network.samples(now)) + "\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.exporter.serve_forever, daemon=True).start()
        threading.Thread(target=self._refresh_octets, daemon=True).start()

    def _refresh_octets(self) -> None:
        while not self.ended.wait(15):
            try:
                self._read_octets()
            except OSError:
                return

    def _start_prometheus(self) -> None:
        data, rules = self.folder / "prometheus", self.folder / "rules"
        rules.mkdir()
        shutil.copy(ROOT / "alerts/recording.yaml", rules / "recording.yaml")
        (rules / "alerts.yaml").write_text(ALERTS)
        begin, end = int(self.network.start) // 60 * 60, int(time.time()) // 60 * 60
        self.say(f"lab: series of {self.hours} hours before")
        history = self.folder / "history.txt"
        with history.open("w") as out:
            out.writelines(text + "\n" for text in openmetrics(self.network, begin, end, STEP_SECONDS))
        self._promtool("create-blocks-from", "openmetrics", str(history), str(data))
        history.unlink()
        config = {
            "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
            "rule_files": [str(rules / "*.yaml")],
            "scrape_configs": [
                {
                    "job_name": "lab",
                    "honor_labels": True,
                    "static_configs": [{"targets": [f"127.0.0.1:{self.exporter.server_port}"]}],
                },
                {"job_name": "helios", "static_configs": [{"targets": [self.admin]}]},
            ],
        }
        # A configuration in JSON is YAML as well. Rules of 30 seconds are evaluated every 10 here: nobody waits for the first result.
        (rules / "recording.yaml").write_text((rules / "recording.yaml").read_text().replace("interval: 30s", "interval: 10s"))
        (self.folder / "prometheus.yaml").write_text(json.dumps(config))
        port = free_port()
        self.prometheus = f"http://127.0.0.1:{port}"
        command = [
            component("prometheus"),
            f"--config.file={self.folder}/prometheus.yaml",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--storage.tsdb.retention.time=30d",
        ]
        self.processes.start("prometheus", *command)
        self.processes.wait_for("the start of Prometheus", lambda: get(f"{self.prometheus}/-/ready"))
        self.processes.wait_for(
            "series of the recording rules",
            lambda: all(
                self.query(f"{name} and on () (time() - timestamp({name}) < 25)")
                for name in ("helios:if_in_utilization:ratio5m", "helios:flow_records:rate5m")
            ),
        )

    def _promtool(self, *arguments: str) -> None:
        done = subprocess.run(["promtool", "tsdb", *arguments], check=False, capture_output=True)
        if done.returncode:
            fail(f"promtool {arguments[1]} failed: {done.stderr.decode()[-800:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/dashboards")
    parser.add_argument("--helios", type=Path, default=Path(os.environ.get("DEMO_HELIOS") or ROOT / "target/release/helios"))
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--console", type=int, metavar="PORT", help="serve the console on this port; 0 finds a free one")
    parser.add_argument("--fault", choices=FAULTS, action="append", default=[])
    options = parser.parse_args()
    if not options.helios.exists():
        fail(f"there is no {options.helios}: run `make build`, or set DEMO_HELIOS to a binary")
    lab = Lab(options.folder, options.helios, options.hours, tuple(options.fault))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        lab.start()
        if options.console is not None:
            print(f"console: {lab.serve_console(options.console)}", flush=True)
        signal.signal(signal.SIGUSR1, lambda *_: lab.begin_faults(*FAULTS))
        addresses = {"clickhouse": lab.clickhouse, "prometheus": lab.prometheus, "helios": f"http://{lab.admin}", "pid": os.getpid()}
        print(json.dumps(addresses), flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        lab.stop()


if __name__ == "__main__":
    main()
