"""Classic dashboard JSON of Grafana 12 and 13 (schemaVersion 42): panels, variables, links, layout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 42
CLICKHOUSE_PLUGIN = "4.20.0"
PROMETHEUS: Json = {"type": "prometheus", "uid": "${datasource}"}
CLICKHOUSE: Json = {"type": "grafana-clickhouse-datasource", "uid": "${clickhouse}"}
MIXED: Json = {"type": "datasource", "uid": "-- Mixed --"}

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


def thresholds(first: str, *steps: tuple[float, str]) -> Json:
    """The color below the first step, then each value from which on another one holds."""
    return {"mode": "absolute", "steps": [{"value": None, "color": first}] + [{"value": v, "color": c} for v, c in steps]}


UNKNOWN = "#6e6e6e"
"""The color of a value that is missing: it falls below every threshold."""

NEUTRAL = thresholds(BLUE)
ANY_IS_BAD = thresholds(GREEN, (1, RED))
UTILIZATION = thresholds(GREEN, (0.7, YELLOW), (0.9, RED))


# Queries


def prom(ref: str, expr: str, legend: str = "", *, table: bool = False, instant: bool | None = None) -> Json:
    instant = table if instant is None else instant
    return {
        "refId": ref,
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": " ".join(expr.split()),
        "legendFormat": legend or "__auto",
        "format": "table" if table else "time_series",
        "instant": instant,
        "range": not instant,
    }


def ch(sql: str, *, ref: str = "A", time: bool = False) -> Json:
    return {
        "refId": ref,
        "datasource": CLICKHOUSE,
        "pluginVersion": CLICKHOUSE_PLUGIN,
        "editorType": "sql",
        "format": 0 if time else 1,
        "queryType": "timeseries" if time else "table",
        "rawSql": sql,
    }


# Links


TIME = "${__url_time_range}"
SOURCES = "var-datasource=${datasource}&var-clickhouse=${clickhouse}"


def field_of_row(name: str) -> str:
    return f'${{__data.fields["{name}"]:percentencode}}'


def label(name: str) -> str:
    return f"${{__field.labels.{name}:percentencode}}"


def keep(*variables: str) -> str:
    """The variables of this dashboard for the next one."""
    return "".join(f"&${{{variable}:queryparam}}" for variable in variables)


def link(title: str, uid: str, parameters: str = "") -> Json:
    return {"title": title, "url": f"/d/{uid}?{SOURCES}{parameters}&{TIME}", "targetBlank": False}


# Panels


@dataclass
class Column:
    """A column of a table panel, by the field's name."""

    name: str
    title: str
    unit: str = ""
    width: int = 0
    links: Sequence[Json] = ()
    gauge: bool = False
    """A bar in the cell."""
    full: float | None = 1
    """The value of a full bar; None: the largest of the column."""
    colors: Json | None = None
    """Thresholds that color the cell."""
    mappings: Sequence[Json] = ()
    decimals: int | None = None

    def override(self) -> Json:
        # Grafana shows the text for a table without rows in every empty cell as well.
        properties: list[Json] = [{"id": "displayName", "value": self.title}, {"id": "noValue", "value": "-"}]
        add = lambda key, value: properties.append({"id": key, "value": value})
        if self.unit:
            add("unit", self.unit)
        if self.decimals is not None:
            add("decimals", self.decimals)
        if self.width:
            add("custom.width", self.width)
        if self.links:
            add("links", list(self.links))
        if self.gauge:
            add("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})
            add("min", 0)
            if self.full is not None:
                add("max", self.full)
        if self.colors:
            add("thresholds", self.colors)
            if not self.gauge:
                add("custom.cellOptions", {"type": "color-text"})
        if self.mappings:
            add("mappings", list(self.mappings))
        return {"matcher": {"id": "byName", "options": self.name}, "properties": properties}


def value_map(**names: tuple[str, str]) -> Json:
    """Texts and colors for numbers: `value_map(_0=("down", RED))`."""
    options = {
        key.lstrip("_"): {"text": text, "color": color, "index": n} for n, (key, (text, color)) in enumerate(names.items())
    }
    return {"type": "value", "options": options}


UP_DOWN = value_map(_1=("up", GREEN), _0=("down", RED))
NO_QUOTIENT: Json = {"type": "special", "options": {"match": "null+nan", "result": {"text": "-", "index": 0}}}
"""A dash where a quotient has no value, because nothing divides nothing."""


def _panel(
    kind: str, title: str, description: str, targets: Sequence[Json], options: Json, defaults: Json, **more: Any
) -> Json:
    sources = {target["datasource"]["uid"]: target["datasource"] for target in targets}
    source = next(iter(sources.values())) if len(sources) == 1 else MIXED
    overrides = more.pop("overrides", [])
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": source,
        "targets": list(targets),
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        **{key: value for key, value in more.items() if value is not None},
    }


