#!/usr/bin/env python3
"""Runs the collectors with the configurations of collectors/, all on loopback, and holds the recording rules against
what they scrape.

    check.py [--keep DIRECTORY]

Every device is asked by both collectors, gnmic and snmp_exporter; Prometheus evaluates alerts/recording.yaml, and each series
that both give has to be the same. One device is this machine: its SNMP agent is the real snmpd (SNMPv3), its gNMI target
serves the same counters of the kernel's interface `lo` on OpenConfig paths. The others are simulated (simulated.py): SNMPv2c,
OpenConfig and SR Linux's native model over TLS, IPv4 and IPv6. `helios targets` makes the targets of all of them. Needs what
tools/components/install.sh installs, the programs helios and helios-practice, and the Python packages grpcio and pygnmi.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from concurrent import futures

import grpc
from pygnmi.spec.v080 import gnmi_pb2, gnmi_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import simulated  # noqa: E402
from processes import Processes, component, free_port, get  # noqa: E402

DEADLINE_S = 420
LABELS = {"device": "edge-1", "site": "Zürich $HOME", "region": "Europe", "role": "Edge", "platform": "eos", "tenant": "Acme"}
MEMORY_BYTES = 8 << 30


def counter(name):
    return int(pathlib.Path(f"/sys/class/net/lo/statistics/{name}").read_text())


def leaves():
    """Path and value of what the target says, as JSON (IETF) has them: 64-bit numbers are text, identities have a module."""
    interface = "interfaces/interface[name=lo]/state"
    neighbor = ("network-instances/network-instance[name=default]/protocols/protocol[identifier=BGP][name=bgp]"
                "/bgp/neighbors/neighbor[neighbor-address=192.0.2.2]/state")
    return {
        f"{interface}/counters": {
            "openconfig-interfaces:in-octets": str(counter("rx_bytes")),
            "openconfig-interfaces:out-octets": str(counter("tx_bytes")),
            "openconfig-interfaces:in-unicast-pkts": str(counter("rx_packets")),
            "openconfig-interfaces:out-unicast-pkts": str(counter("tx_packets")),
            "openconfig-interfaces:in-errors": str(counter("rx_errors")),
            "openconfig-interfaces:out-errors": str(counter("tx_errors")),
            "openconfig-interfaces:in-discards": str(counter("rx_dropped")),
            "openconfig-interfaces:out-discards": str(counter("tx_dropped")),
        },
        f"{interface}/oper-status": "UP",
        f"{interface}/admin-status": "UP",
        "interfaces/interface[name=lo]/ethernet/state/port-speed": "openconfig-if-ethernet:SPEED_10MB",
        f"{neighbor}/session-state": "ESTABLISHED",
        f"{neighbor}/established-transitions": "3",
        "system/cpus/cpu[index=ALL]/state/total": {"openconfig-system:instant": 25},
        "system/memory/state": {"openconfig-system:physical": str(MEMORY_BYTES), "openconfig-system:used": str(MEMORY_BYTES // 4)},
        "system/state/boot-time": str(int((time.time() - 1000) * 1e9)),
        "components/component[name=CPU0]/state/temperature": {"openconfig-platform:instant": "41.5"},
    }


def path_of(text):
    path = gnmi_pb2.Path()
    for part in text.split("/"):
        name, *keys = part.split("[")
        element = path.elem.add(name=name)
        for key in keys:
            key, value = key.rstrip("]").split("=")
            element.key[key] = value
    return path


def asks_for(subscribed, path):
    names = [element.name for element in path.elem]
    wanted = [element.name for element in subscribed.elem]
    return names[: len(wanted)] == wanted or wanted[: len(names)] == names


class Target(gnmi_pb2_grpc.gNMIServicer):
    """A gNMI target that samples once a second whatever was asked for."""

    def Capabilities(self, request, context):
        return gnmi_pb2.CapabilityResponse(supported_encodings=[gnmi_pb2.JSON_IETF], gNMI_version="0.8.0")

    def Subscribe(self, requests, context):
        if dict(context.invocation_metadata()).get("username") != "collector":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong user")
        subscribed = [entry.path for entry in next(requests).subscribe.subscription]
        while context.is_active():
            notification = gnmi_pb2.Notification(timestamp=time.time_ns())
            for text, value in leaves().items():
                path = path_of(text)
                if any(asks_for(wanted, path) for wanted in subscribed):
                    value = gnmi_pb2.TypedValue(json_ietf_val=json.dumps(value).encode())
                    notification.update.append(gnmi_pb2.Update(path=path, val=value))
            yield gnmi_pb2.SubscribeResponse(update=notification)
            time.sleep(1)


def start_target():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    gnmi_pb2_grpc.add_gNMIServicer_to_server(Target(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


BGP_AGENT = """#!/bin/sh
# One row of BGP4-MIB's bgpPeerTable, in the protocol of snmpd's `pass`.
base=.1.3.6.1.2.1.15.3.1
rows="2:integer:6 3:integer:2 9:integer:64501 10:counter:7 11:counter:8 15:counter:3 16:gauge:900"
answer() { echo "$base.$1.192.0.2.2"; echo "$2"; echo "$3"; exit 0; }
for row in $rows; do
    column=${row%%:*} rest=${row#*:}
    case "$1" in
    -g) [ "$2" = "$base.$column.192.0.2.2" ] && answer "$column" "${rest%%:*}" "${rest#*:}" ;;
    -n) # The first row behind the object that was asked for.
        asked=${2#"$base"} asked=${asked#.} asked=${asked%%.*}
        case "$2" in "$base".*.192.0.2.2) [ "$column" -gt "$asked" ] ;; *) [ "$column" -ge "${asked:-0}" ] ;; esac &&
            answer "$column" "${rest%%:*}" "${rest#*:}" ;;
    esac
