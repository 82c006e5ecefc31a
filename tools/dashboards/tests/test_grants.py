"""The user of deploy/grafana/clickhouse-user.sql may read what the dashboards ask, and nothing else.

The engine that tests have cannot create users: it has no storage for them. It reads users from a file, though, and a view with
`SQL SECURITY DEFINER` runs with the rights of its definer. So this makes a file of what the statements say, and asks through views of
that user. Run it with the engine's Python; HELIOS_LAB is the line that `lab.start` prints.
"""

import json
import os
import re
import tempfile
import time
import unittest
from pathlib import Path
from xml.sax.saxutils import escape

import chdb

from . import expand
from .client import ROOT, Servers, dashboards, panels, scope_of
from .expand import Range

USER_SQL = ROOT / "deploy/grafana/clickhouse-user.sql"
TABLES = ("flows", "flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h", "exporters", "interface_counters")


def statements() -> list[str]:
    text = re.sub(r"^--.*$", "", USER_SQL.read_text(), flags=re.MULTILINE)
    return [part.strip() for part in text.split(";") if part.strip()]


def users_file(create: str, grant: str) -> str:
    """What the two statements say, in the form of users.xml."""
    settings = re.findall(r"(\w+) = (\d+)(?: MAX (\d+))?", create.split("SETTINGS")[1])
    values = "".join(f"<{name}>{value}</{name}>" for name, value, _ in settings)
    limits = "".join(f"<{name}><max>{most}</max></{name}>" for name, _, most in settings if most)
    rights = escape(grant.removesuffix(" TO grafana"))
    return (
        f"<clickhouse><profiles><default/><grafana>{values}<constraints>{limits}</constraints></grafana></profiles><quotas><default/></quotas>"
        "<users><default><password/><profile>default</profile><quota>default</quota><access_management>1</access_management></default>"
        f"<grafana><password/><profile>grafana</profile><quota>default</quota><grants><query>{rights}</query></grants></grafana></users></clickhouse>"
    )


class Grants(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        lab = json.loads(os.environ["HELIOS_LAB"])
        cls.servers = Servers(lab["clickhouse"], lab["prometheus"])
        cls.create, cls.grant = statements()
        cls.folder = tempfile.TemporaryDirectory()
        folder = Path(cls.folder.name)
        (folder / "users.xml").write_text(users_file(cls.create, cls.grant))
        (folder / "config.xml").write_text(
            f"<clickhouse><user_directories><users_xml><path>{folder}/users.xml</path></users_xml></user_directories></clickhouse>"
        )
        cls.engine = chdb.connect(f"{folder}/data?config-file={folder}/config.xml")
        for database in ("helios", "other"):
            cls.engine.query(f"CREATE DATABASE {database}")
        for table in TABLES:
            cls.engine.query(cls.servers.sql(f"SHOW CREATE TABLE helios.{table}")[0]["statement"])
        cls.engine.query("CREATE TABLE other.secret (a UInt8) ENGINE = Memory")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.engine.close()
        cls.folder.cleanup()

    def as_grafana(self, select: str) -> None:
        self.engine.query(f"CREATE OR REPLACE VIEW other.asked DEFINER = grafana SQL SECURITY DEFINER AS {select}")
        self.engine.query("SELECT * FROM other.asked")

    def test_the_statements_are_sql(self) -> None:
        for statement in statements():
            self.assertIn("Query", str(self.engine.query(f"EXPLAIN AST {statement}")))

    def test_compose_grants_the_same(self) -> None:
        users = (ROOT / "deploy/compose/clickhouse-users.xml").read_text()
        self.assertIn(f"<query>{self.grant.removesuffix(' TO grafana')}</query>", users)

    def test_every_statement_of_the_dashboards_may_run(self) -> None:
        now, count = int(time.time()), 0
        for board in dashboards():
            scope = scope_of(board, self.servers, Range(now - 3600, now))
            asked = [target["rawSql"] for panel in panels(board) for target in panel["targets"] if "rawSql" in target]
            asked += [v["query"]["rawSql"] for v in board["templating"]["list"] if v["type"] == "query" and "rawSql" in v["query"]]
            for sql in asked:
                self.as_grafana(expand.clickhouse(sql, scope))
                count += 1
        self.assertGreater(count, 50)
        print(f"\n{count} statements run with the rights of the user grafana")

    def test_nothing_else_may_be_read(self) -> None:
        for select in (
            "SELECT * FROM other.secret",
            "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        ):
            with self.assertRaisesRegex(RuntimeError, "Not enough privileges", msg=select):
                self.as_grafana(select)

    def test_nothing_may_be_written_and_limits_hold(self) -> None:
        readonly = dict(re.findall(r"(\w+) = (\d+)", self.create))["readonly"]
        engine = chdb.connect(f"{self.folder.name}/data?config-file={self.folder.name}/config.xml")
        try:
            engine.query(f"SET readonly = {readonly}")
            engine.query("SET max_execution_time = 30")
            for write in (
                "INSERT INTO other.secret VALUES (1)",
                "DROP TABLE other.secret",
                "ALTER TABLE helios.flows DELETE WHERE 1",
                "CREATE TABLE other.more (a UInt8) ENGINE = Memory",
                "SET readonly = 0",
            ):
                with self.assertRaisesRegex(RuntimeError, "readonly", msg=write):
                    engine.query(write)
        finally:
            engine.close()
        shown = str(self.engine.query("SHOW CREATE SETTINGS PROFILE grafana"))
        for name, value, most in re.findall(r"(\w+) = (\d+) MAX (\d+)", self.create):
            self.assertIn(f"{name} = {value}", shown)
            self.assertIn(f"MAX {most}", shown)


if __name__ == "__main__":
    unittest.main()
