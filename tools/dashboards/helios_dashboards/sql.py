"""SQL of the flow panels: one statement that asks the coarsest table that can answer.

A statement is a UNION ALL with a branch for each table that has the columns of the panel. The condition of a branch begins with
`chosen = 'TABLE'`, a constant, so ClickHouse reads nothing for the other branches. `chosen` follows from the time range, from how
far back the tables reach, and from the filters that are set: a filter on a port, say, only `flows` can answer. The variable
`table` overrules it where the table can answer.

Every branch aggregates for itself, so a shard of a cluster sends sums and not rows. Figures are estimates: `flows` is
multiplied by `sampling_interval`, the rollups are already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import indent

from .schema import Table, summary, tables, talkers

DATABASE = "helios"

MIN_BUCKETS = 15
"""Buckets that a range needs at the least, as in `helios query`: its ends are rounded to buckets."""

RAW_STEP_SECONDS = 60
"""Shortest step of a graph. Exporters report a long flow once a minute or less: a shorter step would show their timer."""

ROW_BUDGET = 30_000_000
"""Rows of `flows` that a panel reads at most, unless an exporter is chosen: about a second on 8 cores. A longer range
is answered for its newest part, and the title says since when."""

EXACT_DAYS = 1
"""Up to this length of the range, a detailed question about chosen exporters goes to `flows`, however many rows it has."""

HOURS_BUDGET = 30_000_000
"""Rows of `flows_1h` that a panel reads at most which no other table answers over long ranges, unless an exporter is chosen."""

BY_KEY = ("flows_1h", "flows_1m", "flows")
BY_SIDE = ("talkers_1h", "talkers_1m")

NO_TRAFFIC = "f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0)"
"""NAT and firewall events, which the rollups leave out as well."""

Expression = str | Mapping[str, str]
"""SQL over the alias `f`; a mapping from the table's name where tables differ, with `rollup` for all but `flows`."""


@dataclass(frozen=True)
class Filter:
    """A variable of the dashboard that restricts the flows."""

    variable: str
    columns: frozenset[str]
    condition: str
    unset: str
    """Constant condition: nothing is filtered."""
    of_exporter: str = ""
    """The condition for tables that have the exporter's name alone; empty where the name does not decide."""

    def answered_by(self, table: Table) -> bool:
        return self.columns <= table.filters or bool(self.of_exporter) and "exporter_name" in table.filters

    def on(self, table: Table) -> str:
        return self.condition if self.columns <= table.filters else self.of_exporter


def _when_set(variable: str, condition: str) -> str:
    return f"$__conditionalAll({condition}, ${variable})"


def _list_filter(variable: str, columns: Sequence[str], value: str) -> Filter:
    condition = " OR ".join(f"f.{column} IN {value}" for column in columns)
    condition = f"({condition})" if len(columns) > 1 else condition
    return Filter(variable, frozenset(columns), _when_set(variable, condition), _when_set(variable, "1=0"))


def _site_filter() -> Filter:
    """A site is a set of exporters, where a table has their names alone: those that sent in the last day of the range, or, as long as
    the rollups do not know the site, in its last 15 minutes."""
    of_hours = ("flows_1h", "toStartOfHour(greatest(t_from, t_to - 86400))")
    table, begin = of_hours if "exporter_site" in tables()["flows_1h"].columns else ("flows", "greatest(t_from, t_to - 900)")
    made = _list_filter("site", ["exporter_site"], "chosen_site")
    exporters = (
        f"f.exporter_name IN (SELECT DISTINCT x.exporter_name FROM {DATABASE}.{table} AS x WHERE x.exporter_site IN chosen_site"
        f" AND x.received_at >= {begin} AND x.received_at < t_to)"
    )
    return replace(made, of_exporter=_when_set("site", exporters))


def _numbers_filter(variable: str, columns: Sequence[str], cast: str) -> Filter:
    numbers = f"arrayMap(n -> {cast}(trimBoth(n)), splitByChar(',', ${{{variable}:sqlstring}}))"
    condition = " OR ".join(f"has({numbers}, f.{column})" for column in columns)
    return Filter(variable, frozenset(columns), _when_set(variable, f"({condition})"), _when_set(variable, "1=0"))


