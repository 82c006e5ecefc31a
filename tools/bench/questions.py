"""What dashboards ask, timed on the flows and on the rollup that answers the same.

Six hours of flows, of which every question asks for all: the staged rows with their times drawn out to that.
"""

import time
from dataclasses import dataclass

from .procs import Process, merges_done, query
from .stage import DATABASE as STAGE
from .stage import Stage, migrate

DATABASE = "dashboards"
HOURS = 6
REPEATS = 5
# (question, table, statement); {t} is the database.
QUESTIONS = [
    ("top talkers", "flows", "SELECT src_addr AS host, sum(bytes * sampling_interval) AS octets FROM {t}.flows GROUP BY host ORDER BY octets DESC LIMIT 10"),
    ("top talkers", "talkers_1h", "SELECT host, sum(bytes) AS octets FROM {t}.talkers_1h WHERE side = 'src' GROUP BY host ORDER BY octets DESC LIMIT 10"),
    ("AS matrix", "flows", "SELECT src_as, dst_as, sum(bytes * sampling_interval) AS octets FROM {t}.flows GROUP BY src_as, dst_as ORDER BY octets DESC LIMIT 20"),
    ("AS matrix", "flows_1m", "SELECT src_as, dst_as, sum(bytes) AS octets FROM {t}.flows_1m GROUP BY src_as, dst_as ORDER BY octets DESC LIMIT 20"),
    ("AS matrix", "flows_1h", "SELECT src_as, dst_as, sum(bytes) AS octets FROM {t}.flows_1h GROUP BY src_as, dst_as ORDER BY octets DESC LIMIT 20"),
    (
        "series by protocol", "flows",
        "SELECT toStartOfMinute(received_at) AS minute, proto, sum(bytes * sampling_interval) FROM {t}.flows GROUP BY minute, proto ORDER BY minute, proto",
    ),
    ("series by protocol", "flows_1m", "SELECT received_at, proto, sum(bytes) FROM {t}.flows_1m GROUP BY received_at, proto ORDER BY received_at, proto"),
    ("series by protocol", "flows_1h", "SELECT received_at, proto, sum(bytes) FROM {t}.flows_1h GROUP BY received_at, proto ORDER BY received_at, proto"),
    (
        "one exporter's interfaces", "flows",
        "SELECT in_if_name, out_if_name, sum(bytes * sampling_interval) AS octets FROM {t}.flows WHERE exporter_name = '{exporter}' "
        "GROUP BY in_if_name, out_if_name ORDER BY octets DESC",
    ),
    (
        "one exporter's interfaces", "flows_1m",
        "SELECT in_if_name, out_if_name, sum(bytes) AS octets FROM {t}.flows_1m WHERE exporter_name = '{exporter}' "
        "GROUP BY in_if_name, out_if_name ORDER BY octets DESC",
    ),
    (
        "one exporter's interfaces", "flows_1h",
        "SELECT in_if_name, out_if_name, sum(bytes) AS octets FROM {t}.flows_1h WHERE exporter_name = '{exporter}' "
        "GROUP BY in_if_name, out_if_name ORDER BY octets DESC",
    ),
    (
        "one busy host, its peers", "flows",
        "SELECT if(src_addr = toIPv6('{busy}'), dst_addr, src_addr) AS peer, proto, sum(bytes * sampling_interval) AS octets FROM {t}.flows "
        "WHERE src_addr = toIPv6('{busy}') OR dst_addr = toIPv6('{busy}') GROUP BY peer, proto ORDER BY octets DESC LIMIT 50",
    ),
    (
        "one quiet host, its peers", "flows",
        "SELECT if(src_addr = toIPv6('{quiet}'), dst_addr, src_addr) AS peer, proto, sum(bytes * sampling_interval) AS octets FROM {t}.flows "
        "WHERE src_addr = toIPv6('{quiet}') OR dst_addr = toIPv6('{quiet}') GROUP BY peer, proto ORDER BY octets DESC LIMIT 50",
    ),
    ("one busy host, by hour", "talkers_1h", "SELECT received_at, side, sum(bytes) FROM {t}.talkers_1h WHERE host = toIPv6('{busy}') GROUP BY ALL ORDER BY ALL"),
]  # fmt: skip


@dataclass
class Answer:
    question: str
    table: str
    table_rows: int
    milliseconds: float
    cpu: float


def ask(process: Process, clickhouse: str, stage: Stage) -> list[Answer]:
    fill(clickhouse, stage)
    words = {
        "t": DATABASE,
        "exporter": query(clickhouse, f"SELECT exporter_name FROM {DATABASE}.flows GROUP BY exporter_name ORDER BY count() DESC LIMIT 1"),
        "busy": query(clickhouse, f"SELECT src_addr FROM {DATABASE}.flows GROUP BY src_addr ORDER BY count() DESC LIMIT 1"),
        "quiet": query(clickhouse, f"SELECT src_addr FROM {DATABASE}.flows GROUP BY src_addr HAVING count() = 3 ORDER BY src_addr LIMIT 1"),
    }
    return [timed(process, clickhouse, question, table, sql.format(**words)) for question, table, sql in QUESTIONS]


def fill(clickhouse: str, stage: Stage):
    """All staged rows, as blocks of a million, spread over whole hours."""
    migrate(clickhouse, DATABASE)
    begin, end = query(clickhouse, f"SELECT toUnixTimestamp64Milli(min(received_at)), toUnixTimestamp64Milli(max(received_at)) FROM {STAGE}.flows").split("\t")
    stretch = HOURS * 3_600_000 / max(int(end) - int(begin), 1)
    spread = f"fromUnixTimestamp64Milli(toInt64({begin} - {HOURS * 3_600_000} + (toUnixTimestamp64Milli(received_at) - {begin}) * {stretch}))"
    columns = ", ".join(stage.columns)
    values = ", ".join(f"{spread} AS arrival" if name == "received_at" else name for name in stage.columns)
    query(
        clickhouse,
        f"INSERT INTO {DATABASE}.flows ({columns}) SELECT {values} FROM {STAGE}.flows ORDER BY {STAGE}.flows.received_at "
        "SETTINGS max_threads = 1, max_block_size = 1048449, min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 0",
    )
    merges_done(clickhouse)


def timed(process: Process, clickhouse: str, question: str, table: str, sql: str) -> Answer:
    """The best of some runs, from the page cache, as HTTP shows it; CPU is their mean."""
    query(clickhouse, sql)
    walls, cpu = [], process.cpu_total()
    for _ in range(REPEATS):
        begin = time.monotonic()
        query(clickhouse, sql)
        walls.append(time.monotonic() - begin)
    used = (process.cpu_total() - cpu) / REPEATS
    rows = int(query(clickhouse, f"SELECT count() FROM {DATABASE}.{table}"))
    answer = Answer(question, table, rows, min(walls) * 1e3, used * 1e3)
    print(f"{question}, {table} ({rows} rows): {answer.milliseconds:.0f} ms, {answer.cpu:.0f} ms of CPU", flush=True)
    return answer