done
"""


def targets(lab, practice, gnmi_port, snmp_port):
    """Lets `helios targets` make the targets: the simulated devices from their NetBox, this machine from a file."""
    static = {key: value for key, value in LABELS.items() if key != "device"}
    lab.write("devices.yaml", json.dumps({"devices": [{"name": LABELS["device"], "address": "127.0.0.1", **static}]}))
    kernel = {
        "name": "kernel", "match": {"sites": [LABELS["site"]]},
        "gnmi": {"port": gnmi_port, "subscriptions": ["interfaces", "bgp", "system", "platform"], "tls": {"mode": "off"},
                 "username_variable": "GNMIC_USER_EDGE", "password_variable": "GNMIC_PW_EDGE"},
        "snmp": {"port": snmp_port, "modules": ["system", "if_mib", "host_resources", "bgp4_mib"], "auth": "helios_v3"}}
    token = lab.write("netbox-token", practice["netbox_token"])
    config = {
        "netbox": {"url": practice["netbox"], "token_file": str(token)},
        # Without overlaps a device is asked by both collectors for the same.
        "targets": {"directory": str(lab.folder), "static_file": str(lab.folder / "devices.yaml"), "overlaps": [],
                    "profiles": [kernel, *simulated.profiles(practice, lab.folder / "ca.pem")]}}
    command = [simulated.HELIOS, "targets", "--config", lab.write("helios.yaml", json.dumps(config))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode:
        sys.exit("check: helios targets failed")


def prometheus_config(fast, slow, snmp, blackbox):
    def proxied(job, path, file, port):
        return {"job_name": job, "metrics_path": path, "file_sd_configs": [{"files": [file]}], "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"127.0.0.1:{port}"}]}
    gnmic = {"job_name": "helios-gnmic", "honor_timestamps": False,
             "static_configs": [{"targets": [f"127.0.0.1:{fast}", f"127.0.0.1:{slow}"]}]}
    return json.dumps({
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"}, "rule_files": ["alerts/*.yaml"],
        "scrape_configs": [gnmic, proxied("helios-snmp", "/snmp", "snmp.json", snmp),
                           proxied("helios-icmp", "/probe", "icmp.json", blackbox), proxied("helios-tcp", "/probe", "tcp.json", blackbox)]})


# Series, and whether both collectors have to give the same: a number is the share by which they may differ.
EXPECTED = {
    "helios:if_in_bits:rate5m": 0.25, "helios:if_out_bits:rate5m": 0.25,
    "helios:if_in_packets:rate5m": 0.25, "helios:if_out_packets:rate5m": 0.25,
    "helios:if_in_errors:rate5m": 0, "helios:if_out_discards:rate5m": 0, "helios:if_in_error_ratio:rate5m": 0,
    "helios:if_speed_bits": 0, "helios:if_in_utilization:ratio5m": 0.25,
    "helios:if_oper_up": 0, "helios:if_admin_up": 0,
    "helios:bgp_session_state": 0, "helios:bgp_established_transitions": 0,
    "helios:cpu_utilization:ratio": None, "helios:memory_utilization:ratio": None, "helios:uptime_seconds": None,
}
ALONE = {"helios:temperature_celsius": 41.5, "helios:device_up": 1, "helios:rtt_seconds": None}


def difference(query):
    """What is not yet as it has to be; empty when all is."""
    missing = []
    for name, tolerance in EXPECTED.items():
        by_collector = {}
        for labels, value in query(f'{name}{{device="{LABELS["device"]}"}}'):
            if labels.get("interface", "lo") == "lo":
                shared = {key: labels.get(key) for key in (*LABELS, "interface", "peer")}
                by_collector[labels.get("collector")] = (shared, value)
        if set(by_collector) != {"gnmi", "snmp"}:
            missing.append(f"{name}: only from {sorted(map(str, by_collector))}")
            continue
        (one, a), (two, b) = by_collector["gnmi"], by_collector["snmp"]
        if one != two or any(one[key] != value for key, value in LABELS.items()):
            missing.append(f"{name}: labels differ: {one} {two}")
        elif tolerance is not None and abs(a - b) > tolerance * max(abs(a), abs(b)):
            missing.append(f"{name}: gnmi {a}, snmp {b}")
    for name, expected in ALONE.items():
        values = [value for _, value in query(f'{name}{{device="{LABELS["device"]}"}}')]
        if len(values) != 1 or (expected is not None and values != [expected]):
            missing.append(f"{name}: {values}")
    return missing


def rules_that_fail(groups):
    """Rules that Prometheus could not evaluate on what it has scraped, or that it has not evaluated yet."""
    rules = [rule for group in groups for rule in group["rules"]]
    return [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]


def start_practice(lab):
    network = lab.write("described.yaml", json.dumps(simulated.network(170 + os.getpid() % 80)))
    lab.start("practice", simulated.PRACTICE, "--folder", lab.folder, "--network", network, "--gnmi-port", free_port(), "--snmp-port", free_port(socket.SOCK_DGRAM),
              "--collector", f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", "--user", simulated.USER,
              PRACTICE_PASSWORD=simulated.PASSWORD, PRACTICE_COMMUNITY=simulated.COMMUNITY)
    lab.wait_for("the start of the simulated devices", (lab.folder / "practice.json").exists)
    return json.loads((lab.folder / "practice.json").read_text())


def wait_for(lab, missing):
    """Returns when nothing is missing any more."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        lab.look()
        try:
            left = missing()
        except OSError as error:
            left = [str(error)]
        if not left:
            return
        if time.monotonic() > deadline:
            sys.exit("check: after {} s:\n  {}".format(DEADLINE_S, "\n  ".join(left)))
        threading.Event().wait(1)  # between two questions whether the series are there


