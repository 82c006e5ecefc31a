"""Flows of `helios simulate` as they arrive in ClickHouse, kept once so that every variant is fed the same rows.

Helios itself stores them, with the rollups' views taken away meanwhile. They are then read back in order of arrival and
cut into bodies of INSERT statements, of any number of rows and in any format. Only columns that hold anything are in
them, as in Helios' own blocks.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from processes import ROOT, free_port, get, wait_for

from .procs import Metrics, Process, helios_binary, query

DATABASE = "stage"
RATE = 250_000
EXPORTERS = 100
# Arrow as Helios writes it: dictionaries, and nothing compressed within.
ARROW = {
    "output_format_arrow_low_cardinality_as_dictionary": "1",
    "output_format_arrow_string_as_string": "1",
    "output_format_arrow_compression_method": "'none'",
}


SETTINGS = ", ".join(f"{name} = {value}" for name, value in ARROW.items())
# The keys of flows_1m.
DIMENSIONS = (
    "exporter_name", "proto", "ether_type", "in_if_name", "out_if_name", "in_if_boundary", "out_if_boundary", "src_as", "dst_as",
    "src_peer_as", "dst_peer_as", "src_country", "dst_country", "src_site", "dst_site", "src_tenant", "dst_tenant", "flow_direction",
)  # fmt: skip
# What flows count for in talkers_1m, and how many of each side are listed.
SIDES = f"""
    SELECT received_at, bytes, packets, sampling_interval, exporter_name, talker.1 AS side, talker.2 AS host, talker.3 AS peer,
        talker.4 AS proto, talker.5 AS port
    FROM (
        SELECT received_at, bytes, packets, sampling_interval, exporter_name, toIPv6('::') AS none,
            [
                (toInt8(1), src_addr, none, toUInt8(0), toUInt16(0)), (toInt8(2), dst_addr, none, toUInt8(0), toUInt16(0)),
                (toInt8(3), src_addr, dst_addr, toUInt8(0), toUInt16(0)), (toInt8(4), none, none, proto, least(src_port, dst_port)),
                (toInt8(5), none, none, toUInt8(0), toUInt16(0))
            ] AS talkers
        FROM {DATABASE}.flows
    )
    ARRAY JOIN talkers AS talker"""
# Those that Helios marks in flows_1m.
BUSIEST_PAIRS = f"SELECT src_as, dst_as FROM {DATABASE}.flows GROUP BY src_as, dst_as ORDER BY sum(bytes * greatest(sampling_interval, 1)) DESC LIMIT 4096"
TALKERS = "ORDER BY bytes DESC LIMIT 50 BY received_at, exporter_name, side"


@dataclass
class Body:
    """The data of one INSERT, and the flows in it: those that arrived from `begin` on and before `end`."""

    file: Path
    rows: int
    begin: str
    end: str


class Stage:
    """The table `stage.flows`, sorted by arrival, and what its columns are called."""

    def __init__(self, folder: Path, clickhouse: str, rows: int):
        self.folder, self.clickhouse = folder, clickhouse
        self.receive(rows)
        self.columns = self.filled()
        self.rows = int(query(clickhouse, f"SELECT count() FROM {DATABASE}.flows"))
        self.arrivals = [
            (line.split("\t")[0], int(line.split("\t")[1]))
            for line in query(
                clickhouse, f"SELECT received_at, count() FROM {DATABASE}.flows GROUP BY received_at ORDER BY received_at"
            ).splitlines()
        ]

    def receive(self, rows: int):
        """Lets helios store the rows in `arrived.flows`, and sorts them by arrival."""
        flows, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        subprocess.run([helios_binary(), "simulate", "--write-geoip", self.folder], check=True, stdout=subprocess.DEVNULL)
        options = [
            f"admin.listen={admin}", "clickhouse.database=arrived",
            f"enricher.geoip.city={self.folder / 'city.mmdb'}", f"enricher.geoip.asn={self.folder / 'asn.mmdb'}",
        ]  # fmt: skip
        command = [helios_binary(), "run", "--listen", flows, "--clickhouse-url", self.clickhouse]
        for option in options:
            command += ["--set", option]
        with Process("helios", command, self.folder / "stage.log"):
            wait_for("helios to be ready", lambda: get(f"http://{admin}/readyz"))
            drop_views(self.clickhouse, "arrived", keep=())
            simulate = [
                helios_binary(), "simulate", "--target", flows, "--rate", str(RATE), "--count", str(rows), "--exporters", str(EXPORTERS),
            ]  # fmt: skip
            subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            empty = lambda: Metrics(f"http://{admin}/metrics").sum("helios_pipeline_rows_in_flight") == 0  # noqa: E731
            wait_for("the flows to be stored", empty, 300)
        query(self.clickhouse, f"CREATE DATABASE {DATABASE}")
        query(self.clickhouse, f"CREATE TABLE {DATABASE}.flows AS arrived.flows ENGINE = MergeTree ORDER BY received_at")
        query(self.clickhouse, f"INSERT INTO {DATABASE}.flows SELECT * FROM arrived.flows")
        query(self.clickhouse, "DROP DATABASE arrived SYNC")

    def filled(self) -> list[str]:
        names = query(self.clickhouse, f"SELECT name FROM system.columns WHERE database = '{DATABASE}' AND table = 'flows'").splitlines()
        counts = ", ".join(f"countIf({name} != defaultValueOfArgumentType({name}))" for name in names)
        answer = query(self.clickhouse, f"SELECT {counts} FROM {DATABASE}.flows").split("\t")
        return [name for name, count in zip(names, answer, strict=True) if int(count)]

    def bodies(self, rows: int, block: int, form: str = "ArrowStream", plain_strings: bool = False) -> list[Body]:
        """The first `rows` rows as blocks of about `block`: they are cut where a millisecond ends."""
        bodies, begin, gathered, total = [], self.arrivals[0][0], 0, 0
        for at, (_, count) in enumerate(self.arrivals):
            gathered += count
            total += count
            last = total >= rows or at + 1 == len(self.arrivals)
            if gathered < block and not last:
                continue
            end = self.arrivals[at + 1][0] if at + 1 < len(self.arrivals) else "2100-01-01 00:00:00"
            file = self.folder / f"body-{len(bodies)}.bin"
            file.write_bytes(self.cut(begin, end, form, plain_strings))
            bodies.append(Body(file, gathered, begin, end))
            begin, gathered = end, 0
            if last:
                break
        return bodies

    def cut(self, begin: str, end: str, form: str, plain_strings: bool) -> bytes:
        columns = ", ".join(self.columns)
        if plain_strings:
            text = query(
                self.clickhouse,
                f"SELECT name FROM system.columns WHERE database = '{DATABASE}' AND table = 'flows' AND type = 'LowCardinality(String)'",
            ).splitlines()
            columns = ", ".join(f"CAST({name}, 'String') AS {name}" if name in text else name for name in self.columns)
        return query(
            self.clickhouse,
            f"SELECT {columns} FROM {DATABASE}.flows WHERE received_at >= '{begin}' AND received_at < '{end}' "
            f"ORDER BY received_at SETTINGS {SETTINGS}, max_block_size = 65536 FORMAT {form}",
            raw=True,
        )

    def rolled_up(self, body: Body, table: str) -> tuple[bytes, list[str]]:
        """What Helios makes of the body for `flows_1m` or `talkers_1m`, and the names of its columns."""
        sums = [f"toUInt64(sum({name} * greatest(sampling_interval, 1))) AS {name}" for name in ("bytes", "packets")] + ["count() AS flows"]
        keys, source, limit = [name for name in DIMENSIONS if name in self.columns], f"{DATABASE}.flows", ""
        marks = [f"(src_as, dst_as) IN ({BUSIEST_PAIRS}) AS as_listed"]
        if table == "talkers_1m":
            keys, source, limit, marks = ["exporter_name", "side", "host", "peer", "proto", "port"], f"({SIDES})", TALKERS, []
        minute = "toStartOfMinute(received_at) AS at"
        statement = (
            f"SELECT CAST(at, 'DateTime') AS received_at, {', '.join([*keys, *marks])}, bytes, packets, flows FROM ("
            f"SELECT {minute}, {', '.join(keys)}, {', '.join(sums)} FROM {source} "
            f"WHERE received_at >= '{body.begin}' AND received_at < '{body.end}' GROUP BY at, {', '.join(keys)}) {limit} "
            f"SETTINGS {SETTINGS}, max_block_size = 65536 FORMAT ArrowStream"
        )
        return query(self.clickhouse, statement, raw=True), ["received_at", *keys, *(mark.split(" AS ")[-1] for mark in marks), "bytes", "packets", "flows"]


def drop_views(clickhouse: str, database: str, keep: tuple[str, ...]):
    """Takes away the views that feed rollups other than those named."""
    views = query(clickhouse, f"SELECT name FROM system.tables WHERE database = '{database}' AND engine = 'MaterializedView'")
    for view in views.splitlines():
        if not any(view == f"{table}_mv" for table in keep):
            query(clickhouse, f"DROP TABLE {database}.{view} SYNC")


def migrate(clickhouse: str, database: str):
    """The tables as this version of Helios makes them."""
    command = [helios_binary(), "migrate", "--clickhouse-url", clickhouse, "--set", f"clickhouse.database={database}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
