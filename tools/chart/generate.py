#!/usr/bin/env python3
"""Writes what follows from chart/helios/values.yaml: values.schema.json, and the tables of README.md.

    tools/chart/generate.py [--check]      --check writes nothing and fails where a file is not up to date

The schema has the keys and types of values.yaml and nothing else, so a misspelt key is refused. What a type cannot say
(allowed words, patterns) is in RULES. The description of a value is the comment above its key.
"""

import json
import re
import sys

import chart

# Sizes and times as Kubernetes and Prometheus write them.
SIZE = {"pattern": r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"}
DURATION = {"pattern": r"^([0-9]+(ms|s|m|h|d|w|y))+$"}
CIDRS = {"items": {"type": "string", "pattern": r"^[0-9a-fA-F:.]+/[0-9]+$"}, "minItems": 1}
PORTS = {"items": {"type": "integer", "minimum": 1, "maximum": 65535}, "minItems": 1}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
CPU = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+|m)?$"}
# Null takes away what values.yaml has: a limit of memory, or all of them.
RESOURCES = {"type": ["object", "null"], "additionalProperties": False, "properties": {
    "cpu": {**CPU, "type": ["string", "number", "null"]}, "memory": {**SIZE, "type": ["string", "null"]}, "ephemeral-storage": {**SIZE, "type": ["string", "null"]}}}
# Begins with a letter: YAML would read digits alone as a number.
NAMESPACE = {"pattern": "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"}
END = {"type": "string", "pattern": "^(devices|services|nodes|api|cluster|(cluster|flows|collection|storage|visualization|integration|automation)/[a-z0-9][a-z0-9.-]*)$"}
# By the path's end, the most special first: the longest that fits is taken.
RULES = {
    "cpu": CPU,
    "memory": SIZE,
    "requests": RESOURCES, "limits": RESOURCES,
    "pod": {"properties": {"nodeSelector": STRINGS, "tolerations": OBJECTS, "affinity": {"type": "object"}, "priorityClassName": {"type": "string"},
                           "topologySpreadConstraints": OBJECTS}, "additionalProperties": False},
    "volumeSize": SIZE,
    "size": SIZE,
    "retention": DURATION,
    "scrapeInterval": DURATION, "snmpInterval": DURATION, "probeInterval": DURATION,
    "raw": DURATION, "fiveMinutes": DURATION, "oneHour": DURATION,
    "replicas": {"minimum": 0, "maximum": 1000},
    "shards": {"minimum": 1, "maximum": 1000},
    "targetParts": {"minimum": 1, "maximum": 256},
    "gnmic.replicas": {"minimum": 1, "maximum": 256},
    "keeper.replicas": {"enum": [0, 3, 5]},
    "digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "tag": {"not": {"const": "latest"}},
    "annotations": STRINGS, "accountAnnotations": STRINGS, "global.nodeSelector": STRINGS,
    "global.imagePullSecrets": {"items": {"type": "object", "required": ["name"], "additionalProperties": False, "properties": {"name": {"type": "string"}}}},
    "global.tolerations": OBJECTS, "global.affinity": {},
    **{f"namespaces.{part}": NAMESPACE for part in ("flows", "collection", "storage", "visualization", "integration", "automation")},
    "network.connections": {"items": {"type": "object", "required": ["from", "to", "ports"], "additionalProperties": False, "properties": {
        "from": END, "to": END, "ports": {"type": "array", "items": {"type": ["integer", "string"], "pattern": "^[0-9]+(/(TCP|UDP|SCTP))?$"}}}}},
    "dns.ports": PORTS, "dns.cidrs": {**CIDRS, "minItems": 0}, "dns.label": {"pattern": "^([^ =]+=[^ =]*)?$"}, "dns.namespace": NAMESPACE,
    "grafana.env": {"propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, **STRINGS},
    "deviceCidrs": CIDRS, "serviceCidrs": CIDRS, "nodeCidrs": CIDRS,
    "apiServerPorts": PORTS, "gnmic.ports": PORTS,
    "global.clickhouse.mode": {"enum": ["operator", "external"]},
    "global.clickhouse.url": {"pattern": "^(https?://[^/ ]+/?)?$"},
    "global.netbox.url": {"pattern": "^(https?://[^ ]+)?$"},
    "global.clickhouse.database": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    "flows.mode": {"enum": ["statefulset", "deployment", "daemonset"]},
    "flows.ports": {"minItems": 1, "items": {"type": "object", "required": ["name", "port"], "additionalProperties": False, "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9-]{1,15}$"}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "nodePort": {"type": "integer", "minimum": 1, "maximum": 65535}}}},
    "flows.service.type": {"enum": ["LoadBalancer", "NodePort"]},
    "service.affinitySeconds": {"minimum": 1, "maximum": 86400},
    "shutdownTimeoutMs": {"minimum": 1000, "maximum": 600000},
    "externalServiceType": {"enum": ["", "LoadBalancer", "NodePort", "ClusterIP"]},
    "provider": {"enum": ["bundled", "external"]},
    "globalQuery.endpoints": {"items": {"type": "string", "pattern": "^[^ ]+:[0-9]+$"}},
    "route.parentRefs": OBJECTS,
    "automation.deviceIdentity": {"enum": ["hostname", "certificate"]},
    "automation.scriptImages": {"items": {"type": "string", "pattern": "^[^ ]+(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})$"}},
    "integration.source": {"enum": ["static", "netbox"]},
    "staticDevices": {"items": {"type": "object", "required": ["name", "address"]}},
    "flows.config": {}, "integration.targets": {}, "flows.data": {},
}
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def rule(path):
    name = ".".join(path)
    fitting = [end for end in RULES if name == end or name.endswith("." + end)]
    return RULES[max(fitting, key=len)] if fitting else {}