def start_collectors(lab, snmp_port):
    """Starts everything; the address of Prometheus."""
    fast, slow, api, snmp, blackbox, prometheus = (free_port() for _ in range(6))
    collectors, folder = ROOT / "collectors", lab.folder
    agent = lab.write("bgp4-agent", BGP_AGENT, 0o755)
    lab.write("snmpd.conf", f"agentAddress udp:127.0.0.1:{snmp_port}\ncreateUser collector SHA-256 authentication AES encryption\nrouser collector authpriv\n"
                            f"override .1.3.6.1.2.1.31.1.1.1.15.1 gauge 10\npass .1.3.6.1.2.1.15 {agent}\n")
    (folder / "alerts").mkdir(exist_ok=True)
    for file in [*ROOT.glob("alerts/*.yaml"), *ROOT.glob("alerts/ruler/*.yaml")]:
        shutil.copy(file, folder / "alerts" / f"{file.parent.name}-{file.name}")
    lab.write("prometheus.json", prometheus_config(fast, slow, snmp, blackbox))
    lab.start("snmpd", component("snmpd"), "-f", "-Lo", "-C", "-c", folder / "snmpd.conf", SNMP_PERSISTENT_DIR=str(folder / "snmp-state"))
    lab.start("snmp_exporter", component("snmp_exporter"), f"--config.file={collectors}/snmp/snmp.yml",
              f"--config.file={collectors}/snmp/auths.example.yml", "--config.expand-environment-variables",
              f"--web.listen-address=127.0.0.1:{snmp}", SNMP_V3_USERNAME="collector",
              SNMP_V3_AUTH_PASSWORD="authentication", SNMP_V3_PRIV_PASSWORD="encryption")
    lab.start("blackbox_exporter", component("blackbox_exporter"), f"--config.file={collectors}/blackbox/blackbox.yml",
              f"--web.listen-address=127.0.0.1:{blackbox}")
    lab.start("gnmic", component("gnmic"), "--config", collectors / "gnmic/gnmic.yaml", "subscribe",
              HELIOS_GNMIC_API=f"127.0.0.1:{api}", HELIOS_GNMIC_TARGETS=str(folder / "gnmic.yaml"),
              HELIOS_GNMIC_FAST=f"127.0.0.1:{fast}", HELIOS_GNMIC_SLOW=f"127.0.0.1:{slow}",
              GNMIC_USER_EDGE="collector", GNMIC_PW_EDGE="secret", PRACTICE_USER=simulated.USER, PRACTICE_PASSWORD=simulated.PASSWORD)
    lab.start("prometheus", component("prometheus"), "--config.file=prometheus.json", f"--web.listen-address=127.0.0.1:{prometheus}",
              f"--storage.tsdb.path={folder}/data")
    return f"http://127.0.0.1:{prometheus}"


