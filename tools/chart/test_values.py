"""Values: every tier with every storage renders, no value is dead, misspelt and dangerous ones are refused."""

import unittest

import chart
import generate

# Where a value shows nothing with the defaults, it has to with one of these.
CONTEXTS = [
    ((), {}),
    ((), {"automation": {"enabled": False}}),
    ((), {"integration": {"enabled": False}}),
    (("medium", "storage-multi-dc"), {}),
    ((), {"flows": {"mode": "daemonset"}}),
    ((), {"flows": {"mode": "daemonset", "daemonset": {"takeover": False}}}),
    ((), {"global": {"clickhouse": {"mode": "external", "url": "https://clickhouse.example.net:8443"}}}),
    ((), {"global": {"clickhouse": {"url": "https://clickhouse.example.net:8443"}}}),
    ((), {"visualization": {"grafana": {"route": {"parentRefs": [{"name": "public"}]}}}}),
    ((), {"storage": {"objectStorage": {"provider": "external", "endpoint": "https://s3.example.net"}}}),
    ((), {"global": {"netbox": {"url": "https://netbox.example.net"}}, "integration": {"source": "netbox"}}),
    ((), {"visualization": {"grafana": {"ingress": {"enabled": True}, "route": {"enabled": True, "parentRefs": [{"name": "public"}]}}}}),
]
# Another value that is valid, where the type alone gives none.
OTHERS = {
    "global.checks": None,  # asks a cluster: `make test-kubernetes` tests it
    "global.clickhouse.mode": "external",
    "global.clickhouse.database": "flows",
    "global.clickhouse.url": "https://other.example.net:8443",
    "global.netbox.url": "https://other.example.net",
    "flows.mode": "deployment",
    "flows.ports": [{"name": "netflow", "port": 9995}],
    "flows.service.type": "NodePort",
    "flows.config": {"log": {"level": "debug"}},
    "flows.data": {"hostPath": {"path": "/var/lib/GeoIP"}},
    "flows.clickhouse.keeper.replicas": 5,
    "flows.clickhouse.replicas": 3,
    "storage.thanos.query.externalServiceType": "NodePort",
    "storage.thanos.globalQuery.endpoints": ["query.dc2.example.net:10901"],
    "storage.objectStorage.provider": "external",
    "storage.objectStorage.endpoint": "https://s3.example.net:9000",
    "visualization.grafana.route.parentRefs": [{"name": "other"}],
    "automation.deviceIdentity": "certificate",
    "automation.scriptImages": ["registry.example.net/checks:1.0"],
    "integration.source": None,  # its other value needs NetBox: `netbox_gives_names_and_targets`
    "integration.staticDevices": [{"name": "switch", "address": "192.0.2.10"}],
    "integration.targets": {"max_loss": 0.1},
    "global.affinity": {"nodeAffinity": {}},
    "global.network.connections": [{"from": "visualization/alertmanager", "to": "services", "ports": [8443]}],
    "global.network.dns.label": "dns=default",
    "global.network.dns.cidrs": [],
    "visualization.grafana.env": {"GF_AUTH_ANONYMOUS_ENABLED": "true"},
    "flows.service.externalTrafficPolicy": None,  # Local is the only one: `addresses_of_exporters_are_kept`
}


def other(path, value):
    """A valid value that differs."""
    name = ".".join(path)
    if name in OTHERS:
        return OTHERS[name]
    if path[-1] == "pod":
        return {"nodeSelector": {"disk": "fast"}}
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        rule = generate.rule(path)
        if rule is generate.CIDRS:
            return ["203.0.113.0/24"]
        if rule is generate.PORTS:
            return [12345]
        if rule.get("items", {}).get("type") != "object":
            return ["other"]
        return [{"name": "other"}] if name == "global.imagePullSecrets" else [{"key": "other", "operator": "Exists"}]
    if isinstance(value, dict):
        return {"example.net/other": "other"}
    if path[-1] == "digest":
        return "sha256:" + "0" * 64
    if path[-1] in ("cpu",):
        return "77m"
    if generate.rule(path) is generate.SIZE:
        return "77Gi"
    if generate.rule(path) is generate.DURATION:
        return "77h"
    if path[-1] == "schedule":
        return "*/7 * * * *"
    return f"{value}-other" if value else "other"


