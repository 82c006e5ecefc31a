"""What the defaults of workers, batches and blocks rest on, and what Helios takes when little happens.

One setting at a time differs from the defaults; every one gets the same flows over UDP and sends them to a sink that only
reads. Idle CPU is measured with the defaults. The tables go to BENCHMARKS.md, between the `sweep` marks.

    make bench SUITE=sweep                        about 4 minutes
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from . import report
from .e2e import Pipeline, Step, step
from .procs import Process, engine, helios_binary

# (setting, values).
SWEEP = [
    ("collector.workers", [1, 2]),
    ("collector.batch_rows", [2048, 4096, 8192, 16384, 32768]),
    ("collector.queue_batches", [16, 64, 256]),
    ("clickhouse.block_rows", [100_000, 250_000, 500_000, 1_000_000]),
]
RATE = 800e3
IDLE_SECONDS = 10.0
REPEATS = int(os.environ.get("BENCH_SWEEP_REPEATS", "2"))


def cheapest(steps: list[Step]) -> Step:
    """The run that the machine's other work disturbed least."""
    return min(steps, key=lambda step: step.cpu_total / max(step.stored, 1))


def sweep(folder: Path, sink: str) -> list[tuple[str, str, Step]]:
    rows = []
    for setting, values in SWEEP:
        for value in values:
            runs = []
            for _ in range(REPEATS):
                pipeline = Pipeline(folder, sink, "lz4", [f"{setting}={value}"])
                with pipeline.process:
                    runs.append(step(pipeline, folder, Step(f"{setting} = {value}", "lz4", RATE)))
            rows.append((setting, f"{value:,}", cheapest(runs)))
    return rows


def idle(folder: Path, sink: str) -> float:
    """CPU seconds per second of a Helios that gets nothing."""
    pipeline = Pipeline(folder, sink, "lz4")
    with pipeline.process:
        time.sleep(2)  # Start-up is not idling.
        before = pipeline.process.cpu_total()
        time.sleep(IDLE_SECONDS)
        return (pipeline.process.cpu_total() - before) / IDLE_SECONDS


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-bench-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        subprocess.run([helios_binary(), "migrate", "--clickhouse-url", clickhouse], check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        command = [sys.executable, "-m", "bench.sink", "--port", port, "--engine", clickhouse]
        stack.enter_context(Process("sink", command, folder / "sink.log", {"PYTHONPATH": str(ROOT / "tools")}))
        sink = f"http://127.0.0.1:{port}"
        wait_for("the sink", lambda: get(f"{sink}/ping"))
        rows = sweep(folder, sink)
        figures = {"idle": idle(folder, sink)}
    report.write_sweep(ROOT, rows, figures, RATE, REPEATS)


if __name__ == "__main__":
    main()