def _address_filter() -> Filter:
    text = "trimBoth(${address:sqlstring})"
    length = f"if(position({text}, '/') = 0, 128, toUInt8(splitByChar('/', {text})[2]) + if(position({text}, ':') = 0, 96, 0))"
    prefix = f"IPv6CIDRToRange(toIPv6(splitByChar('/', {text})[1]), toUInt8({length}))"
    ends = [f"f.{column} BETWEEN {prefix}.1 AND {prefix}.2" for column in ("src_addr", "dst_addr")]
    condition = f"({' OR '.join(ends)})"
    return Filter("address", frozenset({"src_addr", "dst_addr"}), _when_set("address", condition), _when_set("address", "1=0"))


BUSIEST = (
    f"(SELECT CAST(b.exporter_name, 'String') FROM {DATABASE}.talkers_1h AS b WHERE b.side = 'total' AND b.received_at >= toStartOfHour(t_from)"
    " AND b.received_at < t_to"
    " AND $__conditionalAll(b.exporter_name IN chosen_exporter, $exporter)"
    " GROUP BY b.exporter_name ORDER BY sum(b.bytes) DESC, b.exporter_name LIMIT 1)"
)
"""The exporter that saw most of the range, of those that are chosen. As a String: of no row, a LowCardinality would be a mistake."""

ONCE = {
    "off": (frozenset[str](), "1=1"),
    "ingress": (frozenset({"flow_direction"}), "f.flow_direction != 'egress'"),
    "boundary": (
        frozenset({"flow_direction", "in_if_boundary"}),
        "f.flow_direction != 'egress' AND f.in_if_boundary = 'external'",
    ),
    "exporter": (frozenset({"exporter_name"}), f"f.exporter_name = {BUSIEST}"),
}
"""Ways to count a flow once that several exporters saw, or one of them twice: values of the variable `once`."""


def _once_filters() -> list[Filter]:
    made = []
    for way, (columns, condition) in ONCE.items():
        if columns:
            made.append(Filter("once", columns, f"('${{once:raw}}' != '{way}' OR {condition})", f"'${{once:raw}}' != '{way}'"))
    return made


FILTERS: list[Filter] = [
    _list_filter("exporter", ["exporter_name"], "chosen_exporter"),
    _site_filter(),
    _list_filter("interface", ["in_if_name", "out_if_name"], "chosen_interface"),
    _numbers_filter("asn", ["src_as", "dst_as"], "toUInt32OrZero"),
    _address_filter(),
    _numbers_filter("port", ["src_port", "dst_port"], "toUInt16OrZero"),
    _list_filter("proto", ["proto"], "(${proto:csv})"),
    _list_filter("direction", ["flow_direction"], "(${direction:sqlstring})"),
    *_once_filters(),
]

FIGURES = {
    "bytes": "sum(f.bytes * greatest(f.sampling_interval, 1))",
    "packets": "sum(f.packets * greatest(f.sampling_interval, 1))",
    "flows": "count()",
}


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions) if conditions else "1"


