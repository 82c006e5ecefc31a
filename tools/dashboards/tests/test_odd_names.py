"""Names that devices really have, and some that they should not: quotes, slashes, `$`, spaces, dots, letters beyond ASCII, none at all.

It adds flows of such devices to the lab. HELIOS_LAB is the line that `lab.start` prints.
"""

import json
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from . import expand
from .client import Servers, ask, dashboards, panels, scope_of
from .expand import Range, Scope

HOUR = 3600
DEVICES = ["r1.example.net", "", "192.0.2.250", "l\u00fcneburg core (old)", "pe-1 'backup' ${x}, $y"]
INTERFACES = ["xe-0/0/0.100", 'Te0/0/0/1 "up" $x', "Port-channel 1 (LACP)", "caf\u00e9|bar+[1]", ""]
MANY = [f"router-{number:04}.pop-{number % 50}.example.net" for number in range(2000)]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class OddNames(unittest.TestCase):
    servers: Servers

    @classmethod
    def setUpClass(cls) -> None:
        lab = json.loads(os.environ["HELIOS_LAB"])
        cls.servers = Servers(lab["clickhouse"], lab["prometheus"])
        # A whole hour, two hours ago; neither a site nor a sampling interval.
        cls.end = int(time.time()) // HOUR * HOUR - HOUR
        names = ", ".join(quoted(name) for name in [*DEVICES, *MANY])
        interfaces = ", ".join(quoted(name) for name in INTERFACES)
        cls.servers.execute(
            "INSERT INTO helios.flows (received_at, exporter_name, in_if_name, src_addr, dst_addr, proto, bytes, packets, sampling_interval)"
            f" SELECT toDateTime({cls.end - HOUR}) + number % 3600, [{names}][1 + number % {len(DEVICES) + len(MANY)}],"
            f" [{interfaces}][1 + intDiv(number, {len(DEVICES) + len(MANY)}) % {len(INTERFACES)}], toIPv6('2001:db8:ffff::1'), toIPv6('2001:db8:ffff::2'),"
            " 6, 1000 + number, 1, 0 FROM numbers(20050)"
        )

    def scope(self, uid: str, **chosen) -> Scope:
        board = next(board for board in dashboards() if board["uid"] == uid)
        return scope_of(board, self.servers, Range(self.end - HOUR, self.end), **chosen)

    def independent(self, where: str) -> int:
        """No sampling interval is one that is not sampled."""
        return self.servers.sql(
            f"SELECT sum(bytes * greatest(sampling_interval, 1)) AS b FROM helios.flows WHERE received_at >= toDateTime({self.end - HOUR})"
            f" AND received_at < toDateTime({self.end}) AND {where}"
        )[0]["b"]

    def bytes_of_exporters(self, **chosen) -> int:
        board = next(board for board in dashboards() if board["uid"] == "helios-top-talkers")
        panel = next(panel for panel in panels(board) if panel["title"].startswith("Exporters ["))
        rows = ask(panel["targets"][0], self.servers, self.scope("helios-top-talkers", **chosen))
        return sum(row["bytes"] for row in rows)

    def test_a_filter_takes_the_flows_of_that_name_alone(self) -> None:
        for name in DEVICES:
            for table in ("flows", "flows_1m", "flows_1h"):
                with self.subTest(device=name, table=table):
                    expected = self.independent(f"exporter_name = {quoted(name)}")
                    self.assertGreater(expected, 0)
                    self.assertEqual(self.bytes_of_exporters(exporter=[name], table=table), expected)
        for name in INTERFACES:
            with self.subTest(interface=name):
                expected = self.independent(f"(in_if_name = {quoted(name)} OR out_if_name = {quoted(name)})")
                self.assertEqual(self.bytes_of_exporters(interface=[name]), expected)

    def test_every_statement_runs_with_such_names(self) -> None:
        for board in (board for board in dashboards() if "flows" in board["tags"]):
            scope = self.scope(board["uid"], exporter=DEVICES, interface=INTERFACES)
            for panel in panels(board):
                with self.subTest(f"{board['uid']}: {panel['title']}"):
                    for target in panel["targets"]:
                        ask(target, self.servers, scope)

    def test_2000_devices_are_listed_and_can_all_be_chosen(self) -> None:
        listed = self.scope("helios-top-talkers").every["exporter"]
        self.assertLessEqual(set(MANY), set(listed))
        self.assertNotIn("", listed)
        names = ", ".join(quoted(name) for name in MANY)
        self.assertEqual(self.bytes_of_exporters(exporter=MANY), self.independent(f"exporter_name IN ({names})"))
        longest = 0
        for board in (board for board in dashboards() if "flows" in board["tags"]):
            scope = self.scope(board["uid"], exporter=MANY)
            for panel in panels(board):
                for sql in (target["rawSql"] for target in panel["targets"] if "rawSql" in target):
                    longest = max(longest, len(expand.clickhouse(sql, scope)))
        # max_query_size of ClickHouse.
        self.assertLess(longest, 256 << 10)

    def test_a_site_without_exporters_has_no_flows_and_no_mistake(self) -> None:
        self.assertEqual(self.bytes_of_exporters(site=["Nowhere"]), 0)

    def test_a_matcher_of_prometheus_takes_that_name_alone(self) -> None:
        tests = []
        for kind, names in (("device", [name for name in DEVICES if name]), ("interface", [name for name in INTERFACES if name])):
            labels = [json.dumps(name, ensure_ascii=False) for name in names]
            series = [{"series": f"helios:if_oper_up{{{kind}={label}}}", "values": "1x10"} for label in labels]
            for chosen in [[name] for name in names] + [names]:
                expr = expand.prometheus(f'count(helios:if_oper_up{{{kind}=~"${kind}"}})', Scope(Range(0, 60), {kind: chosen}))
                tests.append((series, expr, len(chosen)))
        asked = [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [{"expr": expr, "eval_time": "1m", "exp_samples": [{"labels": "{}", "value": count}]}],
            }
            for series, expr, count in tests
        ]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "names.yaml"
            file.write_text(json.dumps({"tests": asked}))
            done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