def schema(value, path=()):
    # No number of the chart may be negative.
    own = {"type": TYPES[type(value)], **({"minimum": 0} if TYPES[type(value)] == "integer" else {}), **rule(path)}
    if isinstance(value, dict) and value:
        own["additionalProperties"] = False
        own["properties"] = {**own.get("properties", {}), **({} if rule(path) is RESOURCES else {key: schema(v, (*path, key)) for key, v in value.items()})}
        if not path or len(path) == 1:
            # Helm hands `global` to every sub-chart, and the parent's schema sees its sub-charts' values.
            own["properties"].setdefault("global", {"type": "object"})
    elif value == [] and "items" not in own:
        own["items"] = {"type": "string"}
    return own


def whole_schema():
    values = chart.default_values()
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart helios", **schema(values)}


def descriptions():
    """Path -> comment above the key; a key without one has that of its neighbours' group, or none."""
    found, stack, comment = {}, [], []
    for line in (chart.CHART / "values.yaml").read_text().splitlines():
        if line.strip().startswith("#"):
            comment.append(line.strip().lstrip("# "))
            continue
        key = re.match(r"^( *)([A-Za-z0-9_]+):", line)
        if key:
            depth = len(key[1]) // 2
            stack = [*stack[:depth], key[2]]
            found[tuple(stack)] = " ".join(comment)
        comment = []
    return found


def table():
    """The tables of README.md, one for each part."""
    said = descriptions()
    lines = []
    for part, values in chart.default_values().items():
        lines += [f"### {part}", "", said[(part,)], "", "| value | default | |", "|---|---|---|"]
        group = None
        for path, value in chart.leaves(values, (part,)):
            text = said.get(path, "")
            for end in range(2, len(path)):
                # What is said about a group stands at its first key.
                if said.get(path[:end]) and path[:end] != group and (group is None or group[:end] != path[:end]):
                    text, group = f"{said[path[:end]]} {text}".strip(), path[:end]
            shown = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
            lines.append(f"| `{'.'.join(path)}` | `{shown}` | {text.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


def connections():
    """Who connects to whom, from the rendered policies of the largest set of parts."""
    rendered = chart.objects("medium", "storage-multi-dc", values={"global": {"netbox": {"url": "https://netbox.example.net"}, "clickhouse": {"runbooks": True}}, "integration": {"source": "netbox"}})
    lines = ["| pod | namespace | accepts from | connects to |", "|---|---|---|---|"]
    for policy in rendered:
        if policy["kind"] != "NetworkPolicy" or policy["metadata"]["name"] == "helios-default":
            continue
        sides = []
        for side, far in (("ingress", "from"), ("egress", "to")):
            sides.append("<br>".join(f"{peer(hole.get(far, []))}: {ports(hole)}" for hole in policy["spec"][side] or []) or "-")
        lines.append(f"| {policy['metadata']['name']} | {policy['metadata']['namespace']} | {sides[0]} | {sides[1]} |")
    return "\n".join(lines)


def peer(peers):
    first = peers[0]
    if "ipBlock" in first:
        cidrs = [p["ipBlock"]["cidr"] for p in peers]
        network = chart.default_values()["global"]["network"]
        names = [name for name in ("deviceCidrs", "serviceCidrs", "nodeCidrs") if network[name] == cidrs]
        return f"`{names[0]}`" if names else ", ".join(cidrs)
    labels = first.get("podSelector", {}).get("matchLabels")
    return labels["app.kubernetes.io/name"] if labels else "any pod"


def ports(hole):
    return ", ".join(f"{p['port']}/{p['protocol']}" for p in hole.get("ports", [])) or "all"


def readme():
    path = chart.CHART / "README.md"
    text = path.read_text()
    for name, content in (("values", table()), ("connections", connections())):
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, rest = text.split(start)
        text = head + start + "\n" + content + "\n" + end + rest.split(end)[1]
    return path, text


def files():
    yield chart.CHART / "values.schema.json", json.dumps(whole_schema(), indent=1, ensure_ascii=False) + "\n"
    yield readme()


def main():
    stale = 0
    for path, content in files():
        if path.exists() and path.read_text() == content:
            continue
        if "--check" in sys.argv:
            stale += 1
            print(f"{path.relative_to(chart.ROOT)} is not up to date: run tools/chart/generate.py", file=sys.stderr)
        else:
            path.write_text(content)
            print(f"wrote {path.relative_to(chart.ROOT)}")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
