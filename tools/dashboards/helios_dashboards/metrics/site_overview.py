"""A site as a whole, and the sites beside each other."""

from ..grafana import (
    NEUTRAL,
    ANY_IS_BAD,
    GREEN,
    MERGE,
    ORANGE,
    RED,
    UTILIZATION,
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
from .shared import AVAILABILITY, DOWN_INTERFACES, NO_COUNTERS, NO_DEVICES, ROW_DEVICE, ROW_SITE, count_of, either_way


def make() -> Dashboard:
    board = Dashboard("helios-site-overview", "Site Overview", "Which site is cut off, degraded or full.", "metrics", metrics())
    down = DOWN_INTERFACES.format(S)
    board.row(
        4,
        stat(
            "Sites cut off",
            "Sites none of whose devices answers to ICMP now.",
            count_of(f"max by (site) (helios:device_up{{{S}}}) == 0"),
            levels=ANY_IS_BAD,
        ),
        stat(
            "Sites degraded",
            "Sites with a device, a configured interface or a BGP session down now.",
            count_of(
                f"count by (site) (helios:device_up{{{S}}} == 0) or count by (site) ({down}) or count by (site) (helios:bgp_session_state{{{S}}} < 6)"
            ),
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Availability",
            "Mean share of the range in which devices answered to ICMP.",
            [prom("A", f"avg(avg_over_time(helios:device_up{{{S}}}[$__range]))", instant=True)],
            unit="percentunit",
            levels=AVAILABILITY,
            no_value=NO_DEVICES,
            decimals=2,
        ),
        stat(
            "Traffic in",
            "Sum over the interfaces of the sites now.",
            [prom("A", f"sum(helios:if_in_bits:rate5m{{{S}}})", instant=True)],
            unit="bps",
            no_value=NO_COUNTERS,
        ),
        stat(
            "Sites",
            "Sites with devices that are probed.",
            [prom("A", f"count(count by (site) (helios:device_up{{{S}}}))", instant=True)],
            no_value=NO_DEVICES,
        ),
        widths=[5, 5, 5, 5, 4],
    )
    by = "by (site, region)"
    columns = [
        Column(
            "site",
            "Site",
            links=ROW_SITE
            + [
                link("Devices of this site", "helios-device-health", '&var-site=${__data.fields["site"]:percentencode}'),
                link("Flows of this site", "helios-traffic-matrix", '&var-site=${__data.fields["site"]:percentencode}'),
            ],
        ),
        Column("region", "Region"),
        Column("Value #A", "Devices", width=90, decimals=0),
        Column("Value #B", "Devices down", width=135, colors=thresholds(GREEN, (1, RED)), decimals=0),
        Column("Value #C", "Availability", "percentunit", 110, colors=AVAILABILITY, decimals=2),
        Column("Value #D", "Interfaces down", width=140, colors=thresholds(GREEN, (1, RED)), decimals=0),
        Column("Value #E", "BGP down", width=100, colors=thresholds(GREEN, (1, RED)), decimals=0),
        Column("Value #F", "In", "bps", 100),
        Column("Value #G", "Out", "bps", 100),
        Column("Value #H", "Fullest interface", "percentunit", 150, gauge=True, colors=UTILIZATION, decimals=0),
        Column("Value #I", "Round trip", "s", 110, decimals=1),
    ]
    none = f"0 * max {by} (helios:device_up{{{S}}})"
    board.row(
        9,
        table(
            "Sites",
            "Every site with what may be wrong there.",
            [
                prom("A", f"count {by} (helios:device_up{{{S}}})", table=True),
                prom("B", f"count {by} (helios:device_up{{{S}}} == 0) or {none}", table=True),
                prom("C", f"avg {by} (avg_over_time(helios:device_up{{{S}}}[$__range]))", table=True),
                prom("D", f"count {by} ({down}) or {none}", table=True),
                prom("E", f"count {by} (helios:bgp_session_state{{{S}}} < 6) or {none}", table=True),
                prom("F", f"sum {by} (helios:if_in_bits:rate5m{{{S}}})", table=True),
                prom("G", f"sum {by} (helios:if_out_bits:rate5m{{{S}}})", table=True),
                prom("H", either_way("utilization:ratio5m", S, by), table=True),
                prom("I", f"avg {by} (helios:rtt_seconds{{{S}}})", table=True),
            ],
            columns,
            sort="Devices down",
            no_value=NO_DEVICES,
            transformations=[MERGE, organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    here = [link("This site", "helios-site-overview", f"&var-site={label('site')}")]
    board.row(
        8,
        graph(
            "Traffic",
            "Sum over the interfaces of a site. Positive is in, negative is out.",
            [
                prom("A", f"sum by (site) (helios:if_in_bits:rate5m{{{S}}})", "{{site}} in"),
                prom("B", f"sum by (site) (helios:if_out_bits:rate5m{{{S}}})", "{{site}} out"),
            ],
            unit="bps",
            negative="/ out$/",
            no_value=NO_COUNTERS,
            links=here,
        ),
        graph(
            "Availability",
            "Share of the devices of a site that answer to ICMP.",
            [prom("A", f"avg by (site) (helios:device_up{{{S}}})", "{{site}}")],
            from_most=0.9,
            unit="percentunit",
            maximum=1,
            no_value=NO_DEVICES,
            links=here,
            steps=True,
        ),
    )
    board.row(
        8,
        graph(
            "Round-trip time",
            "Mean over the devices of a site, by ICMP.",
            [prom("A", f"avg by (site) (helios:rtt_seconds{{{S}}})", "{{site}}")],
            unit="s",
            no_value=NO_DEVICES,
            links=here,
        ),
        ranking(
            "Busiest devices",
            "The ten devices with the highest rate in now, over all their interfaces.",
            f"sort_desc(topk(10, sum by (device, site) (helios:if_in_bits:rate5m{{{S}}})))",
            [
                Column("device", "Device", links=ROW_DEVICE),
                Column("site", "Site", links=ROW_SITE),
                Column("Value", "In", "bps", 220, gauge=True, full=None, colors=NEUTRAL),
            ],
            no_value=NO_COUNTERS,
        ),
    )
    return board
