"""What a flow costs at small and usual rates: Helios with its spool beside nfcapd, with LZ4 (`-y`) and without.

`helios simulate` sends IPFIX of 50 exporters, every datagram by itself as real devices send them, to one collector after the
other, round after round; the cheapest round counts. CPU is the whole process' from when it is ready until it has stored the
last flow: Helios does within two seconds, nfcapd writes the last of them when it is ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from .e2e import simulate
from .procs import Metrics, Process, helios_binary

# Flows a second: 250, 1,000, 4,000 and 20,000 datagrams of 20 flows.
RATES = [int(rate) for rate in os.environ.get("BENCH_RATES", "5000,20000,80000,400000").split(",")]
SECONDS = float(os.environ.get("BENCH_RATES_SECONDS", "10"))
ROUNDS = int(os.environ.get("BENCH_RATES_ROUNDS", "3"))
EXPORTERS = 50
EXTRA = ["--protocol", "ipfix", "--no-gso"]
# Helios holds rows for a second before it sends them.
AFTER_SECONDS = 2.0


@dataclass
class Collector:
    """One that is measured, and what every round gave, by flows a second: microseconds of CPU a flow that was kept, and
    the share of flows that were lost."""

    name: str
    start: object
    costs: dict[int, list[float]] = field(default_factory=dict)
    losses: dict[int, list[float]] = field(default_factory=dict)

    def cost(self, rate: int) -> float:
        return min(self.costs[rate])

    def lost(self, rate: int) -> float:
        """Of the cheapest round."""
        return self.losses[rate][self.costs[rate].index(self.cost(rate))]


def helios(binary: Path, folder: Path, sink: str) -> tuple[Process, str]:
    flows, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [binary, "run", "--listen", flows, "--clickhouse-url", sink]
    for option in (f"admin.listen={admin}", f"collector.state_dir={folder / 'state'}"):
        command += ["--set", option]
    process = Process("helios", command, folder / "helios.log")
    wait_for("helios to be ready", lambda: get(f"http://{admin}/readyz"))
    process.flows = lambda: int(Metrics(f"http://{admin}/metrics").sum("helios_pipeline_rows_stored_total"))
    return process, flows


def nfcapd(options: list[str], folder: Path) -> tuple[Process, str]:
    port, files = free_port(), folder / "files"
    files.mkdir()
    command = ["nfcapd", *options, "-w", files, "-b", "127.0.0.1", "-p", str(port), "-t", "3600", "-B", str(4 << 20)]
    process = Process("nfcapd", command, folder / "nfcapd.log")
    bound = f"{port:04X}"
    sockets = lambda: [line.split()[1].split(":")[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]]  # noqa: E731
    wait_for("nfcapd's port", lambda: bound in sockets())
    process.flows = None
    return process, f"127.0.0.1:{port}"


def in_files(folder: Path) -> int:
    statistics = subprocess.run(["nfdump", "-R", folder / "files", "-I"], capture_output=True, text=True, check=True).stdout
    return sum(int(line.split(":")[1]) for line in statistics.splitlines() if line.startswith("Flows:"))


def ended(process: Process) -> float:
    """Ends a process and says what it used in its life."""
    process.child.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(process.child.pid, 0)
    process.child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def measured(collector: Collector, rate: int):
    with tempfile.TemporaryDirectory(prefix="helios-rates-") as name:
        folder = Path(name)
        process, target = collector.start(folder)
        with process:
            begin = process.cpu_total()
            sent = simulate(target, rate, SECONDS, folder / "sent.json", EXTRA, EXPORTERS)["total"]["flows"]
            time.sleep(AFTER_SECONDS)
            used = process.cpu_total() - begin
            stored = process.flows() if process.flows else 0
            if not process.flows:
                used = ended(process) - begin
                stored = in_files(folder)
        collector.costs.setdefault(rate, []).append(used / stored * 1e6)
        collector.losses.setdefault(rate, []).append(1 - stored / sent)


def collectors(sink: str) -> list[Collector]:
    """Another Helios is measured as well if BENCH_BEFORE names one."""
    ours = [("Helios", helios_binary())]
    if before := os.environ.get("BENCH_BEFORE"):
        ours.append(("Helios before", Path(before)))
    return [
        *[Collector(name, lambda folder, binary=binary: helios(binary, folder, sink)) for name, binary in ours],
        Collector("nfcapd -y", lambda folder: nfcapd(["-y"], folder)),
        Collector("nfcapd", lambda folder: nfcapd([], folder)),
    ]


def measure(folder: Path, clickhouse: str) -> list[Collector]:
    port = free_port()
    sink = [sys.executable, "-m", "bench.sink", "--port", port, "--engine", clickhouse]
    with Process("sink", sink, folder / "rates-sink.log", {"PYTHONPATH": str(ROOT / "tools")}):
        wait_for("the sink", lambda: get(f"http://127.0.0.1:{port}/ping"))
        measured_ones = collectors(f"http://127.0.0.1:{port}")
        for rate in RATES:
            for _ in range(ROUNDS):
                for collector in measured_ones:
                    measured(collector, rate)
            rounds = lambda c: " ".join(f"{cost:.2f}" for cost in c.costs[rate])  # noqa: B023, E731
            costs = ", ".join(f"{c.name} {c.cost(rate):.2f} ({rounds(c)}; {c.lost(rate):.1%} lost)" for c in measured_ones)
            print(f"{rate} flows/s, us of CPU a flow: {costs}", flush=True)
    return measured_ones
