"""The first page: what is broken, and where."""

from ..grafana import (
    ANY_IS_BAD,
    GREEN,
    MERGE,
    NEUTRAL,
    ORANGE,
    RED,
    UP_DOWN,
    UTILIZATION,
    YELLOW,
    Column,
    Dashboard,
    graph,
    label,
    link,
    organize,
    prom,
    ranking,
    stat,
    table,
    thresholds,
)
from ..variables import SITES as S
from ..variables import metrics
from .shared import AVAILABILITY, DOWN_INTERFACES, FOR_PEOPLE, KEEP, NO_COUNTERS, NO_DEVICES, ROW_DEVICE, ROW_INTERFACE, ROW_SITE, count_of, either_way


RECORDS = (
    'sum by (device) (helios:flow_records:rate5m{device!=""} or label_join(helios:flow_records:rate5m{device=""}, "device", "", "exporter"))'
)
"""By device; an exporter without a name is called by its address."""


def make() -> Dashboard:
    board = Dashboard(
        "helios-network-overview",
        "Network Overview",
        "Is something wrong in the network, and where? Start here.",
        "metrics",
        metrics(),
    )
    down = DOWN_INTERFACES.format(S)
    board.row(
        4,
        stat(
            "Devices down",
            "Devices that do not answer to ICMP now.",
            count_of(f"helios:device_up{{{S}}} == 0"),
            levels=ANY_IS_BAD,
            links=[link("Reachability", "helios-latency-reachability", KEEP)],
        ),
        stat(
            "Interfaces down",
            "Interfaces that are configured up and are down now.",
            count_of(down),
            levels=ANY_IS_BAD,
            links=[link("Interfaces", "helios-interface-analytics", KEEP)],
        ),
        stat(
            "BGP down",
            "Sessions that are not established now.",
            count_of(f"helios:bgp_session_state{{{S}}} < 6"),
            levels=ANY_IS_BAD,
            links=[link("BGP", "helios-bgp-status", KEEP)],
        ),
        stat(
            "With errors",
            "Interfaces that have more than 1 % errors in or out now.",
            count_of(f"{either_way('error_ratio:rate5m', S)} > 0.01"),
            levels=ANY_IS_BAD,
            links=[link("Interfaces", "helios-interface-analytics", KEEP)],
        ),
        stat(
            "Above 90 %",
            "Interfaces whose utilization in or out is above 90 % now.",
            count_of(f"{either_way('utilization:ratio5m', S)} > 0.9"),
            levels=thresholds(GREEN, (1, ORANGE)),
            links=[link("Top interfaces", "helios-top-interfaces", KEEP)],
        ),
        stat(
            "Alerts firing",
            "Alerts of all severities that fire now.",
            count_of(f'ALERTS{{alertstate="firing", {FOR_PEOPLE}, site=~"$site|"}}'),
            levels=thresholds(GREEN, (1, YELLOW), (10, RED)),
            links=[link("Alerts", "helios-alerts-overview")],
        ),
        stat(
            "Flow records lost",
            "Flow records that Helios had to drop, per second, now.",
            [prom("A", "sum(rate(helios_pipeline_rows_dropped_total[5m])) or vector(0)", instant=True)],
            unit="recps",
            levels=thresholds(GREEN, (0.01, RED)),
            links=[link("Flows", "helios-top-talkers")],
        ),
        stat(
            "Devices",
            "Devices that are probed.",
            [prom("A", f"count(helios:device_up{{{S}}})", instant=True)],
            levels=NEUTRAL,
            no_value=NO_DEVICES,
        ),
    )
    columns = [
        Column("device", "Device", links=ROW_DEVICE),
        Column("site", "Site", links=ROW_SITE),
        Column("Value #A", "Reachable", width=100, colors=thresholds(RED, (1, GREEN)), mappings=[UP_DOWN]),
        Column("Value #B", "Interfaces down", width=140, colors=thresholds(GREEN, (1, RED)), decimals=0),
        Column("Value #C", "BGP down", width=110, colors=thresholds(GREEN, (1, RED)), decimals=0),
        Column("Value #D", "Busiest interface", "percentunit", 150, colors=UTILIZATION, decimals=0),
        Column(
            "Value #E", "Worst errors", "percentunit", 130, colors=thresholds(GREEN, (0.0001, YELLOW), (0.01, RED)), decimals=2
        ),
        Column("Value #F", "CPU", "percentunit", 80, colors=thresholds(GREEN, (0.6, YELLOW), (0.8, RED)), decimals=0),
        Column("Value #G", "Memory", "percentunit", 90, colors=thresholds(GREEN, (0.7, YELLOW), (0.85, RED)), decimals=0),
        Column("Value #H", "Alerts", width=80, colors=thresholds(GREEN, (1, RED)), decimals=0),
    ]
    by = "by (device, site)"
    board.row(
        13,
        table(
            "Devices, worst first",
            "Every device with what may be wrong with it. Empty cells: nobody collects this of the device.",
            [
                prom("A", f"sort(min {by} (helios:device_up{{{S}}}))", table=True),
                prom("B", f"count {by} ({down}) or 0 * max {by} (helios:device_up{{{S}}})", table=True),
                prom(
                    "C",
                    f"count {by} (helios:bgp_session_state{{{S}}} < 6) or 0 * max {by} (helios:device_up{{{S}}})",
                    table=True,
                ),
                prom("D", either_way("utilization:ratio5m", S, by), table=True),
                prom("E", either_way("error_ratio:rate5m", S, by), table=True),
                prom("F", f"max {by} (helios:cpu_utilization:ratio{{{S}}})", table=True),
                prom("G", f"max {by} (helios:memory_utilization:ratio{{{S}}})", table=True),
                prom(
                    "H",
                    f'count {by} (ALERTS{{alertstate="firing", {FOR_PEOPLE}, {S}}}) or 0 * max {by} (helios:device_up{{{S}}})',
                    table=True,
                ),
            ],
            columns,
            no_value=NO_DEVICES,
            sort="Alerts",
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    board.row(
        8,
        ranking(
            "Availability by site",
            "Mean share of the range in which the devices of a site answered to ICMP, the lowest first.",
            f"sort(avg by (site) (avg_over_time(helios:device_up{{{S}}}[$__range])))",
            [
                Column("site", "Site", links=ROW_SITE),
                Column("Value", "Availability", "percentunit", 220, gauge=True, colors=AVAILABILITY, decimals=2),
            ],
            no_value=NO_DEVICES,
        ),
        graph(
            "Traffic by site",
            "Sum over all interfaces. Positive is in, negative is out.",
            [
                prom("A", f"sum by (site) (helios:if_in_bits:rate5m{{{S}}})", "{{site}} in"),
                prom("B", f"sum by (site) (helios:if_out_bits:rate5m{{{S}}})", "{{site}} out"),
            ],
            unit="bps",
            negative="/ out$/",
            no_value=NO_COUNTERS,
            links=[link("This site", "helios-site-overview", f"&var-site={label('site')}")],
        ),
        widths=[8, 16],
    )
    board.row(
        8,
        ranking(
            "Fullest interfaces",
            "The ten interfaces with the highest utilization now, in or out.",
            f"sort_desc(topk(10, {either_way('utilization:ratio5m', S)}))",
            [
                Column("device", "Device", links=ROW_INTERFACE),
                Column("interface", "Interface", links=ROW_INTERFACE),
                Column("Value", "Utilization", "percentunit", 150, gauge=True, colors=UTILIZATION, decimals=1),
            ],
            no_value=NO_COUNTERS,
        ),
        graph(
            "Flow records received",
            "Flow records per second of the ten exporters that send the most, and of all others. A step down is an exporter that went silent.",
            [
                prom("A", f"topk(10, {RECORDS})", "{{device}}"),
                prom("B", f"sum({RECORDS}) - sum(topk(10, {RECORDS})) > 0", "other"),
            ],
            unit="recps",
            stack=True,
            no_value="No exporter sends flows",
            links=[link("Flows", "helios-top-talkers")],
        ),
        widths=[8, 16],
    )
    return board