@dataclass(frozen=True)
class Question:
    """What a panel asks: values by keys or of a side, from the coarsest table that answers."""

    keys: Mapping[str, Expression]
    needs: frozenset[str] | Mapping[str, frozenset[str]] = frozenset()
    """Columns that `keys` and `where` use; by table where `keys` do."""
    figures: tuple[str, ...] = ("bytes",)
    where: Expression = ""
    side: str = ""
    """What rows of the tables of talkers are about, where these can answer: src, dst, pair or service."""
    detailed: bool = False
    """`flows` knows more than the others, and answers as long as that is cheap."""
    bounded: bool = False
    """Over long ranges `flows_1h` alone answers: for the newest part that is cheap."""

    def able(self) -> list[Table]:
        """Tables that have what the panel always needs, from coarse to fine."""
        if self.side:
            return [*(talkers(name, self.side) for name in BY_SIDE), tables()["flows"]]
        found = [summary(self._needs(tables()["summary_1h"])), *(tables()[name] for name in BY_KEY)]
        return [self._whole(table) for table in found if table and self._needs(table) <= table.columns]

    def _needs(self, table: Table) -> frozenset[str]:
        return self.needs if isinstance(self.needs, frozenset) else _for(self.needs, table)

    def _whole(self, table: Table) -> Table:
        """Of a part of the traffic, how much of the rest is meant by `where` is not known: then what is listed is all."""
        return replace(table, whole="") if table.whole and _for(self.where, table) else table

    def header(self) -> list[str]:
        """Constants of the statement: the range, the table, the time that the answer covers."""
        able = self.able()
        chosen = {table.name: f"chosen = '{table.name}'" for table in able}
        oldest = ", ".join(f"{chosen[t.name]}, oldest_{t.name}" for t in able[:-1])
        bucket = ", ".join(f"{chosen[t.name]}, {t.bucket_seconds}" for t in able[:-1])
        return [
            "$__fromTime AS t_from",
            "$__toTime AS t_to",
            # Long lists stand in a statement once: ClickHouse takes 256 KiB.
            *(f"{_when_set(name, f'[${{{name}:sqlstring}}]')} AS chosen_{name}" for name in ("exporter", "site", "interface")),
            *(f"(SELECT toDateTime(min(received_at)) FROM {DATABASE}.{t.name}) AS oldest_{t.name}" for t in able),
            *([f"{_rows_of_range()} AS rows_of_range"] if self.detailed and len(able) > 1 else []),
            f"{self.choice()} AS chosen",
            f"{f'multiIf({bucket}, 1)' if bucket else '1'} AS bucket",
            f"{self._budget_from()} AS budget_from",
            f"greatest(toStartOfInterval(t_from, toIntervalSecond(bucket)), budget_from, "
            f"{f'multiIf({oldest}, oldest_flows)' if oldest else 'oldest_flows'}) AS t_begin",
            "least(toDateTime(toUInt32(ceil(toUnixTimestamp(t_to) / bucket) * bucket)), now()) AS t_end",
            f"greatest(bucket, {RAW_STEP_SECONDS}) * toUInt32(ceil($__interval_s / greatest(bucket, {RAW_STEP_SECONDS}))) AS step",
            "greatest(1, dateDiff('second', t_begin, t_end)) AS seconds",
            # A step that is not over would look like a fall.
            "if(t_end < now(), t_end, greatest(t_begin + 1, toDateTime(intDiv(toUnixTimestamp(t_end), step) * step))) AS t_drawn",
        ]

    def _budget_from(self) -> str:
        """Begin of the newest part that is read where no exporter is chosen, if the range holds more than is cheap."""
        cases = [f"chosen = 'flows', {_budget()}"]
        if self.bounded:
            cases.append(f"chosen = 'flows_1h', {_hours_budget()}")
        return f"if({FILTERS[0].unset}, multiIf({', '.join(cases)}, toDateTime(0)), toDateTime(0))"

    def choice(self) -> str:
        """The table's name, as a constant expression."""
        able = self.able()
        if len(able) == 1:
            return "'flows'"
        coarsest = next(table for table in able if not table.is_summary)
        cases: list[tuple[str, str]] = []
        can = {table.name: _all(self._unset_filters(table)) for table in able}
        cases += [(f"'${{table:raw}}' = '{t.size}' AND {can[t.name]}", t.name) for t in able]
        reaches = {
            t.name: "1"
            if t is coarsest
            else f"oldest_{t.name} <= greatest(t_from, oldest_{coarsest.name} + {coarsest.bucket_seconds})"
            + (f" AND oldest_{t.name} > toDateTime(0)" if t.is_summary else "")
            for t in able
        }
        length = "dateDiff('second', t_from, t_to)"
        if self.detailed:
            short = f"NOT {FILTERS[0].unset} AND {length} <= {EXACT_DAYS * 86400}"
            cases.append((f"{reaches['flows']} AND (rows_of_range <= {ROW_BUDGET} OR {short})", "flows"))
        for t in able:
            fine = f"{length} >= {t.bucket_seconds * MIN_BUCKETS}"
            cases.append((f"{can[t.name]} AND {fine} AND {reaches[t.name]}", t.name))
        cases += [(f"{can[t.name]} AND {reaches[t.name]}", t.name) for t in reversed(able[:-1])]
        return "multiIf(" + ", ".join(f"{condition}, '{name}'" for condition, name in cases) + ", 'flows')"

    def _unset_filters(self, table: Table) -> list[str]:
        return [f.unset for f in FILTERS if not f.answered_by(table)]

    def rows(self, keys: Mapping[str, Expression] | None = None) -> str:
        """The branches: `keys` (those of the question, if none are given) and figures."""
        keys = self.keys if keys is None else keys
        return "\nUNION ALL\n".join(self._branch(table, keys) for table in self.able())

    def whole(self) -> str:
        """The branches of the sums over all keys."""
        return "\nUNION ALL\n".join(self._branch(table, {}, whole=True) for table in self.able())

    def unlisted(self, keys: Mapping[str, Expression]) -> str:
        """Branches of what the tables of talkers do not list, by `keys`: none for a question that they do not answer."""
        return "".join(f"\nUNION ALL\n{self._branch(t, keys, whole=True, minus=True)}" for t in self.able() if t.whole)

    def _branch(self, table: Table, keys: Mapping[str, Expression], *, whole: bool = False, minus: bool = False) -> str:
        """`whole`: of all traffic, also where the table lists a part; `minus`: without what it lists."""
        figure = FIGURES if table.bucket_seconds == 0 else {name: f"sum(f.{name})" for name in FIGURES}
        if table.whole and whole:
            # Rows of before an upgrade have no totals.
            listed = {name: f"sumIf(f.{name}, f.side = '{table.side}')" for name in FIGURES}
            figure = {
                name: f"toUInt64(greatest(sumIf(f.{name}, f.side = '{table.whole}'), {text}){f' - {text}' if minus else ''})"
                for name, text in listed.items()
            }
        values = [f"{_for(expression, table)} AS {name}" for name, expression in keys.items()]
        values += [f"{figure[name]} AS {name}" for name in self.figures]
        conditions = [f"chosen = '{table.name}'", "f.received_at >= t_begin", "f.received_at < t_end"]
        sides = f"f.side IN ('{table.side}', '{table.whole}')" if table.whole and whole else f"f.side = '{table.side}'"
        conditions += [sides] if table.side else []
        conditions += [f.on(table) for f in FILTERS if f.answered_by(table)]
        conditions += [f"({where})"] if not table.is_of_talkers and (where := _for(self.where, table)) else []
        conditions += [f"NOT ({NO_TRAFFIC})"] if table.bucket_seconds == 0 and "flows" in self.figures else []
        group = f"\nGROUP BY {', '.join(keys)}" if keys else ""
        return f"SELECT {', '.join(values)}\nFROM {DATABASE}.{table.name} AS f\nWHERE " + "\n  AND ".join(conditions) + group


