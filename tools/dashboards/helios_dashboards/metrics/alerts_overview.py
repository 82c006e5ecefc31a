"""Alerts that fire, and how they came and went."""

from ..grafana import (
    GREEN,
    ORANGE,
    RED,
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
from ..variables import metrics
from .shared import FOR_PEOPLE, ROW_DEVICE, ROW_SITE, count_of

S = 'site=~"$site|"'
FIRING = f'ALERTS{{alertstate="firing", {FOR_PEOPLE}, {S}}}'
NONE = "No alert fires"


def make() -> Dashboard:
    board = Dashboard(
        "helios-alerts-overview",
        "Alerts Overview",
        "Which alerts fire, where, since when, and which come back again and again.",
        "metrics",
        metrics(),
    )
    count = lambda severity: f'count(ALERTS{{alertstate="firing", severity="{severity}", {S}}}) or vector(0)'
    board.row(
        4,
        stat(
            "Critical",
            "Alerts of severity critical that fire now.",
            [prom("A", count("critical"), instant=True)],
            levels=thresholds(GREEN, (1, RED)),
        ),
        stat(
            "Warning",
            "Alerts of severity warning that fire now.",
            [prom("A", count("warning"), instant=True)],
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Other",
            "Alerts of another severity that fire now.",
            count_of(f'ALERTS{{alertstate="firing", severity!~"critical|warning|none", {S}}}'),
            levels=thresholds(GREEN, (1, YELLOW)),
        ),
        stat(
            "Pending",
            "Alerts whose condition holds and whose time has not passed yet.",
            count_of(f'ALERTS{{alertstate="pending", {FOR_PEOPLE}, {S}}}'),
            levels=thresholds(GREEN, (1, YELLOW)),
        ),
        stat(
            "Devices with alerts",
            "Devices that an alert names, now.",
            count_of(f'count by (device) ({FIRING[:-1]}, device!=""}})'),
            levels=thresholds(GREEN, (1, ORANGE)),
        ),
        stat(
            "Rules that fail",
            "Rules that Prometheus could not evaluate in the last 5 minutes: alerts that cannot fire.",
            [prom("A", "sum(increase(prometheus_rule_evaluation_failures_total[5m])) or vector(0)", instant=True)],
            levels=thresholds(GREEN, (1, RED)),
        ),
    )
    columns = [
        Column("severity", "Severity", width=100),
        Column("alertname", "Alert", links=[link("Its history", "helios-alerts-overview")]),
        Column("device", "Device", links=ROW_DEVICE),
        Column("interface", "Interface"),
        Column("peer", "Neighbour"),
        Column("site", "Site", links=ROW_SITE),
        Column("Value", "Fires for", "s", 110, decimals=0),
    ]
    board.row(
        11,
        table(
            "Firing now",
            "Every alert that fires, longest first, with what it is about.",
            [
                prom(
                    "A",
                    f"time() - max by (alertname, severity, device, interface, peer, exporter, site) (last_over_time(ALERTS_FOR_STATE{{{S}}}[5m])) and on (alertname, severity, device, interface, peer, exporter, site) max by (alertname, severity, device, interface, peer, exporter, site) ({FIRING})",
                    table=True,
                )
            ],
            columns,
            sort="Fires for",
            no_value=NONE,
            transformations=[organize([c.name for c in columns], hide=["Time"])],
        ),
    )
    board.row(
        8,
        graph(
            "Alerts over time",
            "How many alerts fired, by name.",
            [prom("A", f"sort_desc(count by (alertname) ({FIRING}))", "{{alertname}}")],
            unit="none",
            stack=True,
            steps=True,
            no_value="No alert fired in this range",
            legend_calc="max",
        ),
        ranking(
            "Longest in range",
            "Minutes in which an alert fired within the range, over all that it was about.",
            f"sort_desc(topk(15, sum by (alertname) (count_over_time({FIRING}[$__range:1m]))))",
            [Column("alertname", "Alert"), Column("Value", "Minutes", "m", 180, gauge=True, full=None, colors=thresholds(ORANGE))],
            no_value="No alert fired in this range",
        ),
        widths=[14, 10],
    )
    board.row(
        8,
        graph(
            "Alerts by site",
            "How many alerts fired, by site.",
            [prom("A", f"count by (site) ({FIRING})", "{{site}}")],
            unit="none",
            stack=True,
            steps=True,
            no_value="No alert fired in this range",
            links=[link("This site", "helios-site-overview", f"&var-site={label('site')}")],
            legend_calc="max",
        ),
        ranking(
            "Devices with the most",
            "Minutes in which alerts that name a device fired within the range.",
            f'sort_desc(topk(15, sum by (device) (count_over_time({FIRING[:-1]}, device!=""}}[$__range:1m]))))',
            [
                Column("device", "Device", links=ROW_DEVICE),
                Column("Value", "Minutes", "m", 180, gauge=True, full=None, colors=thresholds(ORANGE)),
            ],
            no_value="No alert named a device in this range",
        ),
        widths=[14, 10],
    )
    return board
