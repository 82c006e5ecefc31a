"""Every query of every dashboard on real engines: ClickHouse's, filled by `helios simulate` -> `helios run`, and a Prometheus with our
recording rules. `make test-dashboards` runs it; HELIOS_LAB is the line that `lab.start` prints."""

import itertools
import json
import os
import signal
import time
import unittest
from datetime import UTC, datetime
from typing import Any

from helios_dashboards import sql
from helios_dashboards.flows.as_paths import EXIT, NEIGHBOUR, PATH
from helios_dashboards.flows.protocol_distribution import SERVICE
from helios_dashboards.flows.shared import ALL, ASES, PLACES, SENDER
from helios_dashboards.flows.top_talkers import CONVERSATION
from lab.series import LAYER_2
from processes import wait_for

from .client import Servers, ask, dashboards, panels, scope_of
from .expand import Range, Scope

Json = dict[str, Any]
HOUR = 3600
SHOWN_WITHIN_SECONDS = 900
"""Until a fault shows. Rules run every 10 seconds; on a busy machine scrapes and rules are late."""

# Panels about faults have no rows while all is well. Each line names the fault that has to fill them.
ABOUT_FAULTS = {
    ("helios-interface-analytics", "Down and back"): "link-down",
    ("helios-latency-reachability", "Reachability"): "unreachable",
    ("helios-bgp-status", "State of sessions that were down"): "bgp",
    ("helios-alerts-overview", "Firing now"): "errors",
    ("helios-alerts-overview", "Alerts over time"): "errors",
    ("helios-alerts-overview", "Longest in range"): "errors",
    ("helios-alerts-overview", "Alerts by site"): "errors",
    ("helios-alerts-overview", "Devices with the most"): "errors",
}

FAULTS_SHOW = [
    "helios:if_oper_up == 0",
    "helios:if_in_error_ratio:rate5m > 0.01",
    "helios:bgp_session_state < 6",
    "helios:cpu_utilization:ratio > 0.8",
    'ALERTS{alertname="DeviceUnreachable", alertstate="firing"}',
    # Panels count minutes: a whole one has to begin while the alert fires.
    'count_over_time(ALERTS{alertname="DeviceUnreachable", alertstate="firing"}[1h:1m])',
    'count_over_time(ALERTS{alertname="InterfaceErrorRateHigh", alertstate="firing"}[1h:1m])',
]

# Numbers that are 0 while all is well, and what they have to be with all faults on.
COUNTS = {
    ("helios-network-overview", "Devices down"): 1,
    ("helios-network-overview", "Interfaces down"): 1,
    ("helios-network-overview", "BGP down"): 1,
    ("helios-network-overview", "With errors"): 1,
    ("helios-interface-analytics", "Went down in range"): 1,
    ("helios-device-health", "CPU above 80 %"): 1,
    ("helios-latency-reachability", "Were down in range"): 1,
    ("helios-bgp-status", "Not established"): 1,
    ("helios-bgp-status", "Lost in range"): 1,
    ("helios-alerts-overview", "Critical"): 2,
}