def _for(expression, table: Table):
    if not isinstance(expression, Mapping):
        return expression
    return expression[table.name if table.name in expression else "rollup"]


def _rows_of_range() -> str:
    return (
        f"(SELECT sum(r.flows) FROM {DATABASE}.exporters AS r WHERE r.received_at >= toStartOfMinute(t_from) AND r.received_at < t_to)"
    )


def _budget() -> str:
    """Begin of the newest minutes that hold ROW_BUDGET flows; 1970 where the whole range holds no more."""
    return (
        f"(SELECT if(max(total) <= {ROW_BUDGET}, toDateTime(0), toDateTime(minIf(minute, total <= {ROW_BUDGET}))) FROM (SELECT e.received_at"
        f" AS minute, sum(sum(e.flows)) OVER (ORDER BY e.received_at DESC) AS total FROM {DATABASE}.exporters AS e"
        " WHERE e.received_at >= t_from AND e.received_at < t_to GROUP BY e.received_at))"
    )


def _hours_budget() -> str:
    """Begin of the newest hours that hold HOURS_BUDGET rows of `flows_1h`, if all have as many as the last whole one."""
    hour = "toStartOfHour(t_to)"
    rows = f"(SELECT count() FROM {DATABASE}.flows_1h AS h WHERE h.received_at = {hour} - 3600)"
    return f"{hour} - 3600 * intDiv({HOURS_BUDGET}, greatest({rows}, 10000))"


def _statement(question: Question, ctes: Sequence[str], select: str) -> str:
    parts = [*question.header(), *ctes]
    return "WITH\n" + ",\n".join(indent(part, "  ") for part in parts) + f"\n{select}"


def _cte(name: str, body: str) -> str:
    return f"{name} AS (\n{indent(body, '  ')}\n)"


def table_name(question: Question) -> str:
    """For a hidden variable that titles show: the table, and since when where it does not cover the range."""
    since = "formatDateTime(t_begin, '%m-%d %H:%i')"
    late = "dateDiff('second', t_from, t_begin) > greatest(60, bucket)"
    return _statement(question, [], f"SELECT if({late}, concat(chosen, ', since ', {since}, ' UTC'), chosen) AS answered_by")


