"""What ClickHouse pays for a flow, and what decides it: a sweep of block sizes, formats, columns, sorting keys and rollups.

The same rows (`stage.py`) are inserted into tables as Helios makes them, with one thing changed at a time, from two
connections with the settings that Helios sends. A variant's cost is the CPU of the engine's process until the last
background merge is done, HTTP and decompression included. Afterwards the questions of dashboards are timed on the flows
and on the rollups (`questions.py`). Both tables go to BENCHMARKS.md, between the `clickhouse` marks.

    make bench SUITE=clickhouse                 about 10 minutes
    BENCH_CLICKHOUSE_ROWS=2M make ...           fewer rows a variant
    BENCH_CLICKHOUSE_ONLY=block make ...        only variants whose name has that in it; BENCHMARKS.md stays as it is
"""

import contextlib
import http.client
import os
import re
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from clickhouse_http import framing

from . import questions, report
from .procs import ROOT, Process, engine, merges_done, query
from .stage import Body, Stage, drop_views, migrate

ROLLUPS = ("flows_1m", "flows_1h", "talkers_1h")
MILLION = 1_000_000
# As sink/src/client.rs sends them.
SETTINGS = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "max_insert_threads": "1",
    "max_threads": "1",
}
CONNECTIONS = 2
DATABASE = "sweep"
KEY = "ORDER BY (exporter_name, toStartOfFiveMinutes(received_at), src_as, dst_as)"


def number(text: str) -> int:
    return int(float(text[:-1]) * {"k": 1000, "M": MILLION}[text[-1]]) if text[-1] in "kM" else int(text)


ROWS = number(os.environ.get("BENCH_CLICKHOUSE_ROWS", "4M"))
QUESTION_ROWS = number(os.environ.get("BENCH_CLICKHOUSE_QUESTION_ROWS", "10M"))
REPEATS = int(os.environ.get("BENCH_CLICKHOUSE_REPEATS", "1"))
ONLY = os.environ.get("BENCH_CLICKHOUSE_ONLY", "")


@dataclass
class Variant:
    """One thing that differs from what Helios does by default, and what it cost."""

    asks: str
    name: str
    block: int = MILLION
    form: str = "ArrowStream"
    packed: bool = True
    plain_strings: bool = False
    rollups: tuple[str, ...] = ROLLUPS
    ddl: tuple[tuple[str, str], ...] = ()
    settings: dict = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    rows: int = 0
    wire: float = 0.0
    disk: float = 0.0

    @property
    def per_core(self) -> float:
        return self.rows / min(self.cpu) if self.cpu else 0.0

    @property
    def per_second(self) -> float:
        return self.rows / min(self.wall) if self.wall else 0.0

    @property
    def key(self) -> tuple:
        """What its bodies depend on."""
        return self.block, self.form, self.packed, self.plain_strings


VARIANTS = [
    Variant("default", "1 M rows, ArrowStream with dictionaries, LZ4, all rollups"),
    Variant("rollups", "none", rollups=()),
    Variant("rollups", "flows_1m", rollups=ROLLUPS[:1]),
    Variant("rollups", "flows_1m, flows_1h", rollups=ROLLUPS[:2]),
    Variant("sorting key", "received_at", ddl=((KEY, "ORDER BY (received_at)"),)),
    Variant("sorting key", "exporter_name, received_at", ddl=((KEY, "ORDER BY (exporter_name, received_at)"),)),
    Variant(
        "sorting key", "5 minutes, exporter_name, src_as, dst_as",
        ddl=((KEY, "ORDER BY (toStartOfFiveMinutes(received_at), exporter_name, src_as, dst_as)"),),
    ),  # fmt: skip
    Variant("codec on disk", "LZ4", ddl=(("ZSTD(1)", "LZ4"),)),
    Variant("codec on disk", "ZSTD(3)", ddl=(("ZSTD(1)", "ZSTD(3)"),)),
    Variant("insert settings", "max_threads = 2", settings={"max_threads": "2"}),
    Variant("insert settings", "optimize_on_insert = 0", settings={"optimize_on_insert": "0"}),
    Variant("format", "ArrowStream, uncompressed", packed=False),
    Variant("format", "Native, uncompressed", form="Native", packed=False),
    Variant("names", "strings, not dictionaries, LZ4", plain_strings=True, ddl=(("LowCardinality(String)", "String"),)),
    Variant("block size", "100 k rows", block=100_000),
    Variant("block size", "250 k rows", block=250_000),
    Variant("block size", "500 k rows", block=500_000),
]


