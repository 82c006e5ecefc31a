"""What kind of traffic it is: address family, protocol, service, TCP flags, packet size."""

from .. import sql
from ..grafana import BLUE, GREEN, ORANGE, YELLOW, Column, Dashboard, bars, ch, graph, stat, table, thresholds
from ..sql import Question
from ..variables import flows
from .shared import ALL, FIGURES, NO_FLOWS, PLACES, SENDER, SERVICE_PORT, VOLUME, first_row, to_host, to_port

PROTOCOL = Question({"protocol": "f.proto"}, needs=frozenset({"proto"}), figures=FIGURES)
FAMILY = Question({"family": "f.ether_type"}, needs=frozenset({"ether_type"}), figures=FIGURES)
SERVICE = Question(
    {"port": {"flows": SERVICE_PORT, "rollup": "f.port"}, "protocol": "f.proto"},
    figures=FIGURES,
    side="service",
)
APPLICATION = Question({"application": "f.application"}, needs=frozenset({"application"}), figures=FIGURES)
SIZE = Question(
    {
        "size": "multiIf(f.packets = 0, 'unknown', f.bytes / f.packets < 100, 'below 100', f.bytes / f.packets < 500, '100 to 499', f.bytes / f.packets < 1000, '500 to 999', f.bytes / f.packets <= 1500, '1000 to 1500', 'above 1500')"
    },
    needs=frozenset({"tcp_flags"}),
    figures=("packets", "bytes"),
)
FLAGS = "f.proto = 6"
OPENED = Question(
    {"host": "f.dst_addr"},
    needs=frozenset({"dst_addr", "tcp_flags", "proto"}),
    figures=("flows", "bytes"),
    where="f.proto = 6 AND bitAnd(f.tcp_flags, 23) = 2",
)
TCP = Question(
    {"only_syn": "f.proto = 6 AND bitAnd(f.tcp_flags, 23) = 2"},
    needs=frozenset({"tcp_flags", "proto"}),
    figures=("flows",),
    where="f.proto = 6",
)