def totals(question: Question, select: str) -> str:
    """One row over the whole range; `select` is SQL over the summed figures, t_begin, t_end and seconds."""
    sums = ", ".join(f"sum({figure}) AS {figure}" for figure in question.figures)
    inner = f"SELECT {sums} FROM (\n{indent(question.whole(), '  ')}\n)"
    return _statement(question, [], f"SELECT {select}\nFROM (\n{indent(inner, '  ')}\n)")


def top_table(
    question: Question,
    *,
    limit: str = "$top",
    show: Mapping[str, str] | None = None,
    derive: Mapping[str, str] | None = None,
    constants: Sequence[str] = (),
) -> str:
    """The largest `limit` keys and the rest as `other`: bytes, their share, the mean rate, and the further figures.

    `show` has expressions that turn the value of a key into text; `derive` further columns, made of these texts.
    """
    names, figures, shown = list(question.keys), list(question.figures), show or {}
    listed, measure = ", ".join(names), ", ".join(figures)
    sums = ", ".join(f"sum({figure}) AS {figure}" for figure in figures)
    whole = (
        f"(SELECT ({', '.join(f'sum({figure})' for figure in figures)},) FROM (\n{indent(question.whole(), '  ')}\n)) AS whole"
    )
    largest = (
        f"SELECT {listed}, {sums} FROM (\n{indent(question.rows(), '  ')}\n)\n"
        f"GROUP BY {listed} ORDER BY {figures[0]} DESC, {listed} LIMIT {limit}"
    )
    # The largest as an array, so that the rest can be put behind them without a second look at the table.
    texts = ", ".join(f"toString({shown.get(name, name)})" for name in names)
    # Flows that arrive between the two looks would make the rest negative.
    left = [f"toUInt64(greatest(toInt64(whole.{n + 1}) - toInt64(sum({figure})), 0))" for n, figure in enumerate(figures)]
    rest = ", ".join(["'other'"] + ["''"] * (len(names) - 1) + left)
    lines = (
        f"SELECT arrayJoin(arrayFilter(l -> l.{len(names) + 1} > 0, arrayPushBack(groupArray(({texts}, {measure})), ({rest})))) AS line\n"
        "FROM largest"
    )
    parts = names + [f"s_{figure}" for figure in figures]
    split = ", ".join(f"line.{n + 1} AS {'k_' if n < len(names) else ''}{part}" for n, part in enumerate(parts))
    columns = [f"k_{name} AS {name}" for name in names] + [f"{value} AS {name}" for name, value in (derive or {}).items()]
    columns += [f"s_{figures[0]} / greatest(whole.1, 1) AS share"] + (
        ["s_bytes * 8 / seconds AS rate"] if "bytes" in figures else []
    )
    columns += [f"s_{figure} AS {figure}" for figure in figures]
    return _statement(
        question,
        [*constants, whole, _cte("largest", largest)],
        f"SELECT {', '.join(columns)}\nFROM (SELECT {split} FROM (\n{indent(lines, '  ')}\n))\nORDER BY {names[0]} = 'other', s_{figures[0]} DESC",
    )


def top_series(
    question: Question,
    *,
    limit: str = "$top",
    show: str = "",
    rate: str = "bytes * 8",
    name: str = "rate",
    constants: Sequence[str] = (),
) -> str:
    """A graph of the largest `limit` keys, by the sum of the first figure, and the rest as `other`: per second. `show` is an
    expression that turns the value `series` into text."""
    ((key, expression),) = question.keys.items()
    figure = question.figures[0]
    top = f"SELECT {key} FROM (\n{indent(question.rows(), '  ')}\n) GROUP BY {key} ORDER BY sum({figure}) DESC, {key} LIMIT {limit}"
    steps: dict[str, Expression] = {"time": STEP}
    steps["series"] = {
        table.name: f"if({_for(expression, table)} GLOBAL IN (SELECT {key} FROM top), {_for(expression, table)}, NULL)"
        for table in question.able()
    }
    points = (
        f"SELECT ifNull(toString({show or 'series'}), 'other') AS series_, toUnixTimestamp(time) AS at, sum({rate}) / {_step_seconds()} AS per_second\n"
        f"FROM (\n{indent(question.rows(steps) + question.unlisted(steps | {'series': 'NULL'}), '  ')}\n)\nGROUP BY time, series"
    )
    # A step without flows is 0: a gap would raise the mean that the legend sorts by.
    lines = f"SELECT series_, mapFromArrays(groupArray(at), groupArray(per_second)) AS line FROM (\n{indent(points, '  ')}\n) GROUP BY series_"
    return _statement(
        question,
        [
            *constants,
            "range(toUInt32(intDiv(toUnixTimestamp(t_begin), step) * step), toUnixTimestamp(t_drawn), toUInt32(step)) AS steps",
            _cte("top", top),
        ],
        f"SELECT toDateTime(start) AS time, series_, line[start] AS {name}\nFROM (\n{indent(lines, '  ')}\n)\nARRAY JOIN steps AS start\nORDER BY time, series_",
    )