class Engines(unittest.TestCase):
    lab: Json
    servers: Servers

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = json.loads(os.environ["HELIOS_LAB"])
        cls.servers = Servers(cls.lab["clickhouse"], cls.lab["prometheus"])

    def last(self, seconds: int, interval: int = 60) -> Range:
        now = int(time.time())
        return Range(now - seconds, now, interval)

    @staticmethod
    def past() -> int:
        """An end of ranges into which nothing is inserted any more: the whole hour, also for flows_1h."""
        return (int(time.time()) - 60) // HOUR * HOUR

    def board(self, uid: str) -> Json:
        return next(board for board in dashboards() if board["uid"] == uid)

    def panel(self, uid: str, title: str) -> Json:
        return next(panel for panel in panels(self.board(uid)) if panel["title"].split(" [")[0] == title)

    def test_1_every_query_runs_and_gives_rows(self) -> None:
        queries = empty = 0
        for board in dashboards():
            scope = scope_of(board, self.servers, self.last(3 * HOUR))
            for variable in board["templating"]["list"]:
                if variable["type"] == "query":
                    self.assertTrue(scope.every[variable["name"]], f"{board['uid']}: variable {variable['name']} has no values")
            for panel in panels(board):
                with self.subTest(f"{board['uid']}: {panel['title']}"):
                    rows = [ask(target, self.servers, scope) for target in panel["targets"]]
                    queries += len(rows)
                    about = (board["uid"], panel["title"].split(" [")[0])
                    if about in ABOUT_FAULTS or not all(rows):
                        empty += 1
                    if about not in ABOUT_FAULTS:
                        self.assertTrue(all(rows), f"no rows: {[len(r) for r in rows]}")
        panels_in_all = sum(len(list(panels(board))) for board in dashboards())
        print(
            f"\n{len(dashboards())} dashboards, {panels_in_all} panels, {queries} queries run, {empty} panels empty (all about faults)"
        )
        self.assertLessEqual(empty, len(ABOUT_FAULTS))

    def test_2_every_range_and_table(self) -> None:
        """Statements hold for 5 minutes to 90 days, with each table forced and every filter set."""
        filters = {
            "exporter": ["fra1-edge1", "ams1-edge1"],
            "site": ["Frankfurt"],
            "interface": ["Ethernet1/1"],
            "asn": "15169, 13335",
            "address": "10.0.0.0/8",
            "port": "443, 80",
            "proto": ["6"],
            "direction": ["unknown"],
        }
        cases: list[tuple[int, dict[str, Any]]] = [(seconds, {}) for seconds in (300, 900, 86400, 7 * 86400, 90 * 86400)]
        cases += [(3 * HOUR, {"table": table}) for table in ("flows", "flows_1m", "flows_1h")]
        cases += [(3 * HOUR, {name: value}) for name, value in filters.items()]
        cases += [(3 * HOUR, {"once": way}) for way in ("ingress", "boundary", "exporter")]
        cases += [(3 * HOUR, {"address": "2001:db8::/32"}), (3 * HOUR, {"address": "10.1.0.10"}), (3 * HOUR, filters)]
        board = self.board("helios-top-talkers")
        for seconds, chosen in cases:
            with self.subTest(seconds=seconds, chosen=chosen):
                scope = scope_of(board, self.servers, self.last(seconds, max(60, seconds // 300)), **chosen)
                for panel in panels(board):
                    for target in panel["targets"]:
                        ask(target, self.servers, scope)

    def chosen_table(self, seconds: int, question: sql.Question = ALL, **chosen: Any) -> str:
        scope = scope_of(self.board("helios-top-talkers"), self.servers, self.last(seconds), **chosen)
        return next(iter(self.servers.sql(self.expanded(sql.table_name(question), scope))[0].values())).split(",")[0]

    @staticmethod
    def expanded(statement: str, scope: Scope) -> str:
        from . import expand

        return expand.clickhouse(statement, scope)

    def test_3_the_coarsest_table_that_can_answer(self) -> None:
        for seconds, chosen, table in [
            (600, {}, "flows"),
            (900, {}, "flows_1m"),
            (14 * HOUR, {}, "flows_1m"),
            (15 * HOUR, {}, "summary_1h"),
            (90 * 86400, {}, "summary_1h"),
            (90 * 86400, {"exporter": ["fra1-edge1"], "asn": "15169", "proto": ["6"]}, "flows_1h"),
            (86400, {"port": "443"}, "flows"),
            (86400, {"address": "10.0.0.0/8"}, "flows"),
            (86400, {"site": ["Frankfurt"]}, "summary_1h"),
            (86400, {"once": "boundary"}, "summary_1h"),
            (86400, {"once": "ingress"}, "summary_1h"),
            (86400, {"once": "exporter"}, "summary_1h"),
            (86400, {"proto": ["6"]}, "flows_1h"),
            (86400, {"table": "flows_1m"}, "flows_1m"),
            (86400, {"table": "flows_1h", "port": "443"}, "flows"),
            (600, {"table": "flows_1h"}, "flows_1h"),
        ]:
            with self.subTest(seconds=seconds, chosen=chosen):
                self.assertEqual(self.chosen_table(seconds, **chosen), table)
        for question, seconds, chosen, table in [
            (SENDER, 600, {}, "flows"),
            (SENDER, 900, {}, "talkers_1m"),
            (SENDER, 14 * HOUR, {}, "talkers_1m"),
            (SENDER, 15 * HOUR, {}, "talkers_1h"),
            (SENDER, 86400, {"table": "flows"}, "flows"),
            (SENDER, 86400, {"table": "flows_1m"}, "talkers_1m"),
            (SENDER, 86400, {"asn": "15169"}, "flows"),
            (SENDER, 86400, {"exporter": ["fra1-edge1"]}, "talkers_1h"),
            (SENDER, 86400, {"site": ["Frankfurt"]}, "talkers_1h"),
            (SERVICE, 86400, {}, "talkers_1h"),
            # The lab has few enough flows for all that only `flows` knows, as far back as it has them.
            (CONVERSATION, HOUR, {}, "flows"),
            (CONVERSATION, 90 * 86400, {"table": "flows_1h"}, "talkers_1h"),
            (ASES, 86400, {}, "summary_1h"),
            (ASES, 86400, {"once": "boundary", "direction": ["ingress"]}, "summary_1h"),
            # What is not listed is not known of an exporter or an AS.
            (ASES, 86400, {"exporter": ["fra1-edge1"]}, "flows_1h"),
            (ASES, 86400, {"asn": "15169"}, "flows_1h"),
            (ASES, 86400, {"table": "flows_1h"}, "flows_1h"),
            (PLACES, 86400, {"proto": ["6"]}, "summary_1h"),
            (PLACES, 86400, {"site": ["Frankfurt"]}, "flows_1h"),
            (NEIGHBOUR, 86400, {"asn": "15169"}, "summary_1h"),
            (EXIT, 86400, {}, "flows_1h"),
            (PATH, HOUR, {}, "flows"),
            (PATH, HOUR, {"table": "flows_1h"}, "flows_1h"),
            (PATH, HOUR, {"table": "flows_1h", "site": ["Frankfurt"]}, "flows_1h"),
        ]:
            with self.subTest(seconds=seconds, chosen=chosen, question=question.side):
                self.assertEqual(self.chosen_table(seconds, question, **chosen), table)

    def covered(self, scope: Scope, question: sql.Question = ALL) -> tuple[int, int]:
        row = self.servers.sql(
            self.expanded(sql.totals(question, "toUnixTimestamp(t_begin) AS b, toUnixTimestamp(t_end) AS e"), scope)
        )[0]
        return row["b"], row["e"]

    def flows_sum(self, begin: int, end: int, where: str = "1") -> int:
        """The independent sum: plain SQL over `flows`."""
        return self.servers.sql(
            f"SELECT sum(bytes * sampling_interval) AS b FROM helios.flows WHERE received_at >= toDateTime({begin}) AND received_at < toDateTime({end}) AND ({where})"
        )[0]["b"]

    def test_4_numbers_equal_the_sum_over_flows(self) -> None:
        end = self.past()
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("1", {}, "auto"),
            ("1", {}, "flows_1m"),
            ("1", {}, "flows_1h"),
            ("1", {}, "flows"),
            ("exporter_name = 'fra1-edge1'", {"exporter": ["fra1-edge1"]}, "auto"),
            ("exporter_site = 'Frankfurt'", {"site": ["Frankfurt"]}, "auto"),
            ("proto = 17", {"proto": ["17"]}, "auto"),
            ("src_port IN (443, 53) OR dst_port IN (443, 53)", {"port": "443, 53"}, "auto"),
            ("src_as = 15169 OR dst_as = 15169", {"asn": "15169"}, "flows_1h"),
            ("in_if_name = 'Ethernet1/3' OR out_if_name = 'Ethernet1/3'", {"interface": ["Ethernet1/3"]}, "auto"),
            (
                "isIPAddressInRange(toString(src_addr), '::ffff:10.3.0.0/112') OR isIPAddressInRange(toString(dst_addr), '::ffff:10.3.0.0/112')",
                {"address": "10.3.0.0/16"},
                "auto",
            ),
            (
                "isIPAddressInRange(toString(src_addr), '2001:db8:1::/48') OR isIPAddressInRange(toString(dst_addr), '2001:db8:1::/48')",
                {"address": "2001:db8:1::/48"},
                "auto",
            ),
            ("flow_direction != 'egress'", {"once": "ingress"}, "auto"),
            ("in_if_boundary = 'external' AND flow_direction != 'egress'", {"once": "boundary"}, "auto"),
        ]
        panel = self.panel("helios-top-talkers", "Exporters")
        for where, chosen, table in cases:
            with self.subTest(where=where, table=table):
                scope = scope_of(
                    self.board("helios-top-talkers"), self.servers, Range(end - 2 * HOUR, end), table=table, top="100", **chosen
                )
                rows = ask(panel["targets"][0], self.servers, scope)
                begin, until = self.covered(scope)
                self.assertEqual(sum(row["bytes"] for row in rows), self.flows_sum(begin, until, where))
                self.assertAlmostEqual(sum(row["share"] for row in rows), 1, places=6)
                self.assertGreater(len(rows), 0)

    def test_4_summaries_equal_the_sum_over_flows(self) -> None:
        end = self.past()
        at = Range(end - 24 * HOUR, end, HOUR)
        for uid, title, question in [
            ("helios-top-talkers", "Exporters", ALL),
            ("helios-traffic-matrix", "AS to AS", ASES),
            ("helios-traffic-matrix", "Pairs of sites", PLACES),
            ("helios-protocol-distribution", "Protocols", PLACES),
            ("helios-geographic-flows", "Country to country", PLACES),
        ]:
            for where, chosen in [("1", {}), ("flow_direction != 'egress'", {"once": "ingress"})]:
                with self.subTest(title, chosen=chosen):
                    scope = scope_of(self.board(uid), self.servers, at, **chosen)
                    self.assertEqual(self.chosen_table(24 * HOUR, question, **chosen), "summary_1h")
                    rows = ask(self.panel(uid, title)["targets"][0], self.servers, scope)
                    begin, until = self.covered(scope, question)
                    self.assertEqual(sum(row["bytes"] for row in rows), self.flows_sum(begin, until, where))

    def test_5_the_rest_of_a_top_is_other(self) -> None:
        """What talkers list is a part, and the row `other` makes it whole: the sum is that over `flows`, whichever table answers."""
        end = self.past()
        asked = [
            ("helios-top-talkers", "Senders", SENDER),
            ("helios-top-talkers", "Receivers", SENDER),
            ("helios-top-talkers", "Conversations", CONVERSATION),
            ("helios-protocol-distribution", "Services", SERVICE),
        ]
        for (uid, title, question), table, chosen in itertools.product(
            asked, ("auto", "flows", "flows_1m", "flows_1h"), ({}, {"site": ["Frankfurt"]}, {"exporter": ["fra1-edge1"]})
        ):
            with self.subTest(title, table=table, chosen=chosen):
                at = Range(end - 2 * HOUR, end)
                scope = scope_of(self.board(uid), self.servers, at, top="10", table=table, **chosen)
                rows = ask(self.panel(uid, title)["targets"][0], self.servers, scope)
                self.assertEqual((len(rows), next(iter(rows[-1].values()))), (11, "other"))
                begin, until = self.covered(scope, question)
                column = {"site": "exporter_site", "exporter": "exporter_name"}
                where = " AND ".join(f"{column[name]} = '{value}'" for name, [value] in chosen.items()) or "1"
                self.assertEqual(sum(row["bytes"] for row in rows), self.flows_sum(begin, until, where))
                listed = [row["bytes"] for row in rows[:-1]]
                self.assertEqual(listed, sorted(listed, reverse=True))

    def test_6_a_graph_is_the_same_traffic(self) -> None:
        """The area below the graph is what the table says: no step counts twice and none is left out."""
        end = self.past()
        graphs = [("Exporters over time", ALL), ("Senders over time", SENDER)]
        for (title, question), table in itertools.product(graphs, ("flows", "flows_1m", "flows_1h")):
            with self.subTest(title, table=table):
                scope = scope_of(self.board("helios-top-talkers"), self.servers, Range(end - 2 * HOUR, end, 300), table=table)
                points = ask(self.panel("helios-top-talkers", title)["targets"][0], self.servers, scope)
                begin, until = self.covered(scope, question)
                step = {"flows": 300, "flows_1m": 300, "flows_1h": HOUR}[table]
                area = 0.0
                for point in points:
                    at = int(datetime.fromisoformat(point["time"]).replace(tzinfo=UTC).timestamp())
                    area += point["rate"] * max(1, min(at + step, until) - max(at, begin)) / 8
                self.assertAlmostEqual(area / self.flows_sum(begin, until), 1, places=6)

    def test_7_a_flow_that_two_exporters_saw_counts_once(self) -> None:
        end = self.past()
        at = Range(end - HOUR, end)
        board = self.board("helios-top-talkers")
        whole = lambda **chosen: sum(
            r["bytes"]
            for r in ask(
                self.panel("helios-top-talkers", "Exporters")["targets"][0],
                self.servers,
                scope_of(board, self.servers, at, **chosen),
            )
        )
        both = {"exporter": ["fra1-edge1", "sin1-edge2"]}
        single = [whole(exporter=[name]) for name in both["exporter"]]
        self.assertEqual(whole(**both), sum(single))
        self.assertEqual(whole(**both, once="exporter"), max(single))

    def test_8_flows_and_counters_agree(self) -> None:
        """The lab's counters are 3 % above its flows; the dashboard has to find that again."""
        scope = scope_of(self.board("helios-interface-correlation"), self.servers, Range(self.past() - HOUR, self.past()))
        targets = self.panel("helios-interface-correlation", "Interfaces")["targets"]
        flows = {row["key"]: row["flows_in"] for row in ask(targets[0], self.servers, scope)}
        counters = {series["metric"]["key"]: float(series["value"][1]) for series in ask(targets[1], self.servers, scope)}
        shared = [key for key in flows if counters.get(key)]
        self.assertGreater(len(shared), 100)
        ratio = sum(flows[key] for key in shared) / sum(counters[key] for key in shared)
        self.assertAlmostEqual(ratio, 1 / LAYER_2, delta=0.05)

    def test_9_faults_show(self) -> None:
        os.kill(self.lab["pid"], signal.SIGUSR1)
        for expr in FAULTS_SHOW:
            wait_for(f"{expr} in Prometheus", lambda expr=expr: self.servers.instant(expr, time.time()), SHOWN_WITHIN_SECONDS)

        def answers_of(uid: str, title: str) -> list[list[Json]]:
            scope = scope_of(self.board(uid), self.servers, self.last(HOUR, 15))
            return [ask(target, self.servers, scope) for target in self.panel(uid, title)["targets"]]

        shown = 0
        for (uid, title), fault in ABOUT_FAULTS.items():
            with self.subTest(f"{uid}: {title}", fault=fault):
                wait_for(f"rows in {uid}: {title}", lambda at=(uid, title): all(answers_of(*at)), SHOWN_WITHIN_SECONDS)
                shown += 1
        for (uid, title), least in COUNTS.items():
            with self.subTest(f"{uid}: {title}"):

                def is_reached(at: tuple[str, str] = (uid, title), least: float = least) -> bool:
                    (row,) = answers_of(*at)[0]
                    return float(row["value"][1]) >= least

                wait_for(f"{least} in {uid}: {title}", is_reached, SHOWN_WITHIN_SECONDS)
                shown += 1
        print(f"\n{shown} panels show the faults")


if __name__ == "__main__":
    unittest.main()
