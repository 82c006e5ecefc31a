"""Sizes: every tier's values hold what tools/sizing.py computes for its largest network, and docs/sizing.md has the same table."""

import re
import sys
import unittest

import chart

sys.path.insert(0, str(chart.ROOT / "tools"))
import sizing

UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def octets(size):
    number, unit = re.fullmatch(r"([0-9.]+)([KMGT]i)", size).groups()
    return float(number) * UNITS[unit]


class Sizing(unittest.TestCase):
    def test_tiers_hold_their_largest_network(self):
        for name, network in sizing.TIERS.items():
            by = {(o["kind"], o["metadata"]["name"]): o["spec"] for o in chart.objects(name) if "spec" in o}

            def claim(kind, of):
                return octets(by[kind, of]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])

            prometheus = by["Prometheus", "helios"]
            clickhouse = by["ClickHouseInstallation", "helios"]
            gnmic = by["StatefulSet", "gnmic"]
            holds = {
                "shards": (prometheus["shards"], network.shards),
                "replicas": (prometheus["replicas"], network.replicas),
                "Prometheus: memory": (octets(prometheus["resources"]["requests"]["memory"]), network.prometheus_memory),
                "Prometheus: disk": (octets(prometheus["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]), network.prometheus_disk),
                "objects": (claim("StatefulSet", "seaweedfs"), network.objects_disk),
                "compact": (claim("StatefulSet", "thanos-compact"), network.compact_disk),
                "ClickHouse: disk": (octets(clickhouse["templates"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]), network.clickhouse_disk),
                "ClickHouse: cores": (float(clickhouse["templates"]["podTemplates"][0]["spec"]["containers"][0]["resources"]["requests"]["cpu"]), network.clickhouse_cores),
                "gnmic: memory": (octets(gnmic["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"]), network.gnmic_memory),
                "an hour of spool": (claim("StatefulSet", "helios") * by["StatefulSet", "helios"]["replicas"], network.spool_hour),
            }
            for what, (has, needs) in holds.items():
                with self.subTest(tier=name, what=what):
                    self.assertGreaterEqual(has, needs)
                    # No tier asks for several times what it needs, small ones for the least that is worth a volume.
                    if what in ("objects", "compact", "ClickHouse: disk"):
                        self.assertLessEqual(has, 1.6 * needs)

    def test_the_spool_leaves_room_on_its_volume(self):
        for name in chart.TIERS:
            values = chart.objects(name)
            config = next(o for o in values if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "helios")["data"]["helios.yaml"]
            volume = next(o for o in values if o["kind"] == "StatefulSet" and o["metadata"]["name"] == "helios")["spec"]["volumeClaimTemplates"][0]
            # spool.min_free_bytes, 1 GiB, and the state files.
            limit = int(re.search(r"max_bytes: (\d+)", config)[1])
            self.assertLess(limit + 2 * 2**30, octets(volume["spec"]["resources"]["requests"]["storage"]), name)

    def test_the_page_has_the_table(self):
        self.assertIn(sizing.table(), (chart.ROOT / "docs/sizing.md").read_text(), "docs/sizing.md: paste tools/sizing.py --tiers")

    def test_every_table_has_a_size_and_a_retention_that_helios_knows(self):
        # docs/configuration.md is written from the configuration's own struct.
        text = (chart.ROOT / "docs/configuration.md").read_text()
        known = {table: int(days) for table, days in re.findall(r"### `clickhouse\.retention_days\.(\w+)`\n\n[^\n]*default `(\d+)`", text)}
        self.assertGreater(len(known), 5)
        self.assertEqual(chart.default_values()["flows"]["retentionDays"], known)
        self.assertEqual(set(sizing.TABLES), set(known))
        for table, (_, field) in sizing.TABLES.items():
            self.assertEqual(getattr(sizing.Network(1), field), known[table], table)

    def test_a_network_gets_the_smallest_tier_that_holds_it(self):
        self.assertEqual(sizing.tier_of(sizing.Network(50)), "small")
        self.assertEqual(sizing.tier_of(sizing.Network(201)), "medium")
        self.assertEqual(sizing.tier_of(sizing.Network(50, flows=30_000)), "large")
        self.assertIsNone(sizing.tier_of(sizing.Network(9000)))

    def test_sums_by_hand(self):
        network = sizing.Network(100, interfaces=10, flows=1000)
        self.assertEqual(network.series, 100 * (10 * 33 + 200))
        self.assertAlmostEqual(network.flows_disk, 1000 * 86400 * 7 * 21.5)


if __name__ == "__main__":
    unittest.main()