def insert(clickhouse: str, body: Body, form: str, columns: list[str], settings: dict, connection: http.client.HTTPConnection):
    parameters = {
        "query": f"INSERT INTO {DATABASE}.flows ({', '.join(columns)}) FORMAT {form}",
        "insert_deduplication_token": f"{body.file.name}-{time.time_ns()}",
        **SETTINGS,
        **settings,
    }
    connection.request("POST", f"/?{urllib.parse.urlencode(parameters)}", body.file.read_bytes())
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the engine refused a body: {text.decode()[:500]}")


def insert_all(clickhouse: str, bodies: list[Body], variant: Variant, columns: list[str]):
    """Every body once, from two connections."""
    address = urllib.parse.urlsplit(clickhouse)
    waiting, lock, failures = iter(bodies), threading.Lock(), []
    settings = {**variant.settings, **({"decompress": "1"} if variant.packed else {})}

    def loop():
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
        try:
            while not failures:
                with lock:
                    body = next(waiting, None)
                if body is None:
                    return
                insert(clickhouse, body, variant.form, columns, settings, connection)
        except (OSError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=loop) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"bench: {variant.asks}, {variant.name}: {failures[0]}")


def make_tables(clickhouse: str, variant: Variant):
    migrate(clickhouse, DATABASE)
    drop_views(clickhouse, DATABASE, variant.rollups)
    if not variant.ddl:
        return
    create = query(clickhouse, f"SELECT create_table_query FROM system.tables WHERE database = '{DATABASE}' AND name = 'flows' FORMAT TSVRaw")
    for old, new in variant.ddl:
        if old not in create:
            raise SystemExit(f"bench: the table has no {old}, this script has to follow the schema: {create}")
        create = create.replace(old, new)
    # Views name the table and do not mind that it is another one.
    query(clickhouse, f"DROP TABLE {DATABASE}.flows SYNC")
    query(clickhouse, create)


def measure(process: Process, clickhouse: str, variant: Variant, bodies: list[Body], columns: list[str]):
    make_tables(clickhouse, variant)
    merges_done(clickhouse)
    cpu, begin = process.cpu_total(), time.monotonic()
    insert_all(clickhouse, bodies, variant, columns)
    wall = time.monotonic() - begin
    merges_done(clickhouse)
    variant.cpu.append(process.cpu_total() - cpu)
    variant.wall.append(wall)
    variant.rows = sum(body.rows for body in bodies)
    variant.wire = sum(body.file.stat().st_size for body in bodies) / variant.rows
    stored = int(query(clickhouse, f"SELECT count() FROM {DATABASE}.flows"))
    if stored != variant.rows:
        raise SystemExit(f"bench: {variant.name}: {variant.rows} rows sent, {stored} stored")
    if not variant.disk:
        query(clickhouse, f"OPTIMIZE TABLE {DATABASE}.flows FINAL")
        size = f"SELECT sum(bytes_on_disk) FROM system.parts WHERE database = '{DATABASE}' AND table = 'flows' AND active"
        variant.disk = int(query(clickhouse, size)) / variant.rows
    query(clickhouse, f"DROP DATABASE {DATABASE} SYNC")
    print(
        f"{variant.asks}, {variant.name}: {variant.rows} rows, {variant.rows / variant.cpu[-1] / 1e3:.0f} k rows per core-second, "
        f"{variant.rows / wall / 1e3:.0f} k rows/s, {variant.wire:.1f} octets/row sent, {variant.disk:.1f} on disk",
        flush=True,
    )


def bodies_of(stage: Stage, variant: Variant) -> list[Body]:
    bodies = stage.bodies(ROWS, variant.block, variant.form, variant.plain_strings)
    if variant.packed:
        for body in bodies:
            body.file.write_bytes(framing.compressed(body.file.read_bytes()))
    return bodies


def sweep(process: Process, clickhouse: str, stage: Stage) -> list[Variant]:
    """Variants of the same bodies one after the other, all of them as often as is asked for."""
    wanted = [variant for variant in VARIANTS if re.search(ONLY, f"{variant.asks}: {variant.name}")]
    for key in dict.fromkeys(variant.key for variant in wanted):
        same = [variant for variant in wanted if variant.key == key]
        bodies = bodies_of(stage, same[0])
        for _ in range(REPEATS):
            for variant in same:
                measure(process, clickhouse, variant, bodies, stage.columns)
        for body in bodies:
            body.file.unlink()
    return wanted


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-bench-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        print(f"receiving {max(ROWS, QUESTION_ROWS)} flows", flush=True)
        stage = Stage(folder, clickhouse, max(ROWS, QUESTION_ROWS))
        print(f"{stage.rows} rows with {len(stage.columns)} columns that hold anything", flush=True)
        variants = sweep(process, clickhouse, stage)
        answers = questions.ask(process, clickhouse, stage) if not ONLY else []
    if not ONLY:
        report.write_clickhouse(ROOT, variants, answers, REPEATS)


if __name__ == "__main__":
    main()
