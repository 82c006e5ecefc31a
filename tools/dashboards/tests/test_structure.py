"""The committed dashboards are what the code makes, and everything that they name exists. Needs nothing but Python."""

import re
import unittest
from collections.abc import Iterator
from typing import Any

from helios_dashboards.__main__ import differences
from helios_dashboards.grafana import SCHEMA_VERSION
from helios_dashboards.schema import own_metrics, recorded_series, tables

from .client import dashboards, panels

Json = dict[str, Any]
BUILT_IN = {"ALERTS", "ALERTS_FOR_STATE", "prometheus_rule_evaluation_failures_total"}
KEYWORDS = {
    "by",
    "on",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "without",
    "ignoring",
    "group_left",
    "group_right",
    "inf",
    "nan",
}
# Of panels drawn with Angular, of dashboards of rows, of exports for grafana.com.
OLD_KEYS = {
    "__inputs",
    "__requires",
    "aliasColors",
    "colorBackground",
    "colorValue",
    "gnetId",
    "iteration",
    "nullPointMode",
    "seriesOverrides",
    "styles",
    "valueName",
    "xaxis",
    "yaxes",
    "yaxis",
}
TRANSFORMATIONS = {"calculateField", "filterFieldsByName", "groupingToMatrix", "joinByField", "merge", "organize"}
DRAWN = {"stat", "timeseries", "table", "bargauge", "geomap", "row"}
"""Panel types that console/ draws as Grafana does."""


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def metric_names(expr: str) -> set[str]:
    named = set(re.findall(r'__name__=~?"([^"]+)"', expr))
    expr = re.sub(r'"[^"]*"', '""', expr)
    expr = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expr)
    expr = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", expr)
    found = re.findall(r"(?<![\w:$])([a-zA-Z_][\w:]*)(?!\s*\(|[\w:])", expr)
    return {name for name in found if name not in KEYWORDS and not name.startswith("__")} | named


def branches(sql: str) -> Iterator[tuple[str, str, str]]:
    """Table, alias and text of each SELECT that reads a table."""
    for match in re.finditer(r"FROM helios\.(\w+)(?: AS (\w))?", sql):
        start = sql.rfind("SELECT", 0, match.start())
        ends = [at for at in (sql.find("SELECT", match.end()), sql.find("UNION ALL", match.end())) if at >= 0]
        yield match[1], match[2] or "", sql[start : min(ends, default=len(sql))]


