"""Processes under measurement: started, watched in /proc, ended by their own id."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from processes import ROOT, engine_command, get, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def helios_binary() -> Path:
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/helios"
    return Path(os.environ.get("BENCH_HELIOS", built))


class Process:
    """A program of its own; `with` ends it, first politely."""

    def __init__(self, name: str, command: list, log: Path, env: dict | None = None, cwd: Path | None = None):
        self.name, self.log = name, log
        with open(log, "wb") as output:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, seconds: float = 60.0) -> int:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return self.child.returncode

    def alive(self) -> bool:
        return self.child.poll() is None

    def cpu(self) -> dict[str, float]:
        """CPU seconds, user and system, by thread name without its number."""
        seconds: dict[str, float] = {}
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            try:
                stat = (task / "stat").read_text()
            except OSError:
                continue  # The thread has ended since it was listed.
            name = stat[stat.index("(") + 1 : stat.rindex(")")]
            fields = stat[stat.rindex(")") + 2 :].split()
            stage = re.sub(r"[-_ ]?\d+$", "", name)
            seconds[stage] = seconds.get(stage, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
        return seconds

    def cpu_total(self) -> float:
        """CPU seconds of the process, threads that have ended included, by the kernel's clock of it (CPUCLOCK_SCHED)."""
        return time.clock_gettime((~self.child.pid << 3) | 2)

    def resident(self) -> int:
        return int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]) * PAGE


def engine(folder: Path) -> tuple[Process, str]:
    """The ClickHouse engine behind ClickHouse's HTTP interface, and its address."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command, variables = engine_command(folder / "data", port_file)
    # In the folder, because the engine leaves files where it is started.
    process = Process("engine", command, folder / "engine.log", variables, folder)
    port = wait_for("the engine", lambda: port_file.exists() and port_file.read_text().strip())
    return process, f"http://127.0.0.1:{port}"


def query(url: str, sql: str, raw: bool = False):
    """The answer as text, or as the octets that came."""
    request = urllib.request.Request(url, data=sql.encode())
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            octets = answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"bench: ClickHouse refused a statement: {error.read().decode()[:500]}\n{sql[:500]}") from error
    return octets if raw else octets.decode().strip()


def merges_done(url: str, seconds: float = 300.0):
    """Waits until the engine has had nothing to merge for two seconds: new parts are looked at within one."""
    quiet = [time.monotonic()]

    def done() -> bool:
        if int(query(url, "SELECT count() FROM system.merges")):
            quiet[0] = time.monotonic()
        return time.monotonic() - quiet[0] > 2

    wait_for("the engine's merges", done, seconds)


class Metrics:
    """One scrape of an OpenMetrics page."""

    def __init__(self, url: str):
        self.samples = []
        for line in get(url).splitlines():
            if match := re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", line):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                self.samples.append((match[1], labels, float(match[3])))

    def sum(self, name: str, **wanted: str) -> float:
        return sum(
            value
            for sample, labels, value in self.samples
            if sample == name and all(labels.get(key) == text for key, text in wanted.items())
        )

    def quantile(self, name: str, share: float, before: "Metrics") -> float:
        """A quantile of a histogram over what came between two scrapes, on a straight line within its bucket."""
        counts: dict[float, float] = {}
        for scrape, sign in ((self, 1), (before, -1)):
            for sample, labels, value in scrape.samples:
                if sample == f"{name}_bucket":
                    edge = float(labels["le"].replace("+Inf", "inf"))
                    counts[edge] = counts.get(edge, 0.0) + sign * value
        edges = sorted(counts)
        total = counts[edges[-1]] if edges else 0
        below, begin = 0.0, 0.0
        for edge in edges:
            if total and counts[edge] >= share * total:
                return begin + (edge - begin) * (share * total - below) / max(counts[edge] - below, 1e-9)
            below, begin = counts[edge], edge
        return float("nan")
