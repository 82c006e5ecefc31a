"""The variables that several dashboards share."""

from . import sql
from .grafana import Json, ch_values, choice, datasource, prom_values, text_box

# A dashboard hides the source that it does not ask: its links hand the choice on.
DATASOURCE = datasource("datasource", "Prometheus", "prometheus")
CLICKHOUSE = datasource("clickhouse", "ClickHouse", "grafana-clickhouse-datasource")

SITE = prom_values("site", "Site", "helios:device_up", "site")
DEVICE = prom_values("device", "Device", 'helios:device_up{site=~"$site"}', "device")
INTERFACE = prom_values("interface", "Interface", 'helios:if_oper_up{site=~"$site", device=~"$device"}', "interface")

SITES = 'site=~"$site"'
"""Selector of series of the chosen sites; below, of their devices and interfaces."""
DEVICES = SITES + ', device=~"$device"'
INTERFACES = DEVICES + ', interface=~"$interface"'

TOP = choice("top", "Top", "How many are listed; the rest is the row 'other'.", [(n, n) for n in ("10", "20", "50", "100")])


def metrics(*more: Json) -> list[Json]:
    return [DATASOURCE, CLICKHOUSE | {"hide": 2}, SITE, *more]


FLOW_NAMES = ("exporter", "site", "interface", "asn", "address", "port", "proto", "direction", "once", "table", "top")


def flows(*, counters: bool = False, **answered_by: sql.Question) -> list[Json]:
    """The filters of a flow dashboard; for each question a hidden variable `table_NAME` that titles show. `counters`: the dashboard
    asks Prometheus as well."""
    protocols = [(sql.PROTOCOLS[n], str(n)) for n in (6, 17, 1, 58, 50, 47, 132, 89)]
    filters = [
        ch_values("exporter", "Exporter", sql.distinct("exporter_name"), "Flows that these devices exported."),
        ch_values("site", "Site", sql.distinct("exporter_site"), "Flows from exporters at these sites."),
        ch_values(
            "interface", "Interface", sql.distinct("in_if_name"), "Flows that came in or went out by an interface of this name."
        ),
        text_box("asn", "AS", "AS numbers, comma-separated: flows from or to one of them. Example: 64500, 64501"),
        text_box(
            "address", "Address", "An address or a prefix: flows from or to it. Examples: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32"
        ),
        text_box("port", "Port", "Ports, comma-separated: flows from or to one of them. Example: 80, 443"),
        choice("proto", "Protocol", "Flows of these protocols.", protocols, multi=True),
        choice(
            "direction",
            "Direction",
            "Where the exporter saw the flow: on its way in or out of an interface.",
            [("ingress", "ingress"), ("egress", "egress"), ("unknown", "unknown")],
            multi=True,
        ),
        choice(
            "once",
            "Count once",
            "A flow that several exporters report counts several times. 'ingress' leaves out what an exporter reports on the way out. "
            "'boundary ingress' counts what comes in by an interface that leads out of the network. 'one exporter' counts the busiest of "
            "the chosen exporters alone.",
            [("every record", "off"), ("ingress", "ingress"), ("boundary ingress", "boundary"), ("one exporter", "exporter")],
        ),
        choice(
            "table",
            "Table",
            "The table that is asked: flows, or sums by minute (flows_1m, talkers_1m) or hour (flows_1h, talkers_1h). 'auto' takes the coarsest "
            "one that can answer; another choice is used where it can answer.",
            [("auto", "auto"), ("flows", "flows"), ("by minute", "flows_1m"), ("by hour", "flows_1h")],
        ),
        TOP,
    ]
    hidden = [
        ch_values(f"table_{name}", "", sql.table_name(question), "The table that answered.", multi=False, hidden=True)
        for name, question in answered_by.items()
    ]
    return [CLICKHOUSE, DATASOURCE | ({} if counters else {"hide": 2}), *filters, *hidden]
