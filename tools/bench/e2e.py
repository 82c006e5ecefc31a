"""The pipeline from UDP to rows, at stepped rates: what arrives, what is lost where, and what it costs.

`helios simulate` -> UDP on loopback -> `helios run` -> (a) a sink that only reads, (b) the ClickHouse engine, all on
this machine. CPU is the process's own, by thread; the generator and the sink run on the same cores and are not
counted in it. The report goes to BENCHMARKS.md (between its `e2e` marks) with a plot beside it.

    make bench SUITE=e2e                          about 6 minutes
    BENCH_SECONDS=10 make bench SUITE=e2e         longer steps
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from . import report, share
from .procs import Metrics, Process, engine, helios_binary, query

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
EXPORTERS = int(os.environ.get("BENCH_EXPORTERS", "100"))
STEPS_SINK = [250e3, 500e3, 1e6, 1.5e6, 2e6, 3e6, 4e6]
# More than the engine takes on two cores, for as long as makes a few of the largest blocks.
SHARE_RATE = 500e3
SHARE_FLOWS = int(os.environ.get("BENCH_SHARE_FLOWS", "4000000"))
SHARE_TURNS = 2
STEPS_ENGINE = [25e3, 50e3, 100e3, 150e3, 200e3, 300e3]
GROUPS = {"receive": "receive + decode", "enrich": "enrich", "block": "block + compress", "async": "send"}


@dataclass
class Step:
    """What one rate gave."""

    target: str
    compression: str
    asked: float
    sent: int = 0
    seconds: float = 0.0
    received: int = 0
    stored: int = 0
    lost: dict = field(default_factory=dict)
    cpu: dict = field(default_factory=dict)
    resident: int = 0
    p50: float = 0.0
    p99: float = 0.0
    imbalance: float = 0.0

    @property
    def offered(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def cpu_total(self) -> float:
        return sum(self.cpu.values())

    def per_million(self, group: str) -> float:
        return self.cpu.get(group, 0.0) / max(self.stored, 1) * 1e6


class Pipeline:
    """A `helios run` for measurements."""

    def __init__(self, folder: Path, clickhouse: str, compression: str, settings: list[str] = ()):
        self.flows = f"127.0.0.1:{free_port()}"
        self.admin = f"127.0.0.1:{free_port()}"
        subprocess.run([helios_binary(), "simulate", "--write-geoip", folder], check=True, stdout=subprocess.DEVNULL)
        options = [
            f"admin.listen={self.admin}",
            f"clickhouse.compression={compression}",
            f"enricher.geoip.city={folder / 'city.mmdb'}",
            f"enricher.geoip.asn={folder / 'asn.mmdb'}",
            *settings,
        ]
        command = [helios_binary(), "run", "--listen", self.flows, "--clickhouse-url", clickhouse]
        for option in options:
            command += ["--set", option]
        self.process = Process("helios", command, folder / "helios.log")
        wait_for("helios to be ready", lambda: get(f"http://{self.admin}/readyz"))

    def metrics(self) -> Metrics:
        return Metrics(f"http://{self.admin}/metrics")

    def idle(self) -> bool:
        return self.metrics().sum("helios_pipeline_rows_in_flight") == 0


def simulate(
    target: str, rate: float, seconds: float, summary: Path, extra: list[str] = (), exporters: int = EXPORTERS
) -> dict:
    command = [
        helios_binary(), "simulate", "--target", target, "--rate", str(int(rate)), "--exporters", str(exporters),
        "--summary-json", str(summary), *(["--duration", f"{seconds}s"] if seconds else []), *extra,
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"bench: simulate failed: {done.stderr.decode()}")
    return json.loads(summary.read_text())


def lost(now: Metrics, before: Metrics) -> dict:
    """Where flows went, by metric; datagrams of the kernel are shown as datagrams."""
    kernel = "helios_collector_socket_dropped_datagrams_total"
    losses = {"kernel, datagrams": now.sum(kernel) - before.sum(kernel)}
    dropped = "helios_pipeline_rows_dropped_total"
    for sample, labels, _ in now.samples:
        if sample == dropped:
            place = f"{labels['stage']} {labels['reason']}"
            losses[place] = now.sum(dropped, **labels) - before.sum(dropped, **labels)
    return {place: int(count) for place, count in losses.items() if count}


def step(pipeline: Pipeline, folder: Path, result: Step, exporters: int = EXPORTERS) -> Step:
    """Sends at one rate and waits until everything that was received is stored."""
    before, cpu = pipeline.metrics(), pipeline.process.cpu()
    peak = [0]
    running = threading.Event()

    def watch():
        while not running.wait(0.1):
            peak[0] = max(peak[0], pipeline.process.resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    begin = time.monotonic()
    summary = simulate(pipeline.flows, result.asked, SECONDS, folder / "sent.json", exporters=exporters)
    result.seconds = time.monotonic() - begin
    wait_for("the pipeline to be empty", pipeline.idle, 300)
    running.set()
    watcher.join()
    now, cpu_now = pipeline.metrics(), pipeline.process.cpu()
    counters = {"received": "helios_pipeline_rows_decoded_total", "stored": "helios_pipeline_rows_stored_total"}
    for name, metric in counters.items():
        setattr(result, name, int(now.sum(metric) - before.sum(metric)))
    result.sent = summary["total"]["flows"]
    result.lost = lost(now, before)
    result.cpu = group_cpu({name: seconds - cpu.get(name, 0.0) for name, seconds in cpu_now.items()})
    result.resident = peak[0]
    result.p50 = now.quantile("helios_sink_latency_seconds", 0.5, before)
    result.p99 = now.quantile("helios_sink_latency_seconds", 0.99, before)
    result.imbalance = now.sum("helios_pipeline_rows_imbalance")
    print(report.step_line(result), flush=True)
    return result


def group_cpu(threads: dict[str, float]) -> dict[str, float]:
    grouped: dict[str, float] = {}
    for name, seconds in threads.items():
        group = next((group for start, group in GROUPS.items() if name.startswith(start)), "other")
        grouped[group] = grouped.get(group, 0.0) + seconds
    return grouped


def reading_sink(folder: Path, clickhouse: str, compression: str) -> list[Step]:
    port = free_port()
    command = [sys.executable, "-m", "bench.sink", "--port", port, "--engine", clickhouse]
    steps = []
    with Process("sink", command, folder / "sink.log", {"PYTHONPATH": str(ROOT / "tools")}):
        wait_for("the sink", lambda: get(f"http://127.0.0.1:{port}/ping"))
        pipeline = Pipeline(folder, f"http://127.0.0.1:{port}", compression)
        with pipeline.process:
            for rate in STEPS_SINK:
                done = step(pipeline, folder, Step("reading sink", compression, rate))
                steps.append(done)
                if done.received < 0.7 * done.sent or done.offered < 0.7 * rate:
                    break
    return steps


def into_engine(folder: Path, clickhouse: str) -> list[Step]:
    steps = []
    pipeline = Pipeline(folder, clickhouse, "lz4")
    with pipeline.process:
        for rate in STEPS_ENGINE:
            steps.append(step(pipeline, folder, Step("ClickHouse engine", "lz4", rate)))
            if steps[-1].stored < 0.7 * steps[-1].sent:
                break
    return steps


def share_of_engine(process: Process, folder: Path, clickhouse: str) -> share.Share:
    """Both ways of storing the same flows, by turns."""
    kept = folder / "inserts"
    kept.mkdir()
    keep_inserts(folder, clickhouse, kept)
    bare, helios = [], []
    for turn in range(SHARE_TURNS):
        bare.append(share.measured(process, clickhouse, lambda: share.bare_inserts(clickhouse, kept)))
        pipeline = Pipeline(folder, clickhouse, "lz4")
        with pipeline.process:
            helios.append(share.measured(process, clickhouse, lambda: store_all(pipeline, folder)))  # noqa: B023
        print(f"turn {turn + 1}: bare {bare[-1].per_second / 1e3:.0f} k rows/s, helios {helios[-1].per_second / 1e3:.0f} k rows/s", flush=True)
    return share.Share(share.best(bare), share.best(helios))


def keep_inserts(folder: Path, clickhouse: str, kept: Path):
    """Has a sink that reads keep what Helios makes of the flows."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sink", "--port", port, "--engine", clickhouse, "--keep", kept]
    with Process("sink", command, folder / "keep.log", {"PYTHONPATH": str(ROOT / "tools")}):
        wait_for("the sink", lambda: get(f"http://127.0.0.1:{port}/ping"))
        pipeline = Pipeline(folder, f"http://127.0.0.1:{port}", "lz4", ["clickhouse.flush_interval_ms=60000"])
        with pipeline.process:
            simulate(pipeline.flows, SHARE_RATE, 0, folder / "sent.json", ["--count", str(SHARE_FLOWS)])


