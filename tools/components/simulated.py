"""The simulated devices of check.py: helios-practice runs them, `helios targets` makes their targets from its NetBox.

Each device is asked by gNMI and by SNMP, so every recorded series of it exists twice and has to be the same. One has the
native model of SR Linux beside OpenConfig, one the address ::1 alone.
"""

import json
import os
import pathlib
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug"
HELIOS = os.environ.get("HELIOS") or str(TARGET / "helios")
PRACTICE = os.environ.get("HELIOS_PRACTICE") or str(TARGET / "helios-practice")
USER, PASSWORD = "practice", "practice-password"
# The community of the auth helios_v2c in collectors/snmp/auths.example.yml.
COMMUNITY = "change-me"
SNMP_MODULES = ["system", "if_mib", "host_resources", "bgp4_mib", "entity_sensor"]
# Where every 25th packet arrives damaged: device and interface of each model.
DAMAGED = [("openconfig-1", "Ethernet3"), ("native-1", "ethernet-1/3"), ("ipv6-1", "Ethernet3")]

SERIES = (
    "helios:if_in_bits:rate5m", "helios:if_out_bits:rate5m", "helios:if_in_packets:rate5m", "helios:if_out_packets:rate5m",
    "helios:if_in_errors:rate5m", "helios:if_out_errors:rate5m", "helios:if_in_discards:rate5m", "helios:if_out_discards:rate5m",
    "helios:if_in_error_ratio:rate5m", "helios:if_out_error_ratio:rate5m", "helios:if_speed_bits",
    "helios:if_in_utilization:ratio5m", "helios:if_out_utilization:ratio5m", "helios:if_oper_up", "helios:if_admin_up",
    "helios:bgp_session_state", "helios:bgp_established_transitions", "helios:cpu_utilization:ratio",
    "helios:memory_utilization:ratio", "helios:uptime_seconds", "helios:temperature_celsius",
)
# Share by which values may differ: both collectors ask at times of their own, and traffic and processors change meanwhile.
TOLERANCE = {name: 0.05 for name in SERIES} | {"helios:cpu_utilization:ratio": 0.1, "helios:memory_utilization:ratio": 0.01}


def network(octet):
    """Four devices in a ring; offices behind three of them, transit behind the fourth."""
    def device(at, name, platform, manufacturer, address, port, edge):
        links = [f"10.255.0.{2 * at}", f"10.255.0.{2 * ((at - 1) % 4) + 1}"]
        interfaces = [{"name": port.format(n + 1), "speed_mbps": 10_000, "description": f"ring {n}", "address": links[n]} for n in (0, 1)]
        behind = {"name": port.format(3), "speed_mbps": 1_000, "description": "outside", "address": edge["network"][:-1] + "1", "edge": edge}
        return {"name": name, "site": "Lab", "role": "Edge", "platform": platform, "manufacturer": manufacturer, "address": address,
                "asn": 65_001 + at, "interfaces": [*interfaces, behind]}

    def office(at):
        return {"network": f"10.20.{at}.0", "asn": 65_001 + at}
    devices = [
        device(0, "openconfig-1", "eos", "Arista", f"127.{octet}.0.1", "Ethernet{}", office(0)),
        device(1, "snmp-1", "ios-xe", "Cisco", f"127.{octet}.0.2", "GigabitEthernet1/0/{}", office(1)),
        device(2, "native-1", "srlinux", "Nokia", f"127.{octet}.0.3", "ethernet-1/{}", {"network": "198.51.100.0", "asn": 64_496}),
        device(3, "ipv6-1", "eos", "Arista", "::1", "Ethernet{}", office(3)),
    ]

    def end(at, n):
        return {"device": devices[at % 4]["name"], "interface": devices[at % 4]["interfaces"][n]["name"]}
    return {"sites": [{"name": "Lab", "region": "Europe", "tenant": "Acme"}], "devices": devices,
            "links": [{"a": end(at, 0), "b": end(at + 1, 1)} for at in range(4)]}


def profiles(practice, authority):
    """OpenConfig for all but SR Linux; SNMPv2c and probes of all."""
    tls = {"mode": "verify", "ca_file": str(authority)}
    gnmi = {"port": practice["gnmi_port"], "tls": tls, "username_variable": "PRACTICE_USER", "password_variable": "PRACTICE_PASSWORD"}
    shared = {"snmp": {"port": practice["snmp_port"], "modules": SNMP_MODULES, "auth": "helios_v2c"},
              "probes": {"icmp": True, "tcp": [practice["gnmi_port"]]}}
    native = ["srl_interfaces", "srl_bgp", "srl_system", "srl_platform"]
    openconfig = ["interfaces", "bgp", "system", "platform", "lldp"]
    return [{"name": "native", "match": {"platforms": ["srlinux"]}, "gnmi": {**gnmi, "subscriptions": native}, **shared},
            {"name": "openconfig", "gnmi": {**gnmi, "subscriptions": openconfig}, **shared}]


def damage(control):
    for device, interface in DAMAGED:
        body = json.dumps({"fault": "errors", "device": device, "interface": interface, "undo": False}).encode()
        request = urllib.request.Request(control + "/api/faults", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


def by_collector(query, name, device):
    """The values of a device's series, by collector and by what tells its series apart."""
    found = {}
    for labels, value in query(f'{name}{{device="{device}"}}'):
        key = labels.get("interface") or labels.get("peer") or ""
        found.setdefault(labels["collector"], {})[key] = value
    return found


def differs(a, b, tolerance):
    return abs(a - b) > tolerance * max(abs(a), abs(b))


def difference(query):
    """What the two collectors of a simulated device do not agree on yet; empty when they agree on everything."""
    missing = []
    for device in network(0)["devices"]:
        for name in SERIES:
            found = by_collector(query, name, device["name"])
            gnmi, snmp = found.get("gnmi", {}), found.get("snmp", {})
            if not gnmi or gnmi.keys() != snmp.keys():
                missing.append(f"{device['name']} {name}: gnmi {sorted(gnmi)}, snmp {sorted(snmp)}")
                continue
            apart = [key for key in gnmi if differs(gnmi[key], snmp[key], TOLERANCE[name])]
            missing += [f"{device['name']} {name} {key}: gnmi {gnmi[key]:g}, snmp {snmp[key]:g}" for key in apart]
        for probe in ("helios:device_up", 'max by (device) (probe_success{job="helios-tcp"})'):
            values = [value for labels, value in query(probe) if labels["device"] == device["name"]]
            if values != [1]:
                missing.append(f"{device['name']} {probe}: {values}")
    return missing


def damaged(query):
    """Interfaces with damaged packets of which not both collectors see up to 4 per cent yet."""
    missing = []
    for device, interface in DAMAGED:
        ratios = {collector: values.get(interface, 0) for collector, values in by_collector(query, "helios:if_in_error_ratio:rate5m", device).items()}
        if any(not 0.01 < ratios.get(collector, 0) < 0.05 for collector in ("gnmi", "snmp")):
            missing.append(f"{device} {interface}: {ratios}")
    return missing


def report(query):
    """Prints what both collectors give of one interface of each device, and of its health."""
    for device in network(0)["devices"]:
        first = device["interfaces"][0]["name"]
        for name in SERIES:
            found = by_collector(query, name, device["name"])
            keys = [first] if first in found["gnmi"] else sorted(found["gnmi"])[:1]
            for key in keys:
                print(f"{device['name']:<13} {name:<34} {key:<24} gnmi {found['gnmi'][key]:<14g} snmp {found['snmp'][key]:g}")