def _reduce(calc: str = "lastNotNull", values: bool = False) -> Json:
    return {"calcs": [calc], "fields": "", "values": values}


def stat(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str = "none",
    levels: Json = NEUTRAL,
    no_value: str = "0",
    links: Sequence[Json] = (),
    calc: str = "lastNotNull",
    decimals: int | None = None,
    text: bool = False,
    mappings: Sequence[Json] = (),
) -> Json:
    defaults: Json = {
        "unit": unit,
        "noValue": no_value,
        "thresholds": levels,
        "color": {"mode": "thresholds"},
        "links": list(links),
    }
    defaults["mappings"] = list(mappings)
    if decimals is not None:
        defaults["decimals"] = decimals
    reduce = _reduce(calc)
    if text:
        reduce["fields"] = "/.*/"
    options = {
        "reduceOptions": reduce,
        "orientation": "auto",
        "textMode": "value",
        "colorMode": "background" if levels is not NEUTRAL else "value",
        "graphMode": "none",
        "justifyMode": "center",
    }
    return _panel("stat", title, description, targets, options, defaults)


def graph(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    no_value: str = "No data in this range",
    stack: bool = False,
    levels: Json | None = None,
    links: Sequence[Json] = (),
    minimum: float | None = 0,
    maximum: float | None = None,
    negative: str = "",
    legend_calc: str = "mean",
    name: str = "",
    interval: str | None = None,
    legend: bool = True,
    legend_width: int = 320,
    transformations: Sequence[Json] = (),
    steps: bool = False,
    at_least: float | None = None,
    from_most: float | None = None,
) -> Json:
    """`negative`: series whose names match are drawn below zero. `name`: the label that names a series. `at_least`: the axis reaches so
    far up, so that noise does not look like a mountain; `from_most`: it begins there, or lower where values are lower."""
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if steps else "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if stack else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if levels else "off"},
    }
    if at_least is not None:
        custom["axisSoftMax"] = at_least
    if from_most is not None:
        custom["axisSoftMin"] = from_most
    defaults: Json = {
        "unit": unit,
        "noValue": no_value,
        "custom": custom,
        "color": {"mode": "palette-classic"},
        "links": list(links),
    }
    if minimum is not None and from_most is None and not negative:
        defaults["min"] = minimum
    if maximum is not None:
        defaults["max"] = maximum
    if levels:
        defaults["thresholds"] = levels
    if name:
        defaults["displayName"] = f"${{__field.labels.{name}}}"
    overrides: list[Json] = [
        {
            "matcher": {"id": "byRegexp", "options": "/^other$/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "#8e8e8e"}}],
        }
    ]
    if negative:
        overrides.append(
            {
                "matcher": {"id": "byRegexp", "options": negative},
                "properties": [{"id": "custom.transform", "value": "negative-Y"}],
            }
        )
    options = {
        "legend": {
            "showLegend": legend,
            "displayMode": "table",
            "placement": "right",
            "calcs": ["mean" if legend_calc == "max" else legend_calc, "max"],
            "sortBy": {"mean": "Mean", "max": "Max", "lastNotNull": "Last *"}[legend_calc],
            "sortDesc": True,
            "width": legend_width,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel(
        "timeseries",
        title,
        description,
        targets,
        options,
        defaults,
        overrides=overrides,
        interval=interval,
        transformations=list(transformations) or None,
    )


def table(
    title: str,
    description: str,
    targets: Sequence[Json],
    columns: Sequence[Column],
    *,
    sort: str = "",
    descending: bool = True,
    no_value: str = "No data in this range",
    transformations: Sequence[Json] = (),
    unit: str = "none",
    defaults: Json | None = None,
) -> Json:
    """`sort` is a column's title. Cells and headers of other columns than `columns` follow `defaults`."""
    config: Json = {
        "unit": unit,
        "noValue": no_value,
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
        **(defaults or {}),
    }
    config.setdefault("color", {"mode": "thresholds"})
    config.setdefault("thresholds", NEUTRAL)
    options: Json = {
        "showHeader": True,
        "cellHeight": "sm",
        "sortBy": [{"displayName": sort, "desc": descending}] if sort else [],
    }
    return _panel(
        "table",
        title,
        description,
        targets,
        options,
        config,
        overrides=[c.override() for c in columns],
        transformations=list(transformations) or None,
    )


def ranking(
    title: str,
    description: str,
    expr: str,
    columns: Sequence[Column],
    *,
    no_value: str = "No data in this range",
) -> Json:
    """A list in the order of the query, with a bar in the cell of its value. A bar gauge cuts off names."""
    return table(
        title,
        description,
        [prom("A", expr, table=True)],
        columns,
        no_value=no_value,
        transformations=[organize([c.name for c in columns], hide=["Time"])],
    )


def bars(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    levels: Json,
    no_value: str = "No data in this range",
    maximum: float | None = None,
    rows: bool = False,
    decimals: int | None = None,
) -> Json:
    """Bars, largest first as the query sorts them. `rows`: a bar for each row of a table."""
    defaults: Json = {
        "unit": unit,
        "noValue": no_value,
        "thresholds": levels,
        "color": {"mode": "thresholds"},
        "min": 0,
        "links": [],
    }
    if maximum is not None:
        defaults["max"] = maximum
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": _reduce(values=rows),
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "showUnfilled": True,
        "namePlacement": "left",
        "minVizHeight": 16,
        "maxVizHeight": 28,
        "minVizWidth": 8,
    }
    return _panel("bargauge", title, description, targets, options, defaults)


def world_map(
    title: str, description: str, targets: Sequence[Json], *, country: str, size: str, unit: str, no_value: str
) -> Json:
    """Circles on countries, by their ISO 3166-1 alpha-2 code."""
    style = {
        "size": {"field": size, "fixed": 5, "min": 3, "max": 25},
        "color": {"field": size, "fixed": "blue"},
        "opacity": 0.5,
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
    }
    layer = {
        "type": "markers",
        "name": "Traffic",
        "tooltip": True,
        "config": {"showLegend": False, "style": style},
        "location": {"mode": "lookup", "lookup": country, "gazetteer": "public/gazetteer/countries.json"},
    }
    options = {
        "view": {"id": "zero", "lat": 20, "lon": 0, "zoom": 1.5},
        "basemap": {"type": "default", "name": "Layer 0", "config": {}},
        "layers": [layer],
        "controls": {"showZoom": True, "mouseWheelZoom": False, "showAttribution": True},
        "tooltip": {"mode": "details"},
    }
    defaults = {"unit": unit, "noValue": no_value, "thresholds": NEUTRAL, "color": {"mode": "thresholds"}}
    return _panel("geomap", title, description, targets, options, defaults)


def organize(order: Sequence[str], hide: Sequence[str] = ()) -> Json:
    return {
        "id": "organize",
        "options": {
            "excludeByName": {name: True for name in hide},
            "indexByName": {name: n for n, name in enumerate(order)},
            "renameByName": {},
        },
    }


MERGE: Json = {"id": "merge", "options": {}}


# Variables


def _variable(kind: str, name: str, label: str, description: str, **more: Any) -> Json:
    return {"type": kind, "name": name, "label": label, "description": description, "hide": 0, "skipUrlSync": False, **more}


def datasource(name: str, label: str, plugin: str) -> Json:
    return _variable(
        "datasource",
        name,
        label,
        "Where the data of this page come from.",
        query=plugin,
        regex="",
        multi=False,
        includeAll=False,
        refresh=1,
        options=[],
        current={},
    )


ALL: Json = {"selected": True, "text": ["All"], "value": ["$__all"]}


def prom_values(name: str, label: str, series: str, of: str) -> Json:
    return _variable(
        "query",
        name,
        label,
        f"Shows only these; the names are those of {series.split('{')[0]}.",
        datasource=PROMETHEUS,
        definition=f"label_values({series}, {of})",
        query={"query": f"label_values({series}, {of})", "refId": "Variable"},
        refresh=2,
        sort=1,
        multi=True,
        includeAll=True,
        allValue=".*",
        regex="",
        options=[],
        current=ALL,
    )


def ch_values(name: str, label: str, sql: str, description: str, *, multi: bool = True, hidden: bool = False) -> Json:
    made = _variable(
        "query",
        name,
        label,
        description,
        datasource=CLICKHOUSE,
        definition=sql,
        query={
            "refId": "Variable",
            "rawSql": sql,
            "editorType": "sql",
            "format": 1,
            "queryType": "table",
            "pluginVersion": CLICKHOUSE_PLUGIN,
        },
        refresh=2,
        sort=0,
        multi=multi,
        includeAll=multi,
        regex="",
        options=[],
        current=ALL if multi else {},
    )
    if hidden:
        made |= {"hide": 2, "skipUrlSync": True}
    return made


def choice(name: str, label: str, description: str, options: Sequence[tuple[str, str]], *, multi: bool = False) -> Json:
    """Fixed values: text and value of each; the first one is chosen, or all where several may be."""
    current = ALL if multi else {"selected": True, "text": options[0][0], "value": options[0][1]}
    listed = [{"selected": not multi and n == 0, "text": text, "value": value} for n, (text, value) in enumerate(options)]
    return _variable(
        "custom",
        name,
        label,
        description,
        query=", ".join(f"{text} : {value}" for text, value in options),
        multi=multi,
        includeAll=multi,
        options=listed,
        current=current,
    )


def text_box(name: str, label: str, description: str) -> Json:
    return _variable(
        "textbox", name, label, description, query="", current={"selected": False, "text": "", "value": ""}, options=[]
    )


# Dashboards


@dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    folder: str
    """metrics or flows."""
    variables: list[Json]
    time: str = "now-3h"
    refresh: str = "1m"
    panels: list[Json] = field(default_factory=list)
    _y: int = 0

    def heading(self, title: str) -> None:
        self._place({"type": "row", "title": title, "collapsed": False, "panels": []}, 0, 24, 1)
        self._y += 1

    def row(self, height: int, *panels: Json, widths: Sequence[int] = ()) -> None:
        """Panels side by side over the 24 columns, of equal width if none is given."""
        widths = widths or [24 // len(panels)] * len(panels)
        assert sum(widths) <= 24 and len(widths) == len(panels), (self.uid, widths)
        x = 0
        for panel, width in zip(panels, widths):
            self._place(panel, x, width, height)
            x += width
        self._y += height

    def _place(self, panel: Json, x: int, width: int, height: int) -> None:
        self.panels.append({"id": len(self.panels) + 1, **panel, "gridPos": {"x": x, "y": self._y, "w": width, "h": height}})

    def json(self) -> Json:
        return {
            "annotations": {"list": []},
            "description": self.description,
            "editable": True,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": None,
            "links": [
                {
                    "type": "dashboards",
                    "title": "Helios",
                    "tags": ["helios"],
                    "asDropdown": True,
                    "includeVars": True,
                    "keepTime": True,
                    "icon": "external link",
                    "targetBlank": False,
                    "tooltip": "The other dashboards of Helios",
                    "url": "",
                }
            ],
            "panels": self.panels,
            "refresh": self.refresh,
            "schemaVersion": SCHEMA_VERSION,
            "tags": ["helios", self.folder],
            "templating": {"list": self.variables},
            "time": {"from": self.time, "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
            "weekStart": "",
        }