def marked(path, value, number):
    """A valid value that nothing else has; none for what has few valid values."""
    name, rule = ".".join(path), generate.rule(path)
    if name in OTHERS or not isinstance(value, str):
        return None
    if path[-1] == "digest":
        return f"sha256:{number:064d}"
    if path[-1] == "cpu":
        return f"{number}m"
    if rule is generate.SIZE:
        return f"{number}Gi"
    if rule is generate.DURATION:
        return f"{number}h"
    return f"mark{number}" if not rule or path[-1] == "tag" else None


def merge_deep(base, over):
    for key, value in over.items():
        base[key] = merge_deep(base.get(key, {}), value) if isinstance(value, dict) else value
    return base


def merge(base, over):
    merged = dict(base)
    for key, value in over.items():
        merged[key] = merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return merged


def numbers(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from numbers(value)
    elif isinstance(node, (int, float)):
        yield node


class Values(unittest.TestCase):
    def test_every_tier_with_every_storage_renders(self):
        for tier in chart.TIERS:
            for storage in chart.STORAGES:
                with self.subTest(tier=tier, storage=storage):
                    self.assertGreater(len(chart.objects(tier, f"storage-{storage}")), 90)

    def test_the_defaults_are_the_tier_small_in_a_single_datacenter(self):
        self.assertEqual(chart.text_of(), chart.text_of("small", "storage-single-dc"))

    def test_tiers_have_the_shards_and_replicas_that_their_names_promise(self):
        for tier, shards, gnmic, layout in (("small", 1, 2, (1, 1)), ("medium", 2, 3, (1, 2)), ("large", 4, 5, (2, 2)), ("xl", 8, 10, (4, 2))):
            by = {(o["kind"], o["metadata"]["name"]): o for o in chart.objects(tier)}
            self.assertEqual(by["Prometheus", "helios"]["spec"]["shards"], shards)
            self.assertEqual(by["StatefulSet", "gnmic"]["spec"]["replicas"], gnmic)
            rendered = by["ClickHouseInstallation", "helios"]["spec"]["configuration"]["clusters"][0]["layout"]
            self.assertEqual((rendered["shardsCount"], rendered["replicasCount"]), layout)

    def test_no_value_is_dead(self):
        values = list(chart.leaves(chart.default_values()))
        alone = self.shown_together(values) if values else []
        renderings, dead = {}, []
        for path, value in alone:
            changed = other(path, value)
            if changed is None:
                continue
            for at, (files, context) in enumerate(CONTEXTS):
                if at not in renderings:
                    renderings[at] = chart.template(*files, values=context)
                try:
                    text = chart.template(*files, values=merge(context, chart.nested(path, changed)))
                except chart.Refused as refused:
                    self.assertNotIn("don't meet the specifications", str(refused), f"{'.'.join(path)}: {changed!r}")
                    continue
                if text != renderings[at]:
                    break
            else:
                dead.append(".".join(path))
        self.assertEqual(dead, [])

    @staticmethod
    def shown_together(values):
        """Texts, sizes and times: one rendering with another mark in each. Returns those whose mark does not show, and all others."""
        alone = []
        # An image's digest hides its tag, so the two have renderings of their own.
        for digests in (False, True):
            marks, given = {}, {}
            for number, (path, value) in enumerate(values):
                mark = marked(path, value, 1000 + number)
                if (path[-1] == "digest") == digests and mark:
                    marks[path] = mark
                    given = merge_deep(given, chart.nested(path, mark))
                elif (path[-1] == "digest") == digests:
                    alone.append((path, value))
            text = chart.template(values=given)
            alone += [(path, dict(values)[path]) for path, mark in marks.items() if mark not in text]
        return alone

    def test_a_misspelt_key_is_refused_by_name(self):
        for path in ((), ("global",), ("global", "network"), ("flows",), ("storage", "thanos", "query"), ("visualization", "grafana")):
            with self.assertRaises(chart.Refused) as refused:
                chart.template(values=chart.nested((*path, "replicsa"), 2))
            self.assertIn("replicsa", str(refused.exception))

    def test_texts_that_look_like_numbers_stay_texts(self):
        everything = {"visualization": {"grafana": {"ingress": {"enabled": True}, "route": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
                      "storage": {"thanos": {"globalQuery": {"enabled": True}, "replicate": {"enabled": True}}}, "global": {"clickhouse": {"runbooks": True}}}
        digits, given = {}, {}
        for number, (path, value) in enumerate(chart.leaves(chart.default_values()), 900_000):
            if isinstance(value, str) and ".".join(path) not in OTHERS and (not generate.rule(path) or path[-1] == "tag") and path[-1] not in ("imageRegistry", "schedule"):
                digits[number] = ".".join(path)
                given = merge_deep(given, chart.nested(path, str(number)))
        self.assertGreater(len(digits), 50)
        netbox = {"flows": {"mode": "daemonset"}, "global": {"netbox": {"url": "https://netbox.example.net", "ca": True}}, "integration": {"source": "netbox"}}
        for context in (everything, merge(everything, netbox)):
            for o in chart.objects(values=merge(context, given)):
                lost = {digits[n] for n in numbers(o) if n in digits}
                self.assertEqual(lost, set(), f"{o['kind']} {o['metadata']['name']}: quote it")

    def test_sizes_have_any_unit_of_kubernetes(self):
        for size, ninety in (("50Gi", "46080MB"), ("500G", "429153MB"), ("1.5Ti", "1415577MB")):
            prometheus = next(o for o in chart.objects(values={"storage": {"prometheus": {"volumeSize": size}}}) if o["kind"] == "Prometheus")
            self.assertEqual(prometheus["spec"]["retentionSize"], ninety)

    def test_resources_can_be_taken_away_and_added(self):
        def resources(value):
            rendered = chart.objects(values={"flows": {"resources": value}})
            return next(pod for o, pod in chart.pod_specs(rendered) if o["metadata"]["name"] == "helios" and o["kind"] == "StatefulSet")["spec"]["containers"][0]["resources"]
        self.assertEqual(resources({"limits": None}), {"requests": {"cpu": "250m", "memory": "512Mi"}})
        self.assertEqual(resources({"requests": {"cpu": 0.5, "memory": None}, "limits": {"cpu": 2, "ephemeral-storage": "1Gi"}}),
                         {"requests": {"cpu": 0.5}, "limits": {"cpu": 2, "memory": "1536Mi", "ephemeral-storage": "1Gi"}})

    def test_dashboards_and_grants_follow_the_databases_name(self):
        text = chart.template(values={"global": {"clickhouse": {"database": "netflow"}}})
        self.assertIn("FROM netflow.flows", text)
        self.assertNotRegex(text, r"(FROM|ON) helios\.")

    def test_what_cannot_work_is_refused_with_a_reason(self):
        for values, said in (
            ({"flows": {"service": {"externalTrafficPolicy": "Cluster"}}}, "source address"),
            ({"integration": {"source": "netbox"}}, "global.netbox.url is not set"),
            ({"global": {"clickhouse": {"mode": "external"}}}, "global.clickhouse.url is not set"),
            ({"flows": {"clickhouse": {"replicas": 2}}}, "needs Keeper"),
            ({"global": {"namespaces": {"storage": "helios-flows"}}}, "a namespace twice"),
            ({"global": {"namespaces": {"storage": "helios-system"}}}, "a namespace of its own"),
            ({"flows": {"retentionDays": {"flows": -1}}}, "retentionDays"),
            ({"visualization": {"grafana": {"route": {"enabled": True}}}}, "parentRefs"),
            ({"flows": {"image": {"tag": "latest"}}}, "tag"),
            ({"flows": {"image": {"digest": "sha256:1"}}}, "digest"),
            ({"global": {"network": {"deviceCidrs": []}}}, "deviceCidrs"),
            ({"global": {"network": {"connections": [{"from": "grafana", "to": "services", "ports": [389]}]}}}, "connections"),
            ({"global": {"namespaces": {"flows": "Flows"}}}, "namespaces/flows"),
            ({"flows": {"pod": {"hostPID": True}}}, "hostPID"),
            ({"flows": {"resources": {"limits": {"memroy": "1Gi"}}}}, "memroy"),
        ):
            with self.subTest(said=said), self.assertRaises(chart.Refused) as refused:
                chart.template(values=values)
            self.assertIn(said, str(refused.exception))

    def test_generated_files_are_up_to_date(self):
        for path, content in generate.files():
            self.assertEqual(path.read_text(), content, f"{path}: run tools/chart/generate.py")

    def test_every_value_is_described(self):
        said = generate.descriptions()
        for path, _ in chart.leaves(chart.default_values()):
            around = [path[:n] for n in range(1, len(path) + 1)]
            self.assertTrue(any(said.get(p) for p in around[1:]) or {"enabled", "image", "replicas", "resources", "pod"} & set(path), ".".join(path))


if __name__ == "__main__":
    unittest.main()
