"""What ClickHouse pays for a flow, and what decides it: a sweep of block sizes, formats, columns, sorting keys and rollups.

The same rows (`stage.py`) are inserted into tables as Helios makes them, with one thing changed at a time, from two
connections with the settings that Helios sends. A variant's cost is the CPU of the engine's process until the last
background merge is done, HTTP and decompression included. Afterwards the questions of dashboards are timed on the flows
and on the rollups (`questions.py`). Both tables go to BENCHMARKS.md, between the `clickhouse` marks.

    make bench SUITE=clickhouse                 about 10 minutes
    BENCH_CLICKHOUSE_ROWS=2M make ...           fewer rows a variant
    BENCH_HELIOS=PATH make ...                  flows and schema of another binary than target/release/helios
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

from processes import ROOT

from . import questions, report
from .procs import Process, engine, merges_done, query
from .stage import Body, Stage, drop_views, migrate

ROLLUPS = ("flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h")
# Those that Helios makes: ClickHouse's views make the others of them.
OWN = ("flows_1m", "talkers_1m")
MILLION = 1_000_000
# As sink/src/client/insert.rs sends them: with every insert, with flows whose rollups come beside them, with rollups.
SETTINGS = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "max_insert_threads": "1",
    "max_threads": "1",
}
ROLLED_UP = {"log_comment": "helios: rollups come with the block"}
UNIQUE = {"optimize_on_insert": "0"}
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
    by_views: bool = False
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
    Variant("rollups", "flows_1m, flows_1h, summary_1h", rollups=ROLLUPS[:3]),
    Variant("rollups", "flows_1m, talkers_1m", rollups=OWN),
    Variant("rollups", "all, by ClickHouse's views", by_views=True),
    Variant("sorting key", "received_at", ddl=((KEY, "ORDER BY (received_at)"),)),
    Variant("sorting key", "exporter_name, received_at", ddl=((KEY, "ORDER BY (exporter_name, received_at)"),)),
    Variant(
        "sorting key", "5 minutes, exporter_name, src_as, dst_as",
        ddl=((KEY, "ORDER BY (toStartOfFiveMinutes(received_at), exporter_name, src_as, dst_as)"),),
    ),  # fmt: skip
    Variant("codec on disk", "LZ4", ddl=(("ZSTD(1)", "LZ4"),)),
    Variant("codec on disk", "ZSTD(3)", ddl=(("ZSTD(1)", "ZSTD(3)"),)),
    Variant("insert settings", "max_threads = 2", settings={"max_threads": "2"}),
    Variant("insert settings", "optimize_on_insert = 1 with rollups, too", settings={"optimize_on_insert": "1"}),
    Variant("format", "ArrowStream, uncompressed", packed=False),
    Variant("format", "Native, uncompressed", form="Native", packed=False),
    Variant("names", "strings, not dictionaries, LZ4", plain_strings=True, ddl=(("LowCardinality(String)", "String"),)),
    Variant("block size", "100 k rows", block=100_000),
    Variant("block size", "250 k rows", block=250_000),
    Variant("block size", "500 k rows", block=500_000),
]


@dataclass
class Insert:
    """One INSERT; `settings` are those that Helios sends with it and with no other."""

    table: str
    columns: list[str]
    file: Path
    settings: dict


def insert(what: Insert, form: str, settings: dict, connection: http.client.HTTPConnection):
    parameters = {
        "query": f"INSERT INTO {DATABASE}.{what.table} ({', '.join(what.columns)}) FORMAT {form}",
        "insert_deduplication_token": f"{what.file.name}-{time.time_ns()}",
        **SETTINGS,
        **what.settings,
        **settings,
    }
    connection.request("POST", f"/?{urllib.parse.urlencode(parameters)}", what.file.read_bytes())
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the engine refused a body: {text.decode()[:500]}")


def insert_all(clickhouse: str, blocks: list[list[Insert]], variant: Variant):
    """Every block once, from two connections; the inserts of a block one after the other."""
    address = urllib.parse.urlsplit(clickhouse)
    waiting, lock, failures = iter(blocks), threading.Lock(), []
    settings = {**variant.settings, **({"decompress": "1"} if variant.packed else {})}

    def loop():
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
        try:
            while not failures:
                with lock:
                    block = next(waiting, None)
                if block is None:
                    return
                for what in block:
                    insert(what, variant.form if what.table == "flows" else "ArrowStream", settings, connection)
        except (OSError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=loop) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"bench: {variant.asks}, {variant.name}: {failures[0]}")


def blocks_of(variant: Variant, bodies: list[Body], rollups: dict, columns: list[str]) -> list[list[Insert]]:
    """What Helios sends of these bodies."""
    own = [] if variant.by_views else [table for table in OWN if table in variant.rollups]
    settings = {} if variant.by_views else ROLLED_UP
    return [[Insert("flows", columns, body.file, settings), *(rollups[body.file][table] for table in own)] for body in bodies]


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


def measure(process: Process, clickhouse: str, variant: Variant, bodies: list[Body], rollups: dict, columns: list[str]):
    make_tables(clickhouse, variant)
    merges_done(clickhouse)
    blocks = blocks_of(variant, bodies, rollups, columns)
    cpu, begin = process.cpu_total(), time.monotonic()
    insert_all(clickhouse, blocks, variant)
    wall = time.monotonic() - begin
    merges_done(clickhouse)
    variant.cpu.append(process.cpu_total() - cpu)
    variant.wall.append(wall)
    variant.rows = sum(body.rows for body in bodies)
    variant.wire = sum(body.file.stat().st_size for body in bodies) / variant.rows
    stored = int(query(clickhouse, f"SELECT count() FROM {DATABASE}.flows"))
    for table in variant.rollups:
        side = {"talkers": "total", "summary": "place"}.get(table.split("_")[0])
        totals = f"WHERE side = '{side}'" if side else ""
        summed = int(query(clickhouse, f"SELECT sum(flows) FROM {DATABASE}.{table} {totals}"))
        if summed != variant.rows:
            raise SystemExit(f"bench: {variant.name}: {variant.rows} rows sent, {table} has {summed}")
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


def split(process: Process, clickhouse: str, variant: Variant, bodies: list[Body], rollups: dict, columns: list[str]) -> dict[str, float]:
    """Seconds of the engine's CPU per million flows by what it did: with merges held back, one kind of insert after the other."""
    make_tables(clickhouse, variant)
    query(clickhouse, "SYSTEM STOP MERGES")
    blocks = blocks_of(variant, bodies, rollups, columns)
    rows = sum(body.rows for body in bodies)
    used, cpu = {}, process.cpu_total()

    def spent(what: str):
        nonlocal cpu
        now = process.cpu_total()
        used[what], cpu = (now - cpu) / rows * MILLION, now

    insert_all(clickhouse, [block[:1] for block in blocks], variant)
    spent("inserts of flows")
    for position, table in enumerate(OWN, 1):
        insert_all(clickhouse, [block[position : position + 1] for block in blocks], variant)
        spent(f"inserts of {table}, with what views make of it")
    query(clickhouse, "SYSTEM START MERGES")
    merges_done(clickhouse)
    spent("merges")
    query(clickhouse, f"DROP DATABASE {DATABASE} SYNC")
    for what, seconds in used.items():
        print(f"split: {what}: {seconds:.3f} s of CPU per million flows", flush=True)
    return used


