"""The interfaces that carry the most, by their counters."""

from ..grafana import (
    NEUTRAL,
    ANY_IS_BAD,
    BLUE,
    GREEN,
    MERGE,
    ORANGE,
    UTILIZATION,
    YELLOW,
    Column,
    Dashboard,
    graph,
    organize,
    prom,
    ranking,
    stat,
    table,
    thresholds,
)
from ..variables import DEVICE, TOP, metrics
from ..variables import DEVICES as D
from .shared import INTERFACE_LEGEND, LABEL_INTERFACE, NO_COUNTERS, ROW_DEVICE, ROW_INTERFACE, count_of, either_way


def make() -> Dashboard:
    board = Dashboard(
        "helios-top-interfaces",
        "Top Talkers by Interface",
        "Which interfaces carry the most traffic, and how much of all that is. The flow dashboard Top Talkers says whose traffic it is.",
        "metrics",
        metrics(DEVICE, TOP),
    )
    rate = lambda way: f"sum by (device, interface) (helios:if_{way}_bits:rate5m{{{D}}})"
    mean = lambda way: f"sum by (device, interface) (avg_over_time(helios:if_{way}_bits:rate5m{{{D}}}[$__range]))"
    full = either_way("utilization:ratio5m", D)
    board.row(
        4,
        stat(
            "Above 90 %",
            "Interfaces whose utilization in or out is above 90 % now.",
            count_of(f"{full} > 0.9"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Above 70 %",
            "Interfaces whose utilization in or out is above 70 % now: the next to be upgraded.",
            count_of(f"{full} > 0.7"),
            levels=thresholds(GREEN, (1, YELLOW), (10, ORANGE)),
        ),
        stat(
            "Doubled",
            "Interfaces that carry more than twice their mean of the range now, and 1 Mbit/s or more.",
            count_of(f"{rate('in')} > 2 * {mean('in')} and {rate('in')} > 1e6"),
            levels=thresholds(GREEN, (1, YELLOW), (5, ORANGE)),
        ),
        stat(
            "Share of the busiest",
            "Share of the busiest interface in all traffic in, over the range.",
            [prom("A", f"max({mean('in')}) / sum({mean('in')})", instant=True)],
            unit="percentunit",
            no_value=NO_COUNTERS,
            decimals=1,
            levels=thresholds(GREEN, (0.5, YELLOW)),
        ),
        stat(
            "Traffic in",
            "Sum over all interfaces now.",
            [prom("A", f"sum({rate('in')})", instant=True)],
            unit="bps",
            no_value=NO_COUNTERS,
        ),
        stat(
            "Traffic out",
            "Sum over all interfaces now.",
            [prom("A", f"sum({rate('out')})", instant=True)],
            unit="bps",
            no_value=NO_COUNTERS,
        ),
    )
    for way, name in (("in", "In"), ("out", "Out")):
        total = f"scalar(sum({mean(way)}))"
        ranked = f"topk($top, {mean(way)})"
        rest = f'label_replace(label_replace(vector({total} - scalar(sum({ranked}))), "device", "other", "", ""), "interface", "", "", "")'
        columns = [
            Column("device", "Device", links=ROW_INTERFACE),
            Column("interface", "Interface", links=ROW_INTERFACE),
            Column("Value #A", "Mean rate", "bps", 95),
            Column("Value #B", "Share", "percentunit", 105, gauge=True, colors=thresholds(BLUE), decimals=1),
            Column("Value #C", "Bytes", "decbytes", 85),
            Column("Value #D", "Highest", "bps", 90),
            Column("Value #E", "Utilization", "percentunit", 105, gauge=True, colors=UTILIZATION, decimals=1),
        ]
        only = f"and on (device, interface) {ranked}"
        board.row(
            11,
            table(
                f"{name}, by bytes",
                f"Interfaces by the bytes that went {way} over the range, and the rest as 'other'.",
                [
                    prom("A", f"{ranked} or {rest}", table=True),
                    prom("B", f"({ranked} or {rest}) / {total}", table=True),
                    prom("C", f"({ranked} or {rest}) * $__range_s / 8", table=True),
                    prom(
                        "D",
                        f"sum by (device, interface) (max_over_time(helios:if_{way}_bits:rate5m{{{D}}}[$__range])) {only}",
                        table=True,
                    ),
                    prom(
                        "E",
                        f"sum by (device, interface) (avg_over_time(helios:if_{way}_utilization:ratio5m{{{D}}}[$__range])) {only}",
                        table=True,
                    ),
                ],
                columns,
                sort="Mean rate",
                no_value=NO_COUNTERS,
                transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
            ),
            graph(
                f"{name} over time",
                f"Rate {way} of the ten interfaces that are busiest at each time.",
                [prom("A", f"topk(10, {rate(way)})", "{{device}} {{interface}}")],
                unit="bps",
                no_value=NO_COUNTERS,
                links=LABEL_INTERFACE,
                legend_width=370,
                stack=False,
            ),
            widths=[13, 11],
        )
    board.row(
        8,
        ranking(
            "Devices",
            "Rate in of the ten busiest devices now, over all their interfaces.",
            f"sort_desc(topk(10, sum by (device) (helios:if_in_bits:rate5m{{{D}}})))",
            [
                Column("device", "Device", links=ROW_DEVICE),
                Column("Value", "In", "bps", 220, gauge=True, full=None, colors=NEUTRAL),
            ],
            no_value=NO_COUNTERS,
        ),
        graph(
            "Packets in",
            "Packets a second of the ten interfaces with the most. Many packets and few bytes are a flood of small packets.",
            [
                prom(
                    "A",
                    f"topk(10, sum by (device, interface) (helios:if_in_packets:rate5m{{{D}}}))",
                    "{{device}} {{interface}}",
                )
            ],
            unit="pps",
            no_value=NO_COUNTERS,
            links=LABEL_INTERFACE,
                legend_width=INTERFACE_LEGEND,
        ),
        widths=[10, 14],
    )
    return board
