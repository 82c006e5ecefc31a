#!/usr/bin/env python3
"""What a network needs: series, samples, flows, disks and memory, from its numbers.

    tools/sizing.py --devices 800 --interfaces 48 --flows 15000
    tools/sizing.py --tiers            the table of docs/sizing.md

Every factor below says where it is from. The values files of chart/helios hold at least what comes out for their tier
(tools/chart/test_sizing.py).
"""

import argparse
import dataclasses
import math

GB = 1e9
GIB = 2**30
DAY = 86_400

# Octets on disk that a flow costs in each table, once merged (docs/clickhouse.md, "Size"), and the days that the table keeps.
TABLES = {
    "flows": (21.5, "flows_days"),
    "flows_1m": (2.1, "minutes_days"), "talkers_1m": (1.2, "minutes_days"), "interface_counters": (0.1, "minutes_days"),
    "flows_1h": (0.3, "hours_days"), "summary_1h": (0.05, "hours_days"), "talkers_1h": (0.85, "hours_days"), "exporters": (0.02, "hours_days"),
}
# ClickHouse writes merged parts beside their sources: a third of the disk stays free.
MERGE_FREE = 1 / 3
# BENCHMARKS.md, "What ClickHouse pays": one core inserts 120,000 flows/s with all rollups; half of it is left for queries.
FLOWS_PER_CORE = 60_000
# BENCHMARKS.md, "UDP to rows": 0.7 to 1.4 CPU seconds for each million flows.
HELIOS_CPU_SECONDS_PER_FLOW = 1.4e-6
# docs/operating.md: 20 to 90 MB of spool for each million flows.
SPOOL_OCTETS_PER_FLOW = 90

# Series. collectors/snmp/snmp.yml: 18 for each interface; alerts/recording.yaml: 15 recorded ones.
SERIES_PER_INTERFACE = 18 + 15
# System, storage, sensors, BGP sessions, probes and what is recorded of them.
SERIES_PER_DEVICE = 200
# Prometheus' documentation: 1 to 2 octets a sample on disk.
SAMPLE_OCTETS = 1.5
# Prometheus keeps 3 KiB a series in its head; queries, rules and the page cache of the log double that and more.
SERIES_MEMORY = 8 * 1024
# The write-ahead log holds three hours, at 4 octets a sample.
LOG_SECONDS, LOG_OCTETS = 3 * 3600, 4
# gnmic keeps the last value and labels of each series.
GNMIC_SERIES_MEMORY = 1024


@dataclasses.dataclass
class Network:
    devices: int
    interfaces: int = 50
    flows: float | None = None  # a second; 20 for each device where it is not given
    shards: int = 1
    replicas: int = 1
    clickhouse_shards: int = 1
    gnmic: int = 2
    scrape_seconds: int = 30
    flows_days: int = 7
    minutes_days: int = 30
    hours_days: int = 90

    def __post_init__(self):
        if self.flows is None:
            self.flows = 20 * self.devices

    # Metrics.
    @property
    def series(self):
        return self.devices * (self.interfaces * SERIES_PER_INTERFACE + SERIES_PER_DEVICE)

    @property
    def samples(self):
        """A second."""
        return self.series / self.scrape_seconds

    @property
    def metrics_day(self):
        """Octets of one day, without replicas."""
        return self.samples * DAY * SAMPLE_OCTETS

    @property
    def prometheus_memory(self):
        """Of each shard."""
        return self.series / self.shards * SERIES_MEMORY

    @property
    def prometheus_disk(self):
        """Of each shard: a day, the block that is written, the log; nine tenths of the volume are used."""
        return (self.metrics_day * 28 / 24 + self.samples * LOG_SECONDS * LOG_OCTETS) / self.shards / 0.9

    @property
    def objects_disk(self):
        """Blocks of up to 14 days stay until their last sample has expired. Raw: 14 to 28 days. 5 minutes: 30 to 44 days of
        five aggregates for ten samples. Hours: 90 to 104 days of five for 120. Each replica uploads; after 2 days one is left."""
        return self.metrics_day * (28 + 44 * 5 / 10 + 104 * 5 / 120 + 2 * (self.replicas - 1))

    @property
    def compact_disk(self):
        """Source and result of 14 days."""
        return self.metrics_day * 14 * 2

    @property
    def gnmic_memory(self):
        """Of each."""
        return self.series / 2 / self.gnmic * GNMIC_SERIES_MEMORY

    # Flows.
    def table_disk(self, table):
        octets, days = TABLES[table]
        return self.flows * DAY * octets * getattr(self, days)

    @property
    def flows_disk(self):
        return self.table_disk("flows")

    @property
    def rollups_disk(self):
        """And what else is kept beside the flows."""
        return sum(self.table_disk(table) for table in TABLES if table != "flows")

    @property
    def clickhouse_disk(self):
        """Of each shard."""
        return (self.flows_disk + self.rollups_disk) / self.clickhouse_shards / (1 - MERGE_FREE)

    @property
    def clickhouse_cores(self):
        """Of each shard."""
        return self.flows / self.clickhouse_shards / FLOWS_PER_CORE

    @property
    def helios_cores(self):
        return self.flows * HELIOS_CPU_SECONDS_PER_FLOW

    @property
    def spool_hour(self):
        return self.flows * 3600 * SPOOL_OCTETS_PER_FLOW

    def rows(self):
        yield "devices, interfaces", f"{self.devices:,} x {self.interfaces}"
        yield "series", count(self.series)
        yield "samples/s", count(self.samples)
        yield "flows/s", count(self.flows)
        yield f"Prometheus: memory of each of {self.shards} shards", gib(self.prometheus_memory)
        yield "Prometheus: disk of each shard, 24 h", gib(self.prometheus_disk)
        yield "metrics a day, in the object storage", gb(self.metrics_day)
        yield "object storage: raw 14 d, 5 min 30 d, 1 h 90 d", gb(self.objects_disk)
        yield "Thanos compact: disk", gib(self.compact_disk)
        yield f"gnmic: memory of each of {self.gnmic}", gib(self.gnmic_memory)
        yield "flows a day", gb(self.flows_disk / self.flows_days)
        yield f"flows for {self.flows_days} d, rollups for {self.minutes_days} d and {self.hours_days} d", f"{gb(self.flows_disk)}, {gb(self.rollups_disk)}"
        yield f"ClickHouse: disk of each replica of {self.clickhouse_shards} shards, a third free", gib(self.clickhouse_disk)
        yield "ClickHouse: cores of each for inserts, half left for queries", f"{self.clickhouse_cores:.2f}"
        yield "helios run: cores in all", f"{self.helios_cores:.2f}"
        yield "spool: an hour without ClickHouse", gb(self.spool_hour)