def store_all(pipeline: Pipeline, folder: Path) -> float:
    """Sends the flows and waits until the last one is stored; returns the CPU of Helios and of the generator."""
    before, children = pipeline.process.cpu_total(), os.times()
    simulate(pipeline.flows, SHARE_RATE, 0, folder / "sent.json", ["--count", str(SHARE_FLOWS)])
    wait_for("the engine to catch up", pipeline.idle, 300)
    generator = os.times().children_user + os.times().children_system - children.children_user - children.children_system
    return pipeline.process.cpu_total() - before + generator


def disk(clickhouse: str) -> dict:
    query(clickhouse, "OPTIMIZE TABLE helios.flows FINAL")
    answer = query(
        clickhouse,
        "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE database = 'helios' AND table = 'flows' AND active",
    )
    rows, octets = map(int, answer.split("\t"))
    return {"rows": rows, "bytes_per_flow": octets / max(rows, 1)}


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-bench-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        subprocess.run([helios_binary(), "migrate", "--clickhouse-url", clickhouse], check=True, stdout=subprocess.DEVNULL)
        steps = []
        for compression in ("none", "lz4"):
            steps += reading_sink(folder, clickhouse, compression)
        steps += into_engine(folder, clickhouse)
        figures = {"share": share_of_engine(process, folder, clickhouse), "disk": disk(clickhouse)}
    report.write_e2e(ROOT, steps, figures, SECONDS, EXPORTERS)


if __name__ == "__main__":
    main()
