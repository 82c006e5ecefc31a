"""Who sends and receives the most."""

from dataclasses import replace

from .. import sql
from ..grafana import Column, Dashboard, ch, graph, table
from ..sql import Question
from ..variables import flows
from .shared import ALL, FIGURES, NO_FLOWS, RECEIVER, SENDER, SERVICE_PORT, VOLUME, first_row, to_exporter, to_host, to_port

CONVERSATION = Question(
    {
        "source": {"flows": "f.src_addr", "rollup": "f.host"},
        "destination": {"flows": "f.dst_addr", "rollup": "f.peer"},
        "protocol": {"flows": "f.proto", "rollup": "toUInt8(0)"},
        "port": {"flows": SERVICE_PORT, "rollup": "toUInt16(0)"},
    },
    figures=FIGURES,
    side="pair",
    detailed=True,
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
    hosts = (
        "talkers_1m and talkers_1h list the busiest hosts of every exporter: what is listed is a lower bound, the rest is in 'other'. "
        "For exact figures choose the table flows."
    )
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
    senders = replace(SENDER, figures=("bytes",))
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
            legend_width=420,
        ),
    )
    board.heading("Who with whom")
    board.row(
        10,
        table(
            "Conversations [$table_pairs]",
            "Pairs of addresses by bytes, with their protocol and the port of the service (the lower of the two) where flows answers: as long "
            "as the range has few enough of them. The tables of talkers list the busiest pairs alone, without port: the rest is in 'other'.",
            [
                ch(
                    sql.top_table(
                        CONVERSATION,
                        show={
                            "source": sql.address("source"),
                            "destination": sql.address("destination"),
                            "protocol": f"if(chosen = 'flows', {sql.protocol('protocol')}, 'all')",
                            "port": "if(chosen = 'flows', toString(port), 'all')",
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
