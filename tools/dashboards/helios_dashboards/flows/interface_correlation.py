"""Flows beside the interface counters: where both should say the same, and do not."""

from .. import sql
from ..grafana import (
    UNKNOWN,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    NO_QUOTIENT,
    Column,
    Dashboard,
    ch,
    field_of_row,
    graph,
    label,
    link,
    prom,
    stat,
    table,
    thresholds,
)
from ..sql import Question
from ..variables import flows
from ..metrics.shared import INTERFACE_LEGEND
from .shared import ALL, NO_FLOWS, SENDER, first_row

NOT_EGRESS = "f.flow_direction != 'egress'"
IN = Question(
    {"device": "f.exporter_name", "interface": "f.in_if_name"},
    needs=frozenset({"exporter_name", "in_if_name", "flow_direction"}),
    where=f"{NOT_EGRESS} AND f.in_if_name != ''",
)
OUT = Question(
    {"device": "f.exporter_name", "interface": "f.out_if_name"},
    needs=frozenset({"exporter_name", "out_if_name", "flow_direction"}),
    where=f"{NOT_EGRESS} AND f.out_if_name != ''",
)
CHOSEN = 'device=~"$exporter", interface=~"$interface"'
RATIO = thresholds(UNKNOWN, (0, RED), (0.5, ORANGE), (0.85, GREEN), (1.15, ORANGE), (1.5, RED))
NO_COUNTERS = "No counters of these interfaces in Prometheus"


