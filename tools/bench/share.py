"""What Helios leaves of ClickHouse's speed: UDP to rows, against a bare loop of INSERTs of the same flows.

Both get the same cores, empty tables, two connections and settings as Helios sends them. The bare loop sends the bodies that
Helios made of these flows for a sink that only reads, and no rollups; nothing is decoded or compressed meanwhile, so
what it reaches is the engine's own. Helios gets the flows from UDP, with the generator on the same cores, faster than the
engine takes them. The clock runs from the first octet to the last acknowledgement; the engine's CPU is counted until its last
merge is done. They run by turns, and the best of each counts.
"""

import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .procs import Process, merges_done, query

CONNECTIONS = 2
TABLES = ("flows", "flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h")


@dataclass
class Run:
    """Rows that were stored, the time until the last was acknowledged, and what the engine used for them."""

    rows: int
    seconds: float
    engine_cpu: float
    others_cpu: float = 0.0

    @property
    def per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def per_core(self) -> float:
        return self.rows / self.engine_cpu


@dataclass
class Share:
    bare: Run
    helios: Run

    @property
    def of_time(self) -> float:
        return self.helios.per_second / self.bare.per_second

    @property
    def left_by_cpu(self) -> float:
        """What Helios and the generator leave of busy cores: more than that share of the time nobody could reach."""
        return self.helios.engine_cpu / (self.helios.engine_cpu + self.helios.others_cpu)

    @property
    def of_cpu(self) -> float:
        """What Helios' blocks cost the engine, against the bare loop's."""
        return self.helios.per_core / self.bare.per_core


def measured(process: Process, clickhouse: str, work: Callable[[], float]) -> Run:
    """Runs `work`, which tells the CPU of others, on empty tables and an engine with nothing to do."""
    for table in TABLES:
        query(clickhouse, f"TRUNCATE TABLE helios.{table}")
    merges_done(clickhouse)
    cpu, begin = process.cpu_total(), time.monotonic()
    others = work()
    seconds = time.monotonic() - begin
    merges_done(clickhouse)
    used = process.cpu_total() - cpu
    return Run(int(query(clickhouse, "SELECT count() FROM helios.flows")), seconds, used, others)


def bare_inserts(clickhouse: str, folder: Path) -> float:
    """Every kept body once, from two connections that do nothing else."""
    address = urllib.parse.urlsplit(clickhouse)
    bodies = iter([(file.with_suffix(".query").read_text(), file.read_bytes()) for file in sorted(folder.glob("*.body"))])
    lock, failures = threading.Lock(), []

    def loop():
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
        while not failures:
            with lock:
                target, body = next(bodies, (None, None))
            if target is None:
                return
            split = urllib.parse.urlsplit(target)
            parameters = dict(urllib.parse.parse_qsl(split.query))
            # Another one than Helios', or the second run would be taken for a repetition.
            parameters["insert_deduplication_token"] = f"bare-{time.time_ns()}"
            connection.request("POST", f"{split.path}?{urllib.parse.urlencode(parameters)}", body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                failures.append(text.decode())

    threads = [threading.Thread(target=loop) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"bench: a bare insert failed: {failures[0]}")
    return 0.0


def best(runs: list[Run]) -> Run:
    return max(runs, key=lambda run: run.per_second)