def run(folder):
    lab = Processes(folder)
    server, gnmi_port = start_target()
    snmp_port = free_port(socket.SOCK_DGRAM)
    try:
        practice = start_practice(lab)
        targets(lab, practice, gnmi_port, snmp_port)
        prometheus = start_collectors(lab, snmp_port)

        def groups():
            return json.loads(get(f"{prometheus}/api/v1/rules"))["data"]["groups"]

        def query(expression):
            text = get(f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            return [(row["metric"], float(row["value"][1])) for row in json.loads(text)["data"]["result"]]

        wait_for(lab, lambda: difference(query) + simulated.difference(query) + rules_that_fail(groups()))
        for name in (*EXPECTED, *ALONE):
            for labels, value in query(f'{name}{{device="{LABELS["device"]}"}}'):
                if labels.get("interface", "lo") == "lo":
                    print(f"{name} collector={labels.get('collector')} {value:g}")
        simulated.report(query)
        firing = sorted(rule["name"] for group in groups() for rule in group["rules"] if rule.get("state") == "firing")
        print(f"{sum(len(group['rules']) for group in groups())} rules evaluated without an error; firing: {', '.join(firing)}", flush=True)
        if firing != ["Watchdog"]:
            sys.exit("check: alerts fire although nothing is wrong")
        simulated.damage(practice["control"])
        wait_for(lab, lambda: simulated.damaged(query))
        print("check: damaged packets are the same by both collectors")
    finally:
        lab.stop()
        server.stop(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, help="directory for logs and files, which stay there")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        run(arguments.keep.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(pathlib.Path(folder))


if __name__ == "__main__":
    main()