def make() -> Dashboard:
    board = Dashboard(
        "helios-interface-correlation",
        "Interface Correlation",
        "Rates that follow from flows beside those of the interface's octet counters. They differ where an exporter "
        "samples otherwise than it says, exports from some interfaces only, or loses records.",
        "flows",
        flows(counters=True, all=ALL, hosts=SENDER, interfaces=IN),
    )
    board.row(4, *first_row())
    octets = {
        way: f"avg by (device, interface) (avg_over_time(helios:if_{way}_bits:rate5m{{{CHOSEN}}}[$__range]))"
        for way in ("in", "out")
    }
    keyed = {way: f'label_join({expr}, "key", " ", "device", "interface")' for way, expr in octets.items()}
    ratio = lambda name, flow, counter: {
        "id": "calculateField",
        "options": {"mode": "binary", "alias": name, "binary": {"left": flow, "operator": "/", "right": counter}},
    }
    hidden = [f"{name} {n}" for name in ("Time", "device", "interface") for n in (1, 2, 3)] + ["Time", "key"]
    drill = [
        link(
            "This interface over time",
            "helios-interface-correlation",
            f"&var-exporter={field_of_row('device')}&var-interface={field_of_row('interface')}",
        ),
        link(
            "Who uses it",
            "helios-top-talkers",
            f"&var-exporter={field_of_row('device')}&var-interface={field_of_row('interface')}",
        ),
        link(
            "Its counters",
            "helios-interface-analytics",
            f"&var-device={field_of_row('device')}&var-interface={field_of_row('interface')}",
        ),
    ]
    board.row(
        4,
        stat(
            "Flows explain [$table_interfaces]",
            "Rate in by flows divided by the rate in by counters, over the interfaces that are chosen and have both. 100 % is right; 97 to 100 % is usual, because counters include layer 2.",
            [
                ch(_total(), ref="A"),
                prom("B", f"sum(avg_over_time(helios:if_in_bits:rate5m{{{CHOSEN}}}[$__range]))", instant=True),
            ],
            unit="bps",
            no_value=NO_FLOWS,
            levels=thresholds(BLUE),
        ),
    )
    board.panels[-1]["title"] = "In by flows and by counters [$table_interfaces]"
    board.panels[-1]["description"] = (
        "Rate into the chosen interfaces by flows (left) and by their octet counters (right). The counters are a few per cent higher: they include layer 2."
    )
    board.panels[-1]["options"]["textMode"] = "value_and_name"
    board.panels[-1]["options"]["colorMode"] = "value"
    board.panels[-1]["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byFrameRefID", "options": "A"}, "properties": [{"id": "displayName", "value": "by flows"}]},
        {"matcher": {"id": "byFrameRefID", "options": "B"}, "properties": [{"id": "displayName", "value": "by counters"}]},
    ]
    board.row(
        12,
        table(
            "Interfaces [$table_interfaces]",
            "Rates in and out by flows and by counters, with flows divided by counters. Far below 100 %: flows are missing (no export on the interface, a wrong sampling interval, losses). "
            "Far above: a flow counts twice, or the sampling interval is too large.",
            [ch(_table()), prom("B", keyed["in"], table=True), prom("C", keyed["out"], table=True)],
            [
                Column("device", "Device", links=drill),
                Column("interface", "Interface", links=drill),
                Column("flows_in", "In by flows", "bps"),
                Column("Value #B", "In by counters", "bps"),
                Column("ratio_in", "In: flows / counters", "percentunit", colors=RATIO, decimals=0, mappings=[NO_QUOTIENT]),
                Column("flows_out", "Out by flows", "bps"),
                Column("Value #C", "Out by counters", "bps"),
                Column("ratio_out", "Out: flows / counters", "percentunit", colors=RATIO, decimals=0, mappings=[NO_QUOTIENT]),
            ],
            sort="In by flows",
            no_value=NO_FLOWS,
            transformations=[
                {"id": "joinByField", "options": {"byField": "key", "mode": "outer"}},
                ratio("ratio_in", "flows_in", "Value #B"),
                ratio("ratio_out", "flows_out", "Value #C"),
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": {name: True for name in hidden if name not in ("device 1", "interface 1")},
                        "renameByName": {"device 1": "device", "interface 1": "interface"},
                        "indexByName": {
                            name: n
                            for n, name in enumerate(
                                [
                                    "device 1",
                                    "interface 1",
                                    "flows_in",
                                    "Value #B",
                                    "ratio_in",
                                    "flows_out",
                                    "Value #C",
                                    "ratio_out",
                                ]
                            )
                        },
                    },
                },
            ],
        ),
    )
    board.heading("Over time")
    for way, question in (("in", IN), ("out", OUT)):
        keys = dict(question.keys)
        both = Question(
            {"interface": f"concat({keys['device']}, ' ', {keys['interface']})"}, needs=question.needs, where=question.where
        )
        board.row(
            8,
            graph(
                f"{way.capitalize()} by flows [$table_interfaces]",
                f"Rate {way} of the ten busiest of the chosen interfaces, by flows.",
                [ch(sql.top_series(both, limit="10"), time=True)],
                unit="bps",
                no_value=NO_FLOWS,
                name="series_",
                legend_width=INTERFACE_LEGEND,
            ),
            graph(
                f"{way.capitalize()} by counters",
                f"Rate {way} of the ten busiest of the chosen interfaces, by their octet counters.",
                [
                    prom(
                        "A",
                        f"topk(10, avg by (device, interface) (helios:if_{way}_bits:rate5m{{{CHOSEN}}}))",
                        "{{device}} {{interface}}",
                    )
                ],
                unit="bps",
                legend_width=INTERFACE_LEGEND,
                no_value=NO_COUNTERS,
                links=[
                    link(
                        "Who uses it",
                        "helios-top-talkers",
                        f"&var-exporter={label('device')}&var-interface={label('interface')}",
                    )
                ],
            ),
        )
    return board


def _parts() -> str:
    return (
        f"SELECT device, interface, bytes AS into, toUInt64(0) AS out_of FROM (\n{IN.rows()}\n)\nUNION ALL\n"
        f"SELECT device, interface, toUInt64(0) AS into, bytes AS out_of FROM (\n{OUT.rows()}\n)"
    )


def _table() -> str:
    return sql._statement(
        IN,
        [],
        "SELECT concat(device, ' ', interface) AS key, device, interface, sum(into) * 8 / seconds AS flows_in, sum(out_of) * 8 / seconds AS flows_out\n"
        f"FROM (\n{_parts()}\n) GROUP BY device, interface ORDER BY flows_in DESC LIMIT 500",
    )


def _total() -> str:
    return sql._statement(IN, [], f"SELECT sum(bytes) * 8 / seconds AS rate FROM (\n{IN.rows()}\n)")
