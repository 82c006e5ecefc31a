"""What may be asked for: columns of the tables of flows, names of recorded series and of Helios' own metrics.

All of it is read from the files that other parts of the project generate or test, so that a column that becomes a key of the
rollups is used as soon as `make dashboards` runs again.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TALKER_KEYS = {"exporter_name", "side", "host", "peer", "proto", "port"}
"""Keys of `talkers_1m` and `talkers_1h`: `TALKER_KEYS` of sink/src/schema/rollup.rs."""


@dataclass(frozen=True)
class Table:
    name: str
    bucket_seconds: int
    """Length of the time that a row stands for; 0 for the flows themselves."""
    columns: frozenset[str]

    @property
    def is_of_talkers(self) -> bool:
        """Whether it lists the busiest alone, of each side, and the total of every exporter."""
        return self.name.startswith("talkers_")

    @property
    def size(self) -> str:
        """The table of flows with rows of the same time."""
        return self.name.replace("talkers", "flows")


@cache
def tables() -> dict[str, Table]:
    """The tables that dashboards ask, by name."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", _section("flows"), re.MULTILINE)
    keys = {name for name, rest in rows if rest.split("|")[5].strip() == "key"}
    figures = {"received_at", "bytes", "packets", "flows"}
    made = [
        Table("flows", 0, frozenset(name for name, _ in rows)),
        Table("flows_1m", 60, frozenset(keys | figures)),
        Table("flows_1h", 3600, frozenset(keys | figures)),
        Table("talkers_1m", 60, frozenset(TALKER_KEYS | figures)),
        Table("talkers_1h", 3600, frozenset(TALKER_KEYS | figures)),
        Table("exporters", 60, frozenset(re.findall(r"^\| `(\w+)` \|", _section("exporters"), re.MULTILINE))),
    ]
    return {table.name: table for table in made}


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
