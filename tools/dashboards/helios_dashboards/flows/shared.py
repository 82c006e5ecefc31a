"""Panels and columns that several flow dashboards have."""

from .. import sql
from ..grafana import (
    UNKNOWN,
    ANY_IS_BAD,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Json,
    ch,
    field_of_row,
    keep,
    link,
    stat,
    thresholds,
)
from ..sql import Question
from ..variables import FLOW_NAMES

NO_FLOWS = "No flows match the filters in this range"
FIGURES = ("bytes", "packets", "flows")
SCOPE = keep(*(name for name in FLOW_NAMES if name not in ("address", "asn", "port", "table")))
"""The filters that a link keeps; what it links by is not among them."""

VOLUME: list[Column] = [
    Column("share", "Share", "percentunit", 120, gauge=True, colors=thresholds("blue"), decimals=1),
    Column("rate", "Mean rate", "bps", 95),
    Column("bytes", "Bytes", "decbytes", 90),
    Column("packets", "Packets", "short", 85),
    Column("flows", "Flows", "short", 80),
]
"""Columns of every table of traffic."""

ALL = Question({}, figures=FIGURES)
ASES = Question({}, needs=frozenset({"src_as", "dst_as", "src_peer_as", "dst_peer_as"}), figures=FIGURES)
PLACES = Question({}, needs=frozenset({"src_country", "dst_country", "proto"}), figures=FIGURES)
"""Which table answers questions for numbers of AS; for countries and protocols."""

SENDER = Question({"host": {"flows": "f.src_addr", "rollup": "f.host"}}, figures=FIGURES, side="src")
RECEIVER = Question({"host": {"flows": "f.dst_addr", "rollup": "f.host"}}, figures=FIGURES, side="dst")

SERVICE_PORT = "if(f.src_port = 0 OR f.dst_port = 0, greatest(f.src_port, f.dst_port), least(f.src_port, f.dst_port))"
"""The port of the service: the lower one of both, as in the tables of talkers; 0 for protocols without ports."""


def to_host(column: str) -> Json:
    return link("All traffic of this address", "helios-top-talkers", f"&var-address={field_of_row(column)}{SCOPE}")


def to_as(column: str) -> Json:
    return link("Hosts of this AS", "helios-top-talkers", f"&var-asn={field_of_row(column)}{SCOPE}")


def to_port(column: str) -> Json:
    return link("Who uses this port", "helios-top-talkers", f"&var-port={field_of_row(column)}{SCOPE}")


def to_exporter(column: str) -> Json:
    return link("Interfaces of this device", "helios-interface-analytics", f"&var-device={field_of_row(column)}")


def first_row() -> list[Json]:
    """Is something wrong with the traffic, or with what is known of it?"""
    now = stat(
        "Traffic [$table_all]",
        "Mean rate over the range, scaled by sampling, of the flows that the filters leave.",
        [ch(sql.totals(ALL, "bytes * 8 / seconds AS rate"))],
        unit="bps",
    )
    before = stat(
        "Against a day before",
        "Mean rate of the range divided by that of the same range a day earlier, from talkers_1h. Far from 100 % "
        "means that traffic left or came: look at the tables below for who did. Empty until there are data of a day before.",
        [ch(_against_a_day_before())],
        unit="percentunit",
        no_value="No data of a day before",
        decimals=0,
        levels=thresholds(UNKNOWN, (0, RED), (0.3, ORANGE), (0.6, GREEN), (1.7, ORANGE), (3, RED)),
    )
    largest = stat(
        "Largest sender [$table_hosts]",
        "Share of one address in all bytes of the range. More than half is a backup, a broken host or a flood.",
        [ch(_largest_share())],
        unit="percentunit",
        no_value=NO_FLOWS,
        decimals=1,
        levels=thresholds(GREEN, (0.3, YELLOW), (0.5, RED)),
    )
    silent = stat(
        "Silent exporters",
        "Exporters that sent in the last 24 hours and nothing in the last 5 minutes of the range: the numbers below lack them.",
        [ch(_silent_exporters())],
        levels=ANY_IS_BAD,
        links=[link("Status of exporters", "helios-network-overview")],
    )
    lost = stat(
        "Lost on the way",
        "Share of what the exporters sent that never came, by their sequence numbers. Above zero the numbers below are too small.",
        [ch(_lost())],
        unit="percentunit",
        no_value="No exporter sent",
        decimals=2,
        levels=thresholds(GREEN, (0.001, YELLOW), (0.01, RED)),
    )
    sampled = stat(
        "Unknown sampling",
        "Share of flow records whose sampling interval nobody knows: they count as not sampled, so their numbers may be too small. Of the last 5 minutes of the range.",
        [ch(_unknown_sampling())],
        unit="percentunit",
        no_value=NO_FLOWS,
        decimals=1,
        levels=thresholds(GREEN, (0.01, YELLOW), (0.5, ORANGE)),
    )
    return [now, before, largest, silent, lost, sampled]


def _largest_share() -> str:
    grouped = f"SELECT host, sum(bytes) AS b FROM (\n{SENDER.rows()}\n) GROUP BY host"
    whole = f"(SELECT sum(bytes) FROM (\n{SENDER.whole()}\n)) AS whole"
    return sql._statement(SENDER, [whole], f"SELECT max(b) / greatest(whole, 1) AS share FROM (\n{grouped}\n)")


def _against_a_day_before() -> str:
    part = (
        "(SELECT sum(f.bytes) FROM helios.talkers_1h AS f WHERE f.side = 'total' AND f.received_at >= {0} AND f.received_at < {1}"
        " AND $__conditionalAll(f.exporter_name IN (${{exporter:sqlstring}}), $exporter))"
    )
    begin, end = "toStartOfHour($__fromTime)", "toStartOfHour($__toTime)"
    now = part.format(f"least({begin}, {end} - 3600)", end)
    before = part.format(f"least({begin}, {end} - 3600) - 86400", f"{end} - 86400")
    return f"SELECT if({before} = 0, NULL, {now} / {before}) AS ratio"


def _silent_exporters() -> str:
    return (
        "SELECT countIf(seen < $__toTime - 300) AS silent FROM (SELECT exporter_address, max(last_seen) AS seen FROM helios.exporters"
        " WHERE received_at >= $__toTime - 86400 AND received_at <= $__toTime GROUP BY exporter_address)"
    )


def _lost() -> str:
    return (
        "SELECT if(sum(records) + sum(lost) = 0, NULL, sum(lost) / (sum(records) + sum(lost))) AS lost FROM helios.exporters"
        " WHERE received_at >= toStartOfMinute($__fromTime) AND received_at <= $__toTime"
    )


def _unknown_sampling() -> str:
    return (
        "SELECT if(count() = 0, NULL, countIf(f.sampling_source = 'unknown') / count()) AS unknown FROM helios.flows AS f"
        " WHERE f.received_at >= greatest($__toTime - 300, $__fromTime) AND f.received_at <= $__toTime"
        " AND $__conditionalAll(f.exporter_name IN (${exporter:sqlstring}), $exporter)"
    )
