"""What may be asked for: columns of the tables of flows, names of recorded series and of Helios' own metrics.

All of it is read from the files that other parts of the project generate or test, so that a column that becomes a key of the
rollups is used as soon as `make dashboards` runs again.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TALKER_KEYS = {"exporter_name", "side", "host", "peer", "proto", "port"}
"""Keys of `talkers_1m` and `talkers_1h`: `TALKER_KEYS` of sink/src/schema/rollup.rs."""

FIGURES = frozenset({"received_at", "bytes", "packets", "flows"})

IN_EVERY_SUMMARY = frozenset({"in_if_boundary", "out_if_boundary", "flow_direction"})
SUMMARIES = {
    "interface": frozenset({"exporter_name", "exporter_site", "in_if_name", "out_if_name"}),
    "place": frozenset(
        {"src_country", "dst_country", "src_site", "dst_site", "src_tenant", "dst_tenant", "proto", "ether_type"}
    ),
    "as": frozenset({"src_as", "dst_as", "src_peer_as", "dst_peer_as"}),
}
"""Sides of `summary_1h` and their columns: common/src/summary.rs."""
WHOLE_SUMMARIES = ("interface", "place")
"""Those that add up to all traffic."""


@dataclass(frozen=True)
class Table:
    name: str
    bucket_seconds: int
    """Length of the time that a row stands for; 0 for the flows themselves."""
    columns: frozenset[str]
    side: str = ""
    """What its rows are about that answer, where the table has rows of several kinds."""
    whole: str = ""
    """The side with all traffic, where the rows that answer are the busiest part of it."""

    @property
    def filters(self) -> frozenset[str]:
        """Columns that may be filtered by: of a part, those that all traffic has as well."""
        return IN_EVERY_SUMMARY if self.whole and not self.is_of_talkers else self.columns

    @property
    def is_of_talkers(self) -> bool:
        """Whether it lists the busiest alone, of each side, and the total of every exporter."""
        return self.name.startswith("talkers_")

    @property
    def is_summary(self) -> bool:
        return self.name.startswith("summary_")

    @property
    def size(self) -> str:
        """The table of flows with rows of the same time."""
        return self.name.replace("talkers", "flows")


@cache
def tables() -> dict[str, Table]:
    """The tables that dashboards ask, by name."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", _section("flows"), re.MULTILINE)
    keys = frozenset(name for name, rest in rows if rest.split("|")[5].strip() == "key")
    made = [
        Table("flows", 0, frozenset(name for name, _ in rows)),
        Table("flows_1m", 60, keys | FIGURES),
        Table("flows_1h", 3600, keys | FIGURES),
        Table("summary_1h", 3600, keys | FIGURES | {"side"}),
        Table("talkers_1m", 60, TALKER_KEYS | FIGURES),
        Table("talkers_1h", 3600, TALKER_KEYS | FIGURES),
        Table("exporters", 60, frozenset(re.findall(r"^\| `(\w+)` \|", _section("exporters"), re.MULTILINE))),
    ]
    return {table.name: table for table in made}


def summary(needs: frozenset[str]) -> Table | None:
    """`summary_1h` as a question for these columns sees it; None where they belong to several sides."""
    for side, columns in SUMMARIES.items():
        if needs <= columns | IN_EVERY_SUMMARY | FIGURES:
            whole = "" if side in WHOLE_SUMMARIES else "interface"
            return Table("summary_1h", 3600, columns | IN_EVERY_SUMMARY | FIGURES, side, whole)
    return None


def talkers(name: str, side: str) -> Table:
    """A table of talkers as a question for a side sees it."""
    return replace(tables()[name], side=side, whole="total")


def _section(table: str) -> str:
    text = (ROOT / "docs/columns.md").read_text()
    parts = re.split(r"^## Table `(\w+)`$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2]))
    return sections[table] if table in sections else parts[0]


@cache
def recorded_series() -> frozenset[str]:
    """Names that alerts/recording.yaml records."""
    return frozenset(re.findall(r"^\s*- record: (\S+)$", (ROOT / "alerts/recording.yaml").read_text(), re.MULTILINE))


@cache
def own_metrics() -> frozenset[str]:
    """Names of the series that `helios run` shows."""
    names = set()
    for line in (ROOT / "tests/data/metrics.txt").read_text().splitlines():
        name, kind, *_ = line.split()
        names |= {name + suffix for suffix in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return frozenset(names)