class Structure(unittest.TestCase):
    boards = dashboards()

    def each_panel(self) -> Iterator[tuple[str, Json, Json]]:
        for board in self.boards:
            for panel in panels(board):
                yield f"{board['uid']}: {panel['title']}", board, panel

    def test_the_files_are_what_the_code_makes(self) -> None:
        self.assertEqual(differences(), [], "run 'make dashboards'")

    def test_there_are_eight_and_six(self) -> None:
        folders = [board["tags"][1] for board in self.boards]
        self.assertEqual((folders.count("metrics"), folders.count("flows")), (8, 6))

    def test_grafana_12_and_13_load_them_from_files(self) -> None:
        for board in self.boards:
            with self.subTest(board["uid"]):
                self.assertRegex(board["uid"], r"^helios-[a-z-]{1,32}$")
                self.assertLessEqual(board["schemaVersion"], SCHEMA_VERSION)
                self.assertIsNone(board["id"])
                self.assertNotIn("__inputs", board)
                self.assertIn("helios", board["tags"])
                self.assertEqual([link["tags"] for link in board["links"]], [["helios"]])
                names = {v["name"]: v for v in board["templating"]["list"]}
                self.assertEqual(names["datasource"]["query"], "prometheus")
                self.assertEqual(names["clickhouse"]["query"], "grafana-clickhouse-datasource")
                ids = [panel["id"] for panel in board["panels"]]
                self.assertEqual(len(ids), len(set(ids)))
        uids = [board["uid"] for board in self.boards]
        self.assertEqual(len(uids), len(set(uids)))

    def test_nothing_is_left_of_older_forms(self) -> None:
        """Grafana would migrate these, and other tools that read classic JSON would not know them."""

        def objects(value: Any) -> Iterator[Json]:
            if isinstance(value, dict):
                yield value
            for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                yield from objects(inner)

        for board in self.boards:
            for made in objects(board):
                self.assertFalse(OLD_KEYS & made.keys(), f"{board['uid']}: {sorted(OLD_KEYS & made.keys())}")
                source = made.get("datasource")
                self.assertTrue(source is None or set(source) == {"type", "uid"}, f"{board['uid']}: {source}")
            for panel in board["panels"]:
                known = {step["id"] for step in panel.get("transformations", [])} - TRANSFORMATIONS
                self.assertFalse(known, f"{board['uid']}: {panel['title']}: {known}")
                refs = [target["refId"] for target in panel.get("targets", [])]
                self.assertEqual(len(refs), len(set(refs)), panel["title"])

    def test_panels_do_not_overlap(self) -> None:
        for board in self.boards:
            taken: set[tuple[int, int]] = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, f"{board['uid']}: {panel['title']}")
                self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells

    def test_every_panel_says_what_it_shows(self) -> None:
        for name, _, panel in self.each_panel():
            with self.subTest(name):
                defaults = panel["fieldConfig"]["defaults"]
                self.assertTrue(panel["title"] and panel["description"].endswith("."), panel["description"])
                self.assertTrue(defaults["unit"] and defaults["noValue"])
                self.assertIn(panel["type"], DRAWN)
                self.assertTrue(panel["targets"])

    def test_sources_are_variables(self) -> None:
        allowed = {"${datasource}", "${clickhouse}", "-- Mixed --"}
        for name, _, panel in self.each_panel():
            used = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            self.assertLessEqual(used, allowed, name)

    def test_links_lead_to_dashboards_and_their_variables(self) -> None:
        variables = {board["uid"]: {v["name"] for v in board["templating"]["list"]} for board in self.boards}
        count = 0
        for board in self.boards:
            for url in {text for text in strings(board["panels"]) if text.startswith("/d/")}:
                uid = url[3:].split("?")[0]
                with self.subTest(f"{board['uid']} -> {url}"):
                    self.assertIn(uid, variables)
                    self.assertLessEqual(set(re.findall(r"[?&]var-(\w+)=", url)), variables[uid])
                    kept = set(re.findall(r"\$\{(\w+):queryparam\}", url))
                    self.assertLessEqual(kept, variables[board["uid"]] & variables[uid])
                    count += 1
        self.assertGreater(count, 50)

    def test_variables_exist(self) -> None:
        for board in self.boards:
            names = {v["name"] for v in board["templating"]["list"]}
            for text in strings([board["panels"], board["templating"]]):
                used = re.findall(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)", text)
                unknown = {a or b for a, b in used if not (a or b).startswith("__")} - names
                self.assertFalse(unknown, f"{board['uid']}: {text[:200]}")

    def test_series_are_recorded_or_our_own(self) -> None:
        known, checked = recorded_series() | own_metrics() | BUILT_IN, 0
        for name, _, panel in self.each_panel():
            for target in panel["targets"]:
                for metric in metric_names(target.get("expr", "")):
                    matching = [k for k in known if re.fullmatch(metric, k)]
                    self.assertTrue(matching, f"{name}: {metric} in {target['expr']}")
                    checked += 1
        self.assertGreater(checked, 100)

    def test_alerts_that_nobody_is_told_about_are_not_counted(self) -> None:
        """Watchdog fires always: a count of it would never be green."""
        checked = 0
        for name, _, panel in self.each_panel():
            for target in panel["targets"]:
                for selector in re.findall(r"\bALERTS\{([^}]*)\}", target.get("expr", "")):
                    severities = dict(re.findall(r'severity(=~?|!~|!=)"([^"]*)"', selector))
                    none = any(("none" in words.split("|")) != operator.startswith("!") for operator, words in severities.items())
                    self.assertTrue(severities and not none, f"{name}: {selector}")
                    checked += 1
        self.assertGreater(checked, 8)

    def test_columns_are_those_of_the_tables(self) -> None:
        checked = 0
        for name, _, panel in self.each_panel():
            for target in panel["targets"]:
                for table, alias, text in branches(target.get("rawSql", "")):
                    self.assertIn(table, tables(), name)
                    used = set(re.findall(rf"\b{alias}\.([a-z]\w*)", text)) if alias else set()
                    self.assertLessEqual(used, tables()[table].columns, f"{name}: {table}")
                    checked += len(used)
        self.assertGreater(checked, 1000)

    def test_overrides_name_columns_that_the_query_gives(self) -> None:
        for name, _, panel in self.each_panel():
            if panel["type"] != "table":
                continue
            sql = " ".join(target.get("rawSql", "") for target in panel["targets"])
            refs = {f"Value #{target['refId']}" for target in panel["targets"] if "expr" in target} | {"Value"}
            labels = " ".join(target.get("expr", "") for target in panel["targets"])
            made = {t["options"].get("alias") for t in panel.get("transformations", []) if t["id"] == "calculateField"}
            for override in panel["fieldConfig"]["overrides"]:
                column = override["matcher"]["options"]
                found = column in refs | made or re.search(rf"\b{re.escape(column)}\b", sql + labels) or "\\" in column
                self.assertTrue(found, f"{name}: {column}")


if __name__ == "__main__":
    unittest.main()