def make() -> Dashboard:
    board = Dashboard(
        "helios-protocol-distribution",
        "Protocol Distribution",
        "How the traffic divides into IPv4 and IPv6, protocols, services and packet sizes, and what is odd about it.",
        "flows",
        flows(all=ALL, places=PLACES, hosts=SENDER, services=SERVICE, raw=TCP, family=FAMILY),
    )
    board.row(4, *first_row())
    rates = Question(PROTOCOL.keys, needs=PROTOCOL.needs)
    board.row(
        4,
        stat(
            "IPv6 [$table_family]", "Share of IPv6 in all bytes.", [ch(_ipv6())], unit="percentunit", no_value=NO_FLOWS, decimals=1
        ),
        stat(
            "UDP [$table_places]",
            "Share of UDP in all bytes. A jump is QUIC, a tunnel or a reflection attack: look at the services below.",
            [ch(_protocol_share(17))],
            unit="percentunit",
            no_value=NO_FLOWS,
            decimals=1,
            levels=thresholds(GREEN, (0.6, YELLOW), (0.85, ORANGE)),
        ),
        stat(
            "Mean packet [$table_all]",
            "Octets of a packet. Below 150 most packets are acknowledgements, voice or a flood of small packets.",
            [ch(sql.totals(ALL, "if(packets = 0, NULL, bytes / packets) AS size"))],
            unit="decbytes",
            no_value=NO_FLOWS,
            decimals=0,
            levels=thresholds(ORANGE, (150, YELLOW), (300, GREEN)),
        ),
        stat(
            "TCP flows that only opened [$table_raw]",
            "Share of TCP flow records with SYN and nothing else. Many of them are a scan, a SYN flood or a service that is away.",
            [ch(_only_syn())],
            unit="percentunit",
            no_value=NO_FLOWS,
            decimals=1,
            levels=thresholds(GREEN, (0.25, YELLOW), (0.5, "red")),
        ),
    )
    board.row(
        9,
        table(
            "Protocols [$table_places]",
            "IP protocols by bytes.",
            [ch(sql.top_table(PROTOCOL, show={"protocol": sql.protocol("protocol")}))],
            [Column("protocol", "Protocol"), *VOLUME],
            no_value=NO_FLOWS,
        ),
        graph(
            "Protocols over time [$table_places]",
            "Rate by IP protocol.",
            [ch(sql.top_series(rates, limit="8", show=sql.protocol("series")), time=True)],
            unit="bps",
            no_value=NO_FLOWS,
            stack=True,
            name="series_",
        ),
    )
    board.row(
        10,
        table(
            "Services [$table_services]",
            "Ports of the service by bytes: the lower port of a flow, with its protocol; '-' where the protocol has no ports. "
            "talkers_1m and talkers_1h list the busiest services of every exporter: what is listed is a lower bound, the rest is in 'other'.",
            [ch(sql.top_table(SERVICE, show={"port": "if(port = 0, '-', toString(port))", "protocol": sql.protocol("protocol")}))],
            [Column("port", "Port", links=[to_port("port")]), Column("protocol", "Protocol", width=90), *VOLUME],
            no_value=NO_FLOWS,
        ),
        table(
            "Opened and nothing else [$table_raw]",
            "Destinations of TCP flow records with SYN alone, by their number.",
            [ch(sql.top_table(OPENED, show={"host": sql.address("host")}))],
            [
                Column("host", "Destination", links=[to_host("host")]),
                Column("share", "Share of these", "percentunit", 130, gauge=True, colors=thresholds(ORANGE)),
                Column("flows", "Flow records", "short", 110),
                Column("bytes", "Bytes", "decbytes", 100),
                Column("rate", "Mean rate", "bps", 110),
            ],
            no_value=NO_FLOWS,
        ),
    )
    board.heading("Family, size, application")
    family = "transform(family, [2048, 34525], ['IPv4', 'IPv6'], 'not IP')"
    board.row(
        8,
        table(
            "Address families [$table_family]",
            "IPv4, IPv6 and what is not IP, by bytes.",
            [ch(sql.top_table(FAMILY, show={"family": family}))],
            [Column("family", "Family"), *VOLUME[:3]],
            no_value=NO_FLOWS,
        ),
        bars(
            "Packets by size in octets [$table_raw]",
            "Share of the packets by the mean size of their flow.",
            [ch(_sizes())],
            unit="percentunit",
            levels=thresholds(BLUE),
            maximum=1,
            rows=True,
            no_value=NO_FLOWS,
            decimals=1,
        ),
        table(
            "Applications [$table_raw]",
            "What the exporter says the application is (NBAR, App-ID and the like), by bytes. Empty: it does not say.",
            [ch(sql.top_table(APPLICATION, show={"application": "if(application = '', 'not classified', application)"}))],
            [Column("application", "Application"), *VOLUME[:3]],
            no_value=NO_FLOWS,
        ),
    )
    return board


def _ipv6() -> str:
    return sql._statement(
        FAMILY,
        [],
        f"SELECT if(sum(bytes) = 0, NULL, sumIf(bytes, family = 34525) / sum(bytes)) AS share FROM (\n{FAMILY.rows()}\n)",
    )


def _protocol_share(number: int) -> str:
    return sql._statement(
        PROTOCOL,
        [],
        f"SELECT if(sum(bytes) = 0, NULL, sumIf(bytes, protocol = {number}) / sum(bytes)) AS share FROM (\n{PROTOCOL.rows()}\n)",
    )


def _only_syn() -> str:
    return sql._statement(
        TCP, [], f"SELECT if(sum(flows) = 0, NULL, sumIf(flows, only_syn) / sum(flows)) AS share FROM (\n{TCP.rows()}\n)"
    )


def _sizes() -> str:
    share = "sum(packets) / greatest(sum(sum(packets)) OVER (), 1)"
    return sql._statement(SIZE, [], f"SELECT size, {share} AS share FROM (\n{SIZE.rows()}\n) GROUP BY size ORDER BY share DESC")
