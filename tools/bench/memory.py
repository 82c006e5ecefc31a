"""Resident memory with many exporters, minute by minute: flat at a usual rate, and at the rate that two cores can do.

`helios simulate` announces the templates of 2,000 exporters to a `helios run` with a state directory and sends flows of
them for minutes; then as fast as they are taken. Everything goes to a sink that only reads. The table goes to
BENCHMARKS.md (between its `memory` marks).

    make bench SUITE=memory                       about 11 minutes
    BENCH_MINUTES=2 make bench SUITE=memory       a shorter one
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from . import report
from .e2e import Pipeline, lost, simulate
from .procs import Process, engine, helios_binary

EXPORTERS = int(os.environ.get("BENCH_EXPORTERS", "2000"))
TEMPLATES = int(os.environ.get("BENCH_TEMPLATES", "20"))
MINUTES = int(os.environ.get("BENCH_MINUTES", "10"))
RATE = 50e3
# What they send with the same templates is larger than `simulate`'s usual datagrams: a rate that loses nothing here.
FULL_RATE = 1.5e6
FULL_SECONDS = 20


@dataclass
class Load:
    """What a load left resident: the peak of every minute, or of all of it if it is shorter."""

    rate: float
    flows: int
    stored: int
    lost: dict
    peaks: list[int]
    cpu: float


def load(pipeline: Pipeline, folder: Path, rate: float, seconds: float) -> Load:
    before, cpu = pipeline.metrics(), pipeline.process.cpu_total()
    peaks, over, begin = [0], threading.Event(), time.monotonic()

    def watch():
        while not over.wait(0.25):
            minute = int((time.monotonic() - begin) / 60)
            peaks.extend([0] * (minute + 1 - len(peaks)))
            peaks[minute] = max(peaks[minute], pipeline.process.resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    extra = ["--protocol", "v9,ipfix", "--templates", str(TEMPLATES)]
    sent = simulate(pipeline.flows, rate, seconds, folder / "sent.json", extra, EXPORTERS)["total"]["flows"]
    wait_for("the pipeline to be empty", pipeline.idle, 300)
    over.set()
    watcher.join()
    now = pipeline.metrics()
    stored = "helios_pipeline_rows_stored_total"
    done = Load(
        sent / seconds, sent, int(now.sum(stored) - before.sum(stored)), lost(now, before), [peak for peak in peaks if peak],
        pipeline.process.cpu_total() - cpu,
    )  # fmt: skip
    print(f"{rate / 1e3:,.0f} k flows/s: {[peak >> 20 for peak in done.peaks]} MiB, {done.stored:,} of {sent:,} stored", flush=True)
    return done


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-bench-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        subprocess.run([helios_binary(), "migrate", "--clickhouse-url", clickhouse], check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        command = [sys.executable, "-m", "bench.sink", "--port", port, "--engine", clickhouse]
        stack.enter_context(Process("sink", command, folder / "sink.log", {"PYTHONPATH": str(ROOT / "tools")}))
        wait_for("the sink", lambda: get(f"http://127.0.0.1:{port}/ping"))
        pipeline = Pipeline(folder, f"http://127.0.0.1:{port}", "lz4", [f"collector.state_dir={folder / 'state'}"])
        with pipeline.process:
            empty = pipeline.process.resident()
            loads = [load(pipeline, folder, RATE, MINUTES * 60), load(pipeline, folder, FULL_RATE, FULL_SECONDS)]
    report.write_memory(ROOT, empty, loads, {"exporters": EXPORTERS, "templates": TEMPLATES})


if __name__ == "__main__":
    main()
