"""Variables and macros as Grafana 13 and version 4 of its ClickHouse plugin expand them, for statements and PromQL."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

Value = str | list[str]
ALL = "$__all"


@dataclass
class Range:
    begin: int
    """Unix seconds."""
    end: int
    interval: int = 60
    """Seconds between points: Grafana derives it from the width of the panel."""


@dataclass
class Scope:
    range: Range
    values: dict[str, Value] = field(default_factory=dict)
    """Values of the variables; ALL is '$__all'."""
    every: dict[str, list[str]] = field(default_factory=dict)
    """What 'All' stands for, by variable."""
    all_values: dict[str, str] = field(default_factory=dict)
    """`allValue` of a variable, where it has one."""


def arguments(text: str, opened: int) -> tuple[list[str], int]:
    """Arguments of a macro whose parenthesis opens at `opened`, and the index behind the closing one."""
    depth, start, found, quote = 0, opened + 1, [], ""
    for at in range(opened, len(text)):
        c = text[at]
        if quote:
            quote = "" if c == quote and text[at - 1] != "\\" else quote
        elif c in "'\"`":
            quote = c
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                return [part.strip() for part in [*found, text[start:at]]], at + 1
        elif c == "," and depth == 1:
            found.append(text[start:at])
            start = at + 1
    raise ValueError(f"no closing parenthesis: {text[opened - 30 : opened + 30]}")


def _macro(text: str, name: str, make) -> str:
    while (at := text.rfind(name + "(")) >= 0:
        found, end = arguments(text, at + len(name))
        text = text[:at] + make(*found) + text[end:]
    return text


def _values(scope: Scope, name: str) -> list[str]:
    value = scope.values[name]
    listed = value if isinstance(value, list) else [value]
    return scope.every[name] if listed == [ALL] else listed


def _formatted(scope: Scope, name: str, form: str, default) -> str:
    if name not in scope.values:
        raise KeyError(f"no variable {name}")
    if scope.values[name] in (ALL, [ALL]) and name in scope.all_values:
        return scope.all_values[name]
    values = _values(scope, name)
    forms = {
        "raw": lambda: ",".join(values),
        "csv": lambda: ",".join(values),
        "sqlstring": lambda: ",".join("'" + v.replace("'", "''") + "'" for v in values),
        "percentencode": lambda: ",".join(values),
    }
    return forms[form]() if form else default(values, scope.values[name])


def variables(text: str, scope: Scope, default) -> str:
    pattern = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        return match[0] if name.startswith("__") else _formatted(scope, name, match[2] or "", default)

    return pattern.sub(replace, text)


def clickhouse(sql: str, scope: Scope) -> str:
    def conditional(condition: str, variable: str) -> str:
        value = scope.values[variable.strip("${}")]
        return "1=1" if value in ("", ALL, [ALL], []) else condition

    sql = _macro(sql, "$__conditionalAll", conditional)
    sql = variables(
        sql, scope, lambda values, value: ",".join(f"'{v}'" for v in values) if isinstance(value, list) else values[0]
    )
    begin, end = f"toDateTime({scope.range.begin})", f"toDateTime({scope.range.end})"
    sql = _macro(sql, "$__timeFilter", lambda column: f"{column} >= {begin} AND {column} <= {end}")
    sql = _macro(
        sql, "$__timeInterval", lambda c: f"toStartOfInterval(toDateTime({c}), INTERVAL {max(1, scope.range.interval)} second)"
    )
    for name, text in (("$__fromTime", begin), ("$__toTime", end), ("$__interval_s", str(max(1, scope.range.interval)))):
        sql = sql.replace(name, text)
    # A name may have a $ of its own.
    if unknown := re.search(r"\$\{?__\w+", sql):
        raise ValueError(f"not expanded: {unknown[0]}")
    return sql


def prometheus(expr: str, scope: Scope) -> str:
    seconds = scope.range.end - scope.range.begin
    expr = re.sub(r"\$__range_s\b", str(seconds), expr)
    expr = re.sub(r"\$__range\b", f"{seconds}s", expr)
    expr = re.sub(r"\$__rate_interval\b", f"{max(60, 4 * 15)}s", expr)
    return variables(expr, scope, _prometheus_values)


def _prometheus_values(values: list[str], value: Value) -> str:
    if not isinstance(value, list):
        return values[0]

    def escaped(text: str) -> str:
        """As a regular expression within the quotes of a matcher."""
        text = text.replace("\\", "\\" * 4)
        return re.sub(r"([$^*{}\[\]+?.()|])", r"\\\\\1", text).replace('"', r"\"")

    made = [escaped(v) for v in values]
    return made[0] if len(made) == 1 else "(" + "|".join(made) + ")"


def day(text: str) -> int:
    """Unix seconds of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