def bodies_of(stage: Stage, variant: Variant) -> list[Body]:
    bodies = stage.bodies(ROWS, variant.block, variant.form, variant.plain_strings)
    if variant.packed:
        for body in bodies:
            body.file.write_bytes(framing.compressed(body.file.read_bytes()))
    return bodies


def rollups_of(stage: Stage, variant: Variant, bodies: list[Body]) -> dict[Path, dict[str, Insert]]:
    """By body, the inserts of its rollups."""
    rollups = {}
    for body in bodies:
        rollups[body.file] = {}
        for table in OWN:
            octets, columns = stage.rolled_up(body, table)
            file = body.file.with_suffix(f".{table}")
            file.write_bytes(framing.compressed(octets) if variant.packed else octets)
            rollups[body.file][table] = Insert(table, columns, file, UNIQUE)
    return rollups


def sweep(process: Process, clickhouse: str, stage: Stage) -> tuple[list[Variant], dict[str, float]]:
    """Variants of the same bodies one after the other, all of them as often as is asked for; what the default's CPU goes to."""
    wanted = [variant for variant in VARIANTS if re.search(ONLY, f"{variant.asks}: {variant.name}")]
    parts = {}
    for key in dict.fromkeys(variant.key for variant in wanted):
        same = [variant for variant in wanted if variant.key == key]
        bodies = bodies_of(stage, same[0])
        rollups = rollups_of(stage, same[0], bodies)
        for _ in range(REPEATS):
            for variant in same:
                measure(process, clickhouse, variant, bodies, rollups, stage.columns)
        if VARIANTS[0] in same:
            parts = split(process, clickhouse, VARIANTS[0], bodies, rollups, stage.columns)
        for body in bodies:
            body.file.unlink()
            for what in rollups[body.file].values():
                what.file.unlink()
    return wanted, parts


def main():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helios-bench-")))
        process, clickhouse = engine(folder)
        stack.enter_context(process)
        print(f"receiving {max(ROWS, QUESTION_ROWS)} flows", flush=True)
        stage = Stage(folder, clickhouse, max(ROWS, QUESTION_ROWS))
        print(f"{stage.rows} rows with {len(stage.columns)} columns that hold anything", flush=True)
        variants, parts = sweep(process, clickhouse, stage)
        answers = questions.ask(process, clickhouse, stage) if not ONLY else []
    if not ONLY:
        report.write_clickhouse(ROOT, variants, parts, answers, REPEATS)


if __name__ == "__main__":
    main()
