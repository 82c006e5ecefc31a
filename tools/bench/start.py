"""How long a start with the saved state of many exporters takes.

`helios simulate` announces the templates of many exporters to a `helios run` with a state directory. Then the process is
stopped, and started again and again with what it saved: until
its port is bound (read from /proc/net/udp), and until it says that it receives. Nothing needs to listen where rows
would go. The report goes to BENCHMARKS.md (between its `start` marks).

    make bench SUITE=start
    PYTHONPATH=tools python3 -m bench.start OTHER    the start of another helios with the same state beside it
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from . import report
from .procs import Process, helios_binary

EXPORTERS = int(os.environ.get("BENCH_EXPORTERS", "2000"))
TEMPLATES = int(os.environ.get("BENCH_TEMPLATES", "20"))
RATE = os.environ.get("BENCH_RATE", "50k")
SECONDS = int(os.environ.get("BENCH_SECONDS", "20"))
STARTS = 15


class Helios(Process):
    """A `helios run` with a state directory, and when it was started."""

    def __init__(self, binary: Path, folder: Path, state: Path):
        self.port, self.admin = free_port(), free_port()
        settings = {
            "collector.state_dir": state,
            # Of its own: what an earlier process left there would be part of the start.
            "clickhouse.spool.directory": tempfile.mkdtemp(dir=folder),
            "clickhouse.max_backlog_bytes": 16 << 20,
            "admin.listen": f"127.0.0.1:{self.admin}",
        }
        command = [binary, "run", "--listen", f"127.0.0.1:{self.port}", "--clickhouse-url", "http://127.0.0.1:9"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        self.began = time.monotonic()
        super().__init__("helios", command, folder / "helios.log")

    def is_bound(self) -> bool:
        return f":{self.port:04X} " in Path("/proc/net/udp").read_text()

    def says_it_receives(self) -> bool:
        return b"helios is receiving" in self.log.read_bytes()

    def milliseconds_until(self, condition) -> float:
        while not condition():
            if not self.alive() or time.monotonic() - self.began > 60:
                raise SystemExit(f"bench: helios did not start: {self.log.read_text()}")
        return (time.monotonic() - self.began) * 1e3


def fill(folder: Path, state: Path):
    """Has the exporters announce themselves and send flows."""
    with Helios(helios_binary(), folder, state) as helios:
        wait_for("helios to answer", lambda: get(f"http://127.0.0.1:{helios.admin}/healthz"))
        command = [helios_binary(), "simulate", "--target", f"127.0.0.1:{helios.port}", "--protocol", "v9,ipfix"]
        command += ["--exporters", EXPORTERS, "--templates", TEMPLATES, "--rate", RATE, "--duration", f"{SECONDS}s"]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def starts(binary: Path, folder: Path, state: Path) -> dict[str, float]:
    """Milliseconds of a start, the median of several."""
    bound, receiving = [], []
    for _ in range(STARTS):
        with Helios(binary, folder, state) as helios:
            bound.append(helios.milliseconds_until(helios.is_bound))
            receiving.append(helios.milliseconds_until(helios.says_it_receives))
            helios.child.kill()  # A stop would wait for ClickHouse, which is not there.
    return {"bound": statistics.median(bound), "receiving": statistics.median(receiving), "worst": max(receiving)}


def main():
    others = [Path(path) for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="helios-bench-") as folder:
        folder = Path(folder)
        state = folder / "state"
        fill(folder, state)
        octets = sum(path.stat().st_size for path in state.iterdir() if path.is_file())
        rows = [("no state", starts(helios_binary(), folder, folder / "none")), ("all", starts(helios_binary(), folder, state))]
        rows += [(f"all, {path.name}", starts(path, folder, state)) for path in others]
    report.write_start(ROOT, rows, {"exporters": EXPORTERS, "templates": TEMPLATES, "octets": octets})


if __name__ == "__main__":
    main()
