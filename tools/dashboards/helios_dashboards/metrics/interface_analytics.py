"""Traffic, errors, discards and state of interfaces."""

from ..grafana import (
    ANY_IS_BAD,
    GREEN,
    MERGE,
    ORANGE,
    RED,
    UP_DOWN,
    UTILIZATION,
    YELLOW,
    Column,
    Dashboard,
    graph,
    organize,
    prom,
    stat,
    table,
    thresholds,
)
from ..variables import DEVICE, INTERFACE, metrics
from ..variables import INTERFACES as I
from .shared import DOWN_INTERFACES, INTERFACE_LEGEND, LABEL_INTERFACE, NO_COUNTERS, PER_SECOND, ROW_INTERFACE, count_of, either_way


def make() -> Dashboard:
    board = Dashboard(
        "helios-interface-analytics",
        "Interface Analytics",
        "Which interface is down, full, or loses packets, and since when.",
        "metrics",
        metrics(DEVICE, INTERFACE),
    )
    down = DOWN_INTERFACES.format(I)
    ratio = lambda kind: either_way(kind, I)
    board.row(
        4,
        stat(
            "Down",
            "Interfaces that are configured up and are down now.",
            count_of(down),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Went down in range",
            "Interfaces that were up within the range and are down now.",
            count_of(f"max_over_time(helios:if_oper_up{{{I}}}[$__range]) == 1 and helios:if_oper_up{{{I}}} == 0"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "With errors",
            "Interfaces with more than 1 % errors in or out now.",
            count_of(f"{ratio('error_ratio:rate5m')} > 0.01"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "With discards",
            "Interfaces that discard more than one packet a second now: queues are full.",
            count_of(f"{ratio('discards:rate5m')} > 1"),
            levels=thresholds(GREEN, (1, YELLOW), (5, ORANGE)),
        ),
        stat(
            "Above 90 %",
            "Interfaces whose utilization in or out is above 90 % now.",
            count_of(f"{ratio('utilization:ratio5m')} > 0.9"),
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Interfaces",
            "Interfaces that are collected.",
            [prom("A", f"count(helios:if_oper_up{{{I}}})", instant=True)],
            no_value=NO_COUNTERS,
        ),
    )
    by = "by (device, site, interface)"
    # Rates outlive a device that does not answer any more by 5 minutes: without a state they would come first.
    known = f"and on (device, interface) (helios:if_oper_up{{{I}}} and on (device, interface) helios:if_admin_up{{{I}}} == 1)"
    columns = [
        Column("device", "Device", links=ROW_INTERFACE),
        Column("interface", "Interface", links=ROW_INTERFACE),
        Column("site", "Site"),
        Column("Value #A", "State", width=80, colors=thresholds(RED, (1, GREEN)), mappings=[UP_DOWN]),
        Column("Value #B", "In", "bps", 100),
        Column("Value #C", "Out", "bps", 100),
        Column("Value #D", "Speed", "bps", 100),
        Column("Value #E", "Utilization", "percentunit", 150, gauge=True, colors=UTILIZATION, decimals=1),
        Column("Value #F", "Errors", "percentunit", 90, colors=thresholds(GREEN, (0.0001, YELLOW), (0.01, RED)), decimals=2),
        Column("Value #G", "Discards", PER_SECOND, 110, colors=thresholds(GREEN, (1, YELLOW), (100, RED)), decimals=1),
    ]
    board.row(
        11,
        table(
            "Interfaces",
            "The interfaces that are configured up: those that are down first, then the fullest, with their state and rates of the last 5 minutes. Utilization, errors and discards are the larger of in and out.",
            [
                # The first query gives the order of interfaces with the same state.
                prom("E", f"sort_desc({either_way('utilization:ratio5m', I, by)} {known})", table=True),
                prom("A", f"min {by} (helios:if_oper_up{{{I}}} {known})", table=True),
                prom("B", f"sum {by} (helios:if_in_bits:rate5m{{{I}}}) {known}", table=True),
                prom("C", f"sum {by} (helios:if_out_bits:rate5m{{{I}}}) {known}", table=True),
                prom("D", f"max {by} (helios:if_speed_bits{{{I}}}) {known}", table=True),
                prom("F", f"{either_way('error_ratio:rate5m', I, by)} {known}", table=True),
                prom("G", f"{either_way('discards:rate5m', I, by)} {known}", table=True),
            ],
            columns,
            sort="State",
            descending=False,
            no_value=NO_COUNTERS,
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    # A legend of both ways is read as pairs.
    pair = lambda name, more="": [
        prom("A", f"topk(10, sum by (device, interface) (helios:if_in_{name}{{{I}}}))", "{{device}} {{interface}} in"),
        prom("B", f"topk(10, sum by (device, interface) (helios:if_out_{name}{{{I}}}))", "{{device}} {{interface}} out"),
    ]
    board.row(
        9,
        graph(
            "Traffic of the busiest",
            "Rate of the ten busiest interfaces in each direction. Positive is in, negative is out.",
            pair("bits:rate5m"),
            unit="bps",
            negative="/ out$/",
            no_value=NO_COUNTERS,
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
        ),
        graph(
            "Utilization of the fullest",
            "Rate divided by speed, of the ten fullest interfaces in each direction.",
            pair("utilization:ratio5m"),
            unit="percentunit",
            levels=UTILIZATION,
            at_least=0.1,
            no_value="No interface tells its speed",
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
        ),
    )
    board.row(
        8,
        graph(
            "Errors",
            "Share of packets with errors, of the ten worst interfaces in each direction: optics, cables, duplex.",
            pair("error_ratio:rate5m"),
            unit="percentunit",
            levels=thresholds(GREEN, (0.01, RED)),
            at_least=0.011,
            no_value=NO_COUNTERS,
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
            legend_calc="max",
        ),
        graph(
            "Discards",
            "Packets without errors that were discarded, of the ten worst interfaces in each direction: full queues, policers.",
            pair("discards:rate5m"),
            unit=PER_SECOND,
            at_least=1,
            no_value=NO_COUNTERS,
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
            legend_calc="max",
        ),
    )
    board.row(
        8,
        graph(
            "Packets",
            "Packets a second of the ten busiest interfaces in each direction. Positive is in, negative is out.",
            pair("packets:rate5m"),
            unit="pps",
            negative="/ out$/",
            no_value=NO_COUNTERS,
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
        ),
        graph(
            "Down and back",
            "State of the interfaces that changed within the range: 1 is up, 0 is down. Empty when none changed.",
            [
                prom(
                    "A",
                    f"helios:if_oper_up{{{I}}} and on (device, interface) changes(helios:if_oper_up{{{I}}}[$__range] @ end()) > 0",
                    "{{device}} {{interface}}",
                )
            ],
            unit="none",
            steps=True,
            maximum=1,
            no_value="No interface changed its state in this range",
            links=LABEL_INTERFACE,
            legend_width=INTERFACE_LEGEND,
            legend_calc="lastNotNull",
        ),
    )
    return board