# The largest network of each tier, with the numbers of its values file.
TIERS = {
    "small": Network(200, shards=1, replicas=1, clickhouse_shards=1, gnmic=2),
    "medium": Network(500, shards=2, replicas=2, clickhouse_shards=1, gnmic=3),
    "large": Network(2000, shards=4, replicas=2, clickhouse_shards=2, gnmic=5),
    "xl": Network(8000, shards=8, replicas=2, clickhouse_shards=4, gnmic=10),
}


def count(number):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def gb(octets):
    return f"{octets / 1e12:.2g} TB" if octets >= 1e12 else f"{octets / GB:.2g} GB" if octets < 100 * GB else f"{octets / GB:.0f} GB"


def gib(octets):
    return f"{octets / GIB:.1f} GiB" if octets < 10 * GIB else f"{math.ceil(octets / GIB)} GiB"


def tier_of(network):
    return next((name for name, tier in TIERS.items() if network.series <= tier.series and network.flows <= tier.flows), None)


def table():
    """Markdown: a column for each tier."""
    columns = [list(tier.rows()) for tier in TIERS.values()]
    lines = [f"| | {' | '.join(TIERS)} |", f"|---|{'---|' * len(TIERS)}"]
    for row in zip(*columns):
        name = row[0][0]
        for tier in (str(t.shards) for t in TIERS.values()):
            name = name.replace(f" of {tier} shards", " shard").replace("each of 2", "each")
        lines.append(f"| {name} | {' | '.join(value for _, value in row)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiers", action="store_true", help="the table of all tiers, in Markdown")
    for field in dataclasses.fields(Network):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float if field.name == "flows" else int,
                            default=None if field.default is dataclasses.MISSING else field.default)
    given = vars(parser.parse_args())
    if given.pop("tiers"):
        print(table())
        return
    if given["devices"] is None:
        parser.error("--devices is missing")
    if any(value is not None and value <= 0 for value in given.values()):
        parser.error("every number has to be above 0")
    network = Network(**given)
    tier = tier_of(network)
    if tier and given["shards"] == 1 and given["clickhouse_shards"] == 1:
        size = TIERS[tier]
        network = dataclasses.replace(network, shards=size.shards, replicas=size.replicas, clickhouse_shards=size.clickhouse_shards, gnmic=size.gnmic)
    print(f"tier: {tier}: chart/helios/values-{tier}.yaml" if tier else "tier: larger than xl: raise shards and replicas, or split the network over clusters")
    for name, value in network.rows():
        print(f"{value:>18}  {name}")


if __name__ == "__main__":
    main()
