"""Processor, memory, temperature and uptime of devices."""

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
from .shared import LABEL_DEVICE, NO_DEVICES, ROW_DEVICE, ROW_SITE, count_of

CPU = thresholds(GREEN, (0.6, YELLOW), (0.8, RED))
MEMORY = thresholds(GREEN, (0.7, YELLOW), (0.85, RED))
HEAT = thresholds(GREEN, (55, YELLOW), (70, RED))
NOT_COLLECTED = "Nobody collects this of these devices: see docs/collectors.md"


def make() -> Dashboard:
    board = Dashboard(
        "helios-device-health",
        "Device Health",
        "Which device is overloaded, hot, or has restarted.",
        "metrics",
        metrics(DEVICE),
    )
    board.row(
        4,
        stat(
            "Down",
            "Devices that do not answer to ICMP now.",
            count_of(f"helios:device_up{{{D}}} == 0"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "CPU above 80 %",
            "Devices whose processor is above 80 % now.",
            count_of(f"helios:cpu_utilization:ratio{{{D}}} > 0.8"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Memory above 85 %",
            "Devices whose memory is above 85 % now.",
            count_of(f"helios:memory_utilization:ratio{{{D}}} > 0.85"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Restarted in range",
            "Devices whose uptime is shorter than the range.",
            count_of(f"helios:uptime_seconds{{{D}}} < $__range_s"),
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Hottest sensor",
            "Highest temperature of all sensors now.",
            [prom("A", f"max(helios:temperature_celsius{{{D}}})", instant=True)],
            unit="celsius",
            levels=HEAT,
            no_value=NOT_COLLECTED,
            decimals=0,
        ),
        stat(
            "Devices",
            "Devices that are probed.",
            [prom("A", f"count(helios:device_up{{{D}}})", instant=True)],
            no_value=NO_DEVICES,
        ),
    )
    by = "by (device, site, role, platform)"
    columns = [
        Column("device", "Device", links=ROW_DEVICE),
        Column("site", "Site", links=ROW_SITE),
        Column("role", "Role"),
        Column("platform", "Platform"),
        Column("Value #A", "Reachable", width=100, colors=thresholds(RED, (1, GREEN)), mappings=[UP_DOWN]),
        Column("Value #B", "CPU", "percentunit", 150, gauge=True, colors=CPU, decimals=0),
        Column("Value #C", "Memory", "percentunit", 150, gauge=True, colors=MEMORY, decimals=0),
        Column("Value #D", "Hottest sensor", "celsius", 130, colors=HEAT, decimals=0),
        Column("Value #E", "Uptime", "s", 110, colors=thresholds(ORANGE, (3600, GREEN)), decimals=1),
    ]
    board.row(
        10,
        table(
            "Devices",
            "Processor, memory, temperature and uptime now. Uptime is orange below an hour.",
            [
                prom("A", f"min {by} (helios:device_up{{{D}}})", table=True),
                prom("B", f"max {by} (helios:cpu_utilization:ratio{{{D}}})", table=True),
                prom("C", f"max {by} (helios:memory_utilization:ratio{{{D}}})", table=True),
                prom("D", f"max {by} (helios:temperature_celsius{{{D}}})", table=True),
                prom("E", f"min {by} (helios:uptime_seconds{{{D}}})", table=True),
            ],
            columns,
            sort="CPU",
            no_value=NO_DEVICES,
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    top = lambda series: f"topk(10, max by (device) ({series}{{{D}}}))"
    board.row(
        8,
        graph(
            "CPU",
            "Mean over the processors of a device, of the ten busiest devices.",
            [prom("A", top("helios:cpu_utilization:ratio"), "{{device}}")],
            unit="percentunit",
            levels=CPU,
            maximum=1,
            no_value=NOT_COLLECTED,
            links=LABEL_DEVICE,
        ),
        graph(
            "Memory",
            "Used share of the memory, of the ten fullest devices. A line that only rises is a leak.",
            [prom("A", top("helios:memory_utilization:ratio"), "{{device}}")],
            unit="percentunit",
            levels=MEMORY,
            maximum=1,
            no_value=NOT_COLLECTED,
            links=LABEL_DEVICE,
        ),
    )
    board.row(
        8,
        graph(
            "Temperature",
            "The ten hottest sensors.",
            [prom("A", f"topk(10, max by (device, sensor) (helios:temperature_celsius{{{D}}}))", "{{device}} {{sensor}}")],
            unit="celsius",
            levels=HEAT,
            minimum=None,
            no_value=NOT_COLLECTED,
            links=LABEL_DEVICE,
        ),
        graph(
            "Uptime",
            "Seconds since the device started, of the ten that started last. A line that falls to zero is a restart.",
            [prom("A", f"bottomk(10, min by (device) (helios:uptime_seconds{{{D}}}))", "{{device}}")],
            unit="s",
            no_value=NOT_COLLECTED,
            links=LABEL_DEVICE,
            legend_calc="lastNotNull",
        ),
    )
    return board