STEP = "toStartOfInterval(f.received_at, toIntervalSecond(step))"

AS_NAMES = (
    "(SELECT mapFromArrays(groupArray(number), groupArray(name)) FROM (SELECT number, any(name) AS name FROM ("
    f"SELECT a.src_as AS number, a.src_as_name AS name FROM {DATABASE}.flows AS a WHERE a.received_at >= t_end - 300 AND a.received_at < t_end"
    f" AND a.src_as_name != '' GROUP BY number, name"
    " UNION ALL "
    f"SELECT a.dst_as AS number, a.dst_as_name AS name FROM {DATABASE}.flows AS a WHERE a.received_at >= t_end - 300 AND a.received_at < t_end"
    f" AND a.dst_as_name != '' GROUP BY number, name) GROUP BY number)) AS as_names"
)
"""A map from number to name of the ASes that were seen in the last 5 minutes of the range: the rollups have no names."""


def as_name(number: str) -> str:
    return f"if({number} = 'other', '', if({number} = '0', 'own network or unknown', as_names[toUInt32OrZero({number})]))"


def series(question: Question, values: Mapping[str, str]) -> str:
    """A graph without keys: `values` are sums of figures by name, which become values per second."""
    steps: dict[str, Expression] = {"time": STEP}
    shown = ", ".join(f"{value} / {_step_seconds()} AS {name}" for name, value in values.items())
    return _statement(
        question, [], f"SELECT time, {shown}\nFROM (\n{indent(question.rows(steps), '  ')}\n)\nWHERE time < t_drawn\nGROUP BY time ORDER BY time"
    )


def _step_seconds() -> str:
    """Seconds of a step that the answer covers: the first and the last one may be cut."""
    return "greatest(1, dateDiff('second', greatest(toDateTime(time), t_begin), least(toDateTime(time) + step, t_end)))"


def address(column: str) -> str:
    """An address as people write it."""
    return f"replaceRegexpOne(toString({column}), '^::ffff:([0-9.]+)$', '\\\\1')"


PROTOCOLS = {
    1: "ICMP",
    2: "IGMP",
    4: "IPIP",
    6: "TCP",
    17: "UDP",
    41: "IPv6 in IPv4",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
}


def protocol(column: str = "f.proto") -> str:
    """The protocol's name, or its number."""
    numbers = ", ".join(map(str, PROTOCOLS))
    names = ", ".join(f"'{name}'" for name in PROTOCOLS.values())
    return f"transform({column}, [{numbers}], [{names}], concat('protocol ', toString({column})))"


def distinct(column: str) -> str:
    """Values for a variable: of the range where a rollup has the column, else of the range's last 15 minutes."""
    found = f"SELECT DISTINCT {column} AS value FROM {DATABASE}.{{}} WHERE received_at >= {{}} AND received_at <= $__toTime AND {column} != ''"
    if summary(frozenset({column})):
        # Of before there were summaries, those of the last day are enough.
        begin = "toStartOfHour($__fromTime)"
        whole = found.format("summary_1h", f"{begin} AND side = 'interface'")
        day = found.format("flows_1h", f"greatest({begin}, $__toTime - 86400)")
        return f"SELECT DISTINCT value FROM ({whole} UNION ALL {day}) ORDER BY value LIMIT 5000"
    return f"{found.format('flows', '$__toTime - 900')} ORDER BY value LIMIT 5000"
