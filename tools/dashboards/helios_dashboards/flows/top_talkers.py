"""Who sends and receives the most."""

from .. import sql
from ..grafana import Column, Dashboard, ch, graph, table
from ..sql import Question
from ..variables import flows
from .shared import ALL, FIGURES, NO_FLOWS, RECEIVER, SENDER, VOLUME, first_row, to_exporter, to_host, to_port

CONVERSATION = Question(
    {
        "source": "f.src_addr",
        "destination": "f.dst_addr",
        "protocol": "f.proto",
        "port": "if(f.src_port = 0 OR f.dst_port = 0, greatest(f.src_port, f.dst_port), least(f.src_port, f.dst_port))",
    },
    needs=frozenset({"src_addr", "dst_addr", "src_port", "dst_port", "proto"}),
    figures=FIGURES,
)
EXPORTER = Question({"exporter": "f.exporter_name"}, needs=frozenset({"exporter_name"}), figures=FIGURES)


def make() -> Dashboard:
    board = Dashboard(
        "helios-top-talkers",
        "Top Talkers",
        "Which addresses send and receive the most, when, and with whom.",
        "flows",
        flows(all=ALL, hosts=SENDER, pairs=CONVERSATION),
    )
    board.row(4, *first_row())
    hosts = "talkers_1h has the busiest hosts of each exporter alone, so its sums are lower bounds; flows is exact."
    host = sql.address("host")
    board.row(
        9,
        table(
            "Senders [$table_hosts]",
            f"Addresses by bytes sent, scaled by sampling. {hosts}",
            [ch(sql.top_table(SENDER, show={"host": host}))],
            [Column("host", "Source", links=[to_host("host")]), *VOLUME],
            no_value=NO_FLOWS,
        ),
        table(
            "Receivers [$table_hosts]",
            f"Addresses by bytes received, scaled by sampling. {hosts}",
            [ch(sql.top_table(RECEIVER, show={"host": host}))],
            [Column("host", "Destination", links=[to_host("host")]), *VOLUME],
            no_value=NO_FLOWS,
        ),
    )
    senders = Question(SENDER.keys, where=SENDER.where, chain=SENDER.chain)
    board.row(
        8,
        graph(
            "Senders over time [$table_hosts]",
            f"Rate of the addresses that sent the most in the range, and of all others. {hosts}",
            [ch(sql.top_series(senders, limit="10", show=sql.address("series")), time=True)],
            unit="bps",
            no_value=NO_FLOWS,
            stack=True,
            name="series_",
        ),
    )
    board.heading("Who with whom")
    board.row(
        10,
        table(
            "Conversations [$table_pairs]",
            "Pairs of addresses with their protocol and the port of the service (the lower of the two), by bytes.",
            [
                ch(
                    sql.top_table(
                        CONVERSATION,
                        show={
                            "source": sql.address("source"),
                            "destination": sql.address("destination"),
                            "protocol": sql.protocol("protocol"),
                        },
                    )
                )
            ],
            [
                Column("source", "Source", links=[to_host("source")]),
                Column("destination", "Destination", links=[to_host("destination")]),
                Column("protocol", "Protocol", width=90),
                Column("port", "Port", width=80, links=[to_port("port")]),
                *VOLUME,
            ],
            no_value=NO_FLOWS,
        ),
    )
    board.heading("Who saw it")
    board.row(
        8,
        table(
            "Exporters [$table_all]",
            "Devices by the bytes that they reported. A flow that passes two of them counts at both.",
            [ch(sql.top_table(EXPORTER))],
            [Column("exporter", "Exporter", links=[to_exporter("exporter")]), *VOLUME],
            no_value=NO_FLOWS,
        ),
        graph(
            "Exporters over time [$table_all]",
            "Rate by exporter. A gap or a step at one of them is a device that stopped exporting or changed its sampling.",
            [ch(sql.top_series(Question(EXPORTER.keys, needs=EXPORTER.needs), limit="10"), time=True)],
            unit="bps",
            no_value=NO_FLOWS,
            stack=True,
            name="series_",
        ),
    )
    return board
