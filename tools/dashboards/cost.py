#!/usr/bin/env python3
"""What the flow panels cost over 30 days: every statement on tables of made-up rows, as CPU time of the ClickHouse engine.

    cost.py --helios BINARY [--rows N]        N rows of flows_1h and of summary_1h, a quarter of them in talkers_1h and in flows (default 8,000,000)

Prints for each panel the table that answered, its rows, core-seconds and rows per core-second, and what follows for a network of
50,000 flows/s: the rows that its tables have (`ROWS`), and seconds on 8 cores. It needs what `make demo-dashboards` needs.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from helios_dashboards import sql
from helios_dashboards.schema import IN_EVERY_SUMMARY, SUMMARIES
from lab.start import Lab
from tests import expand
from tests.client import Servers, dashboards, panels, scope_of
from tests.expand import Range

DAYS = 30
FLOWS_PER_SECOND = 50_000
CORES = 8
HOURS = DAYS * 24
# Rows of such a network that a panel may read. flows_1h: what Exits reads of it at most; talkers_1h: 100 exporters, 300 of each side; summary_1h:
# 200 pairs of interfaces of each exporter, 60,000 combinations of places and protocols, and three rows of each of the 4,096 pairs of AS.
ROWS = {
    "flows_1h": sql.HOURS_BUDGET,
    "talkers_1h": 100 * 4 * 300 * HOURS,
    "interface": 100 * 200 * HOURS,
    "place": 60_000 * HOURS,
    "as": 4096 * 3 * HOURS,
    "flows": sql.ROW_BUDGET,
    "exporters": 100 * 60 * HOURS,
}
# Of the rows that are made, those of each side: as many as in such a network beside one another.
SIDES = {"interface": 2, "place": 5, "as": 1}
TICKS = os.sysconf("SC_CLK_TCK")

# Few ASes and hosts have most of the traffic.
SKEWED = "toUInt32(pow(rand({0}) / 4294967296, 4) * {1})"


def fill(servers: Servers, rows: int) -> None:
    names = ", ".join(f"'{name}'" for name in ("DE", "US", "FR", "GB", "NL", "JP", "BR", "IN", "CN", ""))
    host = f"IPv4ToIPv6(toUInt32(167772160 + {SKEWED.format(5, 200_000)}))"
    peer = f"IPv4ToIPv6(toUInt32(184549376 + {SKEWED.format(6, 200_000)}))"
    common = (
        "concat('router-', toString(rand(1) % 100)) AS exporter_name, concat('site-', toString(rand(1) % 10)) AS exporter_site,"
        " concat('Ethernet', toString(rand(2) % 24)) AS in_if_name, concat('Ethernet', toString(rand(3) % 24)) AS out_if_name,"
        f" {SKEWED.format(7, 3000)} AS src_as, {SKEWED.format(8, 3000)} AS dst_as, rand(9) % 20 AS dst_peer_as,"
        f" [{names}][1 + rand(10) % 10] AS src_country, [{names}][1 + rand(11) % 10] AS dst_country,"
        " if(rand(12) % 10 < 7, 6, 17) AS proto, if(rand(13) % 7 = 0, 34525, 2048) AS ether_type, rand(14) % 100000 AS bytes, rand(15) % 100 AS packets"
    )
    for step in range(0, rows, 2_000_000):
        part = min(2_000_000, rows - step)
        servers.execute(
            f"INSERT INTO helios.flows_1h (received_at, exporter_name, exporter_site, in_if_name, out_if_name, src_as, dst_as, dst_peer_as, src_country,"
            f" dst_country, proto, ether_type, bytes, packets, flows) SELECT toStartOfHour(now() - rand(16) % {DAYS * 86400}), {common}, 50 FROM numbers({step}, {part})"
        )
        for side, share in SIDES.items():
            keys = sorted((SUMMARIES[side] | IN_EVERY_SUMMARY) & {name.split(" AS ")[-1].strip() for name in common.split(",")})
            servers.execute(
                f"INSERT INTO helios.summary_1h (received_at, side, {', '.join(keys)}, bytes, packets, flows)"
                f" SELECT toStartOfHour(now() - rand(16) % {DAYS * 86400}), '{side}', {', '.join(keys)}, bytes, packets, 50"
                f" FROM (SELECT {common} FROM numbers({step}, {part * share // sum(SIDES.values())}))"
            )
        servers.execute(
            "INSERT INTO helios.talkers_1h (received_at, exporter_name, side, host, peer, proto, port, bytes, packets, flows)"
            f" SELECT toStartOfHour(now() - rand(16) % {DAYS * 86400}), concat('router-', toString(rand(1) % 100)),"
            f" CAST(1 + rand(17) % 5, 'Enum8(\\'src\\' = 1, \\'dst\\' = 2, \\'pair\\' = 3, \\'service\\' = 4, \\'total\\' = 5)'), {host}, {peer}, 6,"
            f" rand(18) % 1000, rand(14) % 100000, 1, 1 FROM numbers({step}, {part // 4})"
        )
        servers.execute(
            "INSERT INTO helios.flows (received_at, exporter_name, exporter_site, in_if_name, out_if_name, src_as, dst_as, dst_peer_as, src_country,"
            " dst_country, proto, ether_type, bytes, packets, src_addr, dst_addr, src_port, dst_port, as_path, src_city, tcp_flags)"
            f" SELECT now() - 1 - rand(16) % 600, {common}, {host}, {peer}, rand(19) % 60000, 443, [dst_peer_as, dst_as], 'Paris', 16"
            f" FROM numbers({step}, {part // 4}) SETTINGS log_comment = 'helios: rollups come with the block'"
        )
    servers.execute(f"INSERT INTO helios.exporters (received_at, flows) SELECT toStartOfMinute(now()) - 60 * number, {rows} FROM numbers(10)")
    servers.execute(
        "INSERT INTO helios.exporters (received_at, exporter_address, last_seen, records) SELECT toStartOfMinute(now()) - 60 * intDiv(number, 100) AS minute,"
        f" IPv4ToIPv6(toUInt32(number % 100)), minute, 1 FROM numbers({100 * 60 * 24})"
    )
    for table in ("flows_1h", "summary_1h", "talkers_1h", "flows"):
        servers.execute(f"OPTIMIZE TABLE helios.{table} FINAL")


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(servers: Servers, pid: int, sql: str) -> float:
    """Core-seconds, the better of two."""
    spent = []
    for _ in range(2):
        before = cpu(pid)
        servers.sql(sql, max_execution_time="600")
        spent.append(cpu(pid) - before)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--helios", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=8_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder) / "lab", options.helios, 0)
        try:
            lab.clickhouse = lab.processes.engine()
            subprocess.run([options.helios, "migrate", "--clickhouse-url", lab.clickhouse], check=True, stdout=subprocess.DEVNULL)
            servers = Servers(lab.clickhouse, "")
            pid = lab.processes.started[0][1].pid
            # What a statement costs without rows does not grow with them.
            empty = [measure(servers, pid, statement) for _, _, statement in statements(servers)]
            fill(servers, options.rows)
            report(servers, pid, empty)
        finally:
            lab.stop()


def read_of(table: str, statement: str) -> list[str]:
    """Names in `ROWS` of what the branch for `table` reads."""
    if table != "summary_1h":
        return [table]
    branches = re.findall(r"FROM helios\.summary_1h AS f\s+WHERE.*?(?=UNION ALL|GROUP BY|\n\s*\))", statement, re.DOTALL)
    return sorted({side for branch in branches for side in re.findall(r"'(interface|place|as)'", branch)})


def statements(servers: Servers) -> Iterator[tuple[str, str, str]]:
    """Dashboard and panel, the table that answers, the statement."""
    now = int(time.time())
    for board in (board for board in dashboards() if "flows" in board["tags"]):
        # Without the variables that ask Prometheus: flow dashboards have none.
        scope = scope_of(board, servers, Range(now - DAYS * 86400, now, 7200))
        for panel in panels(board):
            for target in (target for target in panel["targets"] if "rawSql" in target):
                statement = expand.clickhouse(target["rawSql"], scope)
                variable = panel["title"].partition("[$")[2].rstrip("]")
                first = re.search(r"FROM helios\.(\w+)", statement)[1]
                yield f"{board['title']}: {panel['title'].split(' [')[0]}", str(scope.values.get(variable, first)).split(",")[0], statement


def report(servers: Servers, pid: int, empty: list[float]) -> None:
    held = {table: servers.sql(f"SELECT count() AS n FROM helios.{table}")[0]["n"] for table in ROWS if table not in SIDES}
    held |= {row["side"]: row["n"] for row in servers.sql("SELECT side, count() AS n FROM helios.summary_1h GROUP BY side")}
    print(f"rows: {held}; of a network of {FLOWS_PER_SECOND} flows/s over {DAYS} days: {ROWS}")
    seconds = []
    # Names of AS are read from the last minutes of `flows`, whichever table answers.
    names = measure(servers, pid, f"WITH now() AS t_end, {sql.AS_NAMES} SELECT length(as_names)")
    for (panel, table, statement), fixed in zip(statements(servers), empty, strict=True):
        read = read_of(table, statement)
        spent = max(measure(servers, pid, statement) - fixed, 0)
        of_names = min(names, spent) if "as_names" in statement else 0
        rows, of_network = sum(held[name] for name in read), sum(ROWS[name] for name in read)
        scaled = (fixed + (spent - of_names) * of_network / rows + of_names * ROWS["flows"] / held["flows"]) / CORES
        seconds.append(scaled)
        rate = rows / max(spent - of_names, 1 / TICKS) / 1e6
        shown = table if read == [table] else f"{table} {' + '.join(read)}"
        print(f"{panel} | {shown} | {fixed:.2f} + {spent:.2f} core-s | {rate:.1f} M rows/core-s | {scaled:.2f} s on {CORES} cores", flush=True)
    seconds.sort()
    print(f"{len(seconds)} statements; p50 {seconds[len(seconds) // 2]:.2f} s, p95 {seconds[int(len(seconds) * 0.95)]:.2f} s, highest {seconds[-1]:.2f} s on {CORES} cores")


if __name__ == "__main__":
    main()
