"""Asks ClickHouse and Prometheus over HTTP, and reads the committed dashboards."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import expand
from .expand import Range, Scope

ROOT = Path(__file__).resolve().parents[3]
ANSWER_SECONDS = 600
Json = dict[str, Any]


def dashboards() -> list[Json]:
    return [json.loads(path.read_text()) for path in sorted((ROOT / "dashboards").glob("*/*.json"))]


def panels(board: Json) -> Iterator[Json]:
    """Panels with queries."""
    for panel in board["panels"]:
        yield from (p for p in [panel, *panel.get("panels", [])] if p["type"] != "row")


class Servers:
    def __init__(self, clickhouse: str, prometheus: str) -> None:
        self.clickhouse, self.prometheus = clickhouse, prometheus

    def sql(self, statement: str, **settings: str) -> list[Json]:
        query = urllib.parse.urlencode(
            {"default_format": "JSON", "output_format_json_quote_64bit_integers": "0", "readonly": "2", **settings}
        )
        return self._ask(f"{self.clickhouse}/?{query}", statement.encode())["data"]

    def execute(self, statement: str) -> None:
        request = urllib.request.Request(self.clickhouse + "/", statement.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            answer.read()

    def instant(self, expr: str, at: float) -> list[Json]:
        body = urllib.parse.urlencode({"query": expr, "time": at}).encode()
        return self._series(self._ask(f"{self.prometheus}/api/v1/query", body))

    def range(self, expr: str, asked: Range) -> list[Json]:
        body = urllib.parse.urlencode({"query": expr, "start": asked.begin, "end": asked.end, "step": asked.interval}).encode()
        return self._series(self._ask(f"{self.prometheus}/api/v1/query_range", body))

    def label_values(self, selector: str, label: str, asked: Range) -> list[str]:
        query = urllib.parse.urlencode({"match[]": selector, "start": asked.begin, "end": asked.end})
        return self._ask(f"{self.prometheus}/api/v1/label/{label}/values?{query}")["data"]

    @staticmethod
    def _series(answer: Json) -> list[Json]:
        data = answer["data"]
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    @staticmethod
    def _ask(url: str, body: bytes | None = None) -> Json:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=ANSWER_SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:1200]) from None


def scope_of(board: Json, servers: Servers, asked: Range, **chosen: expand.Value) -> Scope:
    """The dashboard's variables as Grafana has them after loading, in the order of their definitions."""
    scope = Scope(asked)
    for variable in board["templating"]["list"]:
        name, kind = variable["name"], variable["type"]
        value = chosen.get(name, (variable.get("current") or {}).get("value", ""))
        if kind == "query":
            options = variable_values(variable, servers, scope)
            scope.every[name] = options
            if not variable["multi"] and name not in chosen:
                value = options[0] if options else ""
        elif kind == "custom":
            scope.every[name] = [option["value"] for option in variable["options"]]
        if variable.get("allValue"):
            scope.all_values[name] = variable["allValue"]
        scope.values[name] = value
    return scope


def variable_values(variable: Json, servers: Servers, scope: Scope) -> list[str]:
    query = variable["query"]
    if "rawSql" in query:
        rows = servers.sql(expand.clickhouse(query["rawSql"], scope))
        return [str(next(iter(row.values()))) for row in rows]
    inner = query["query"].removeprefix("label_values(").removesuffix(")")
    selector, label = inner.rsplit(", ", 1)
    return servers.label_values(expand.prometheus(selector, scope), label, scope.range)


def ask(target: Json, servers: Servers, scope: Scope) -> list[Json]:
    """Rows or series that a panel's query gives."""
    if "rawSql" in target:
        return servers.sql(expand.clickhouse(target["rawSql"], scope))
    expr = expand.prometheus(target["expr"], scope)
    return servers.instant(expr, scope.range.end) if target["instant"] else servers.range(expr, scope.range)
