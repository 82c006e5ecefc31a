"""Whether devices answer, and how fast."""

from ..grafana import (
    ANY_IS_BAD,
    GREEN,
    MERGE,
    ORANGE,
    RED,
    UP_DOWN,
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
from ..variables import DEVICE, metrics
from ..variables import DEVICES as D
from .shared import AVAILABILITY, LABEL_DEVICE, NO_DEVICES, ROW_DEVICE, ROW_SITE, count_of


def make() -> Dashboard:
    board = Dashboard(
        "helios-latency-reachability",
        "Latency & Reachability",
        "Which devices do not answer to ICMP, and whose round-trip time has changed.",
        "metrics",
        metrics(DEVICE),
    )
    up, rtt = f"helios:device_up{{{D}}}", f"helios:rtt_seconds{{{D}}}"
    usual = f"avg_over_time({rtt}[$__range])"
    board.row(
        4,
        stat(
            "Down",
            "Devices that do not answer now.",
            count_of(f"{up} == 0"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Were down in range",
            "Devices that did not answer at some time within the range.",
            count_of(f"min_over_time({up}[$__range]) == 0"),
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Slower than usual",
            "Devices whose round-trip time is more than twice their mean of the range, and 5 ms above it.",
            count_of(f"{rtt} > 2 * {usual} and {rtt} > {usual} + 0.005"),
            levels=thresholds(GREEN, (1, YELLOW), (5, ORANGE)),
        ),
        stat(
            "Availability",
            "Mean share of the range in which the devices answered.",
            [prom("A", f"avg(avg_over_time({up}[$__range]))", instant=True)],
            unit="percentunit",
            levels=AVAILABILITY,
            no_value=NO_DEVICES,
            decimals=3,
        ),
        stat(
            "Slowest answer",
            "Longest round-trip time now.",
            [prom("A", f"max({rtt})", instant=True)],
            unit="s",
            levels=thresholds(GREEN, (0.3, YELLOW), (1, RED)),
            no_value=NO_DEVICES,
            decimals=0,
        ),
        stat("Devices", "Devices that are probed.", [prom("A", f"count({up})", instant=True)], no_value=NO_DEVICES),
    )
    by = "by (device, site)"
    columns = [
        Column("device", "Device", links=ROW_DEVICE),
        Column("site", "Site", links=ROW_SITE),
        Column("Value #A", "Now", width=80, colors=thresholds(RED, (1, GREEN)), mappings=[UP_DOWN]),
        Column("Value #B", "Availability", "percentunit", 120, colors=AVAILABILITY, decimals=3),
        Column("Value #C", "Changes", width=90, colors=thresholds(GREEN, (1, ORANGE)), decimals=0),
        Column("Value #D", "Round trip now", "s", 130, decimals=1),
        Column("Value #E", "Mean", "s", 100, decimals=1),
        Column("Value #F", "Highest", "s", 100, decimals=1),
    ]
    board.row(
        10,
        table(
            "Devices",
            "State, availability and round-trip time over the range. Changes: how often the device went or came back.",
            [
                prom("A", f"min {by} ({up})", table=True),
                prom("B", f"avg {by} (avg_over_time({up}[$__range]))", table=True),
                prom("C", f"sum {by} (changes({up}[$__range]))", table=True),
                prom("D", f"max {by} ({rtt})", table=True),
                prom("E", f"avg {by} ({usual})", table=True),
                prom("F", f"max {by} (max_over_time({rtt}[$__range]))", table=True),
            ],
            columns,
            sort="Availability",
            descending=False,
            no_value=NO_DEVICES,
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    board.row(
        8,
        graph(
            "Round-trip time",
            "The ten slowest devices.",
            [prom("A", f"topk(10, max by (device) ({rtt}))", "{{device}}")],
            unit="s",
            no_value=NO_DEVICES,
            links=LABEL_DEVICE,
        ),
        graph(
            "Reachability",
            "1 is reachable, 0 is not: devices that were down within the range. Empty when all answered all the time.",
            [prom("A", f"max by (device) ({up}) and on (device) min_over_time({up}[$__range] @ end()) == 0", "{{device}}")],
            unit="none",
            steps=True,
            maximum=1,
            no_value="All devices answered all the time",
            links=LABEL_DEVICE,
            legend_calc="lastNotNull",
        ),
    )
    board.row(
        8,
        graph(
            "Devices down",
            "How many devices did not answer, by site.",
            [prom("A", f"count by (site) ({up} == 0) or 0 * count by (site) ({up})", "{{site}}")],
            unit="none",
            at_least=4,
            stack=True,
            steps=True,
            no_value=NO_DEVICES,
            legend_calc="max",
        ),
        graph(
            "Round-trip time by site",
            "Mean over the devices of a site.",
            [prom("A", f"avg by (site) ({rtt})", "{{site}}")],
            unit="s",
            no_value=NO_DEVICES,
        ),
    )
    return board
