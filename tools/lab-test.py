#!/usr/bin/env python3
"""Runs the lab and holds it against itself: gNMI, SNMP and flows tell of the same octets, gNMI clients of other projects
change devices, each fault changes what it should and nothing once it is undone, and no process is left in the end.

    lab-test.py [--keep DIRECTORY]

Needs what `make lab` needs, and the Python package pygnmi. Takes about 20 minutes.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from pygnmi.client import gNMIclient

from processes import ROOT, component, wait_for

START_S = 600
DEADLINE_S = 300
# Recorded rates look back 5 minutes: from then on they are of whole windows.
WINDOW_S = 330
# Share by which the three ways of counting may differ: collectors sample every 15 s, flows are of 10 s.
TOLERANCE = 0.04
# How often the curves are compared, a rule's interval and more apart.
PASSES = 3
PASS_S = 60
MORE_FLOWS = {
    "sFlow": "export_protocol = 'sflow5'",
    "IPv6": "ether_type = 0x86DD",
    "AS paths": "notEmpty(as_path)",
    "sampling": "sampling_interval > 1",
    "countries": "src_country != ''",
}
# gRPC waits up to 120 s (plus 20 per cent) between attempts to connect, gnmic 10 s more, and samples come every 15 s.
GNMI_BACK_S = 180


class Check:
    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "LAB_FOLDER": str(folder), "LAB_BASE": os.environ.get("LAB_BASE") or "60"}
        self.log = open(folder.parent / "lab.log", "wb")
        self.process = subprocess.Popen([ROOT / "tools/lab", "up"], env=self.environment, stdout=self.log, stderr=self.log)
        self.wait_for("the lab", lambda: (folder / "lab.json").exists(), START_S)
        self.places = json.loads((folder / "lab.json").read_text())
        self.started = time.time()

    def stop(self):
        """Ends the lab as Ctrl-C does; its exit code."""
        children = self.children()
        self.process.send_signal(signal.SIGINT)
        ended = self.process.wait(60)
        left = list(self.children().values())
        assert not left, f"the lab has stopped, and these have not: {left}"
        print(f"ok: {len(children)} processes have ended", flush=True)
        return ended

    def children(self):
        """Command lines of the lab's processes, by their ids: all of them have its folder in their environment."""
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                if f"LAB_FOLDER={self.folder}".encode() in environment:
                    found[process.name] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # the process ended meanwhile, or is another user's
        return found

    def look(self):
        if self.process.poll() is not None:
            sys.exit(f"lab-test: the lab ended:\n{(self.folder.parent / 'lab.log').read_text()[-3000:]}")

    def wait_for(self, what, condition, patience=DEADLINE_S):
        found = wait_for(what, condition, patience, meanwhile=self.look, pause=1)
        print("ok:", what, flush=True)
        return found

    def query(self, expression):
        """Value of an expression that has one; None without one."""
        url = self.places["prometheus"] + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=20) as answer:
            found = json.load(answer)["data"]["result"]
        assert len(found) < 2, (expression, found)
        return float(found[0]["value"][1]) if found else None

    def clickhouse(self, sql):
        with urllib.request.urlopen(self.places["clickhouse"], sql.encode(), timeout=60) as answer:
            return answer.read().decode().strip()

    def network(self):
        with urllib.request.urlopen(self.places["network"] + "/api/network", timeout=20) as answer:
            return {device["name"]: device for device in json.load(answer)["devices"]}

    def lab(self, *words):
        subprocess.run([ROOT / "tools/lab", *words], env=self.environment, check=True)

    def is_about(self, expression, low, high):
        value = self.query(expression)
        return value is not None and low <= value <= high


def busy_link(check):
    """The link from a device that is asked by gNMI to one that is asked by SNMP that carries most: both ends."""
    devices = check.network()
    links = []
    for name, device in devices.items():
        for interface in device["interfaces"]:
            far, at = (interface["to"] or " ").split(" ")
            if device["platform"] == "eos" and far and devices[far]["platform"] == "ios-xe":
                links.append((interface["out_octets"], (name, interface["name"]), (far, at)))
    _, here, there = max(links)
    return here, there


def of(series, end, **more):
    labels = {"device": end[0], "interface": end[1], **more}
    return series + "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def curves(check, here, there):
    gnmi = of("helios:if_out_bits:rate5m", here, collector="gnmi")
    snmp = of("helios:if_in_bits:rate5m", there, collector="snmp")
    check.wait_for("both collectors give the link's rates", lambda: check.query(gnmi) and check.query(snmp))
    check.wait_for("rates of whole windows", lambda: time.time() - check.started > WINDOW_S, WINDOW_S + 60)
    differences = []
    for number in range(PASSES):
        after = check.started + WINDOW_S + number * PASS_S
        check.wait_for(f"pass {number + 1}", lambda after=after: time.time() > after)
        differences += compare(check, here, there, gnmi, snmp)
    print(f"curves: {len(differences)} differences from the middle one, {min(differences):.2%} to {max(differences):.2%}", flush=True)
    assert max(differences) <= TOLERANCE, f"a curve differs by more than {TOLERANCE:.0%}"


def compare(check, here, there, gnmi, snmp):
    """How far each of the three is from the middle one, as a share of it."""
    values = {name: check.query(f"avg_over_time({series}[1m])") for name, series in (("gnmi", gnmi), ("snmp", snmp))}
    # About the same time: five minutes up to the last flows that are stored, of which more may be on their way.
    of_interface = f"FROM helios.flows WHERE exporter_name = '{there[0]}' AND in_if_name = '{there[1]}'"
    last = int(check.clickhouse(f"SELECT max(toUnixTimestamp(flow_start)) {of_interface}"))
    flows = check.clickhouse(
        f"SELECT sum(bytes * sampling_interval) * 8000 / dateDiff('millisecond', min(flow_start), max(flow_end)) {of_interface} "
        f"AND toUnixTimestamp(flow_start) >= {last - 300} AND toUnixTimestamp(flow_start) < {last}")
    values["flows"] = float(flows)
    text = ", ".join(f"{name} {value / 1e6:.2f} Mbit/s" for name, value in values.items())
    print(f"curves of {here[0]} {here[1]} -> {there[0]} {there[1]}: {text}", flush=True)
    total = check.query(f'sum(helios:flow_bits:rate5m{{device="{there[0]}"}})')
    assert total and total > values["flows"], "the exporter's own series is of all of its interfaces"
    middle = sorted(values.values())[1]
    return [abs(value - middle) / middle for value in values.values()]


def every_device(check):
    """What the lab has of each of its devices before anything is broken."""
    devices = check.network()
    known = f'count(helios_exporter_info{{device=~"{"|".join(devices)}"}})'
    check.wait_for("every device is known as an exporter", lambda: check.query(known) == len(devices))
    silent = "count(time() - helios_collector_exporter_last_seen_timestamp_seconds > 45)"
    check.wait_for("no exporter is silent, also without traffic", lambda: check.query(silent) is None)
    for series in ("helios:if_oper_up", "helios:bgp_session_state", "helios:uptime_seconds", "helios:temperature_celsius", "helios:device_up"):
        check.wait_for(f"{series} of every device", lambda series=series: check.query(f"count(count by (device) ({series}))") == len(devices))
    native = [name for name, device in devices.items() if device["platform"] == "srlinux"]
    series = f'count(helios:if_in_bits:rate5m{{device="{native[0]}",collector="gnmi"}})'
    check.wait_for("SR Linux's native model gives rates", lambda: check.query(series) == len(devices[native[0]]["interfaces"]))
    # What the dashboards of flows show and the network's own devices do not send.
    for what, condition in MORE_FLOWS.items():
        count = f"SELECT count() FROM helios.flows WHERE {condition}"
        check.wait_for(f"flows: {what}", lambda count=count: int(check.clickhouse(count)) > 0)


def commit_confirmed(check, here, there):
    """gnmic switches an interface off in a commit that nobody confirms: the device takes it back by itself."""
    name, interface = here
    gnmic = [component("gnmic"), "-a", f"{check.network()[name]['address']}:9339", "-u", "lab", "-p", "lab-password",
             "--tls-ca", str(check.folder / "ca.pem")]
    path = f"/interfaces/interface[name={interface}]/config/enabled"

    def up():
        return next(known["up"] for known in check.network()[name]["interfaces"] if known["name"] == interface)

    def set_with(*words):
        subprocess.run([*gnmic, "set", "--commit-id", "night", *words], check=True, stdout=subprocess.DEVNULL)
    off = ("--update-path", path, "--update-value", "false", "--commit-request", "--rollback-duration", "15s")
    set_with(*off)
    assert not up(), "the commit switches the interface off at once"
    check.wait_for("commit confirmed: it is taken back after 15 s", up)
    set_with(*off)
    assert not up()
    set_with("--commit-cancel")
    assert up(), "a cancelled commit is taken back at once"
    print("ok: commit confirmed: it is cancelled", flush=True)
    # Series are up to a scrape and a rule's interval old: what follows must not see the interface as it was.
    for end in (here, there):
        for series in ("helios:if_admin_up", "helios:if_oper_up"):
            check.wait_for(f"commit confirmed: {series} of {end[0]} is 1", lambda of_end=of(series, end): check.is_about(of_end, 1, 1))


def gnmi_client(check, here, there):
    device = check.network()[here[0]]
    path = f"openconfig:/interfaces/interface[name={here[1]}]"
    login = {"target": (device["address"], 9339), "username": "lab", "password": "lab-password", "path_root": str(check.folder / "ca.pem")}
    with gNMIclient(**login) as client:
        assert "openconfig-interfaces" in {model["name"] for model in client.capabilities()["supported_models"]}

        def leaf(name):
            return client.get(path=[f"{path}/state/{name}"])["notification"][0]["update"][0]["val"]
        assert (leaf("oper-status"), leaf("enabled")) == ("UP", True)
        try:
            client.set(update=[(f"{path}/config", {"enabled": False, "description": "off"}), (f"{path}/config", {"mtu": 1})])
            sys.exit("lab-test: an impossible mtu was taken")
        except Exception as error:  # pygnmi's own
            assert "mtu" in str(error), error
        assert leaf("enabled") is True, "a request that is refused changes nothing"
        client.set(update=[(f"{path}/config", {"enabled": False})])
        assert (leaf("oper-status"), leaf("admin-status")) == ("DOWN", "DOWN")
        before = int(leaf("counters/in-octets"))
        check.wait_for("a switched-off interface is seen by gNMI", lambda: check.is_about(of("helios:if_oper_up", here), 0, 0))
        check.wait_for("its far end is seen by SNMP", lambda: check.is_about(of("helios:if_oper_up", there), 0, 0))
        check.wait_for("the far end was not switched off", lambda: check.is_about(of("helios:if_admin_up", there), 1, 1))
        peers = f'count(helios:bgp_session_state{{device="{there[0]}"}} != 6)'
        check.wait_for("the session of the far end fell", lambda: check.is_about(peers, 1, 1))
        assert int(leaf("counters/in-octets")) == before, "counters stop"
        stopped = int(time.time()) - 10
        recent = (f"SELECT count() FROM helios.flows WHERE exporter_name = '{there[0]}' AND in_if_name = '{there[1]}' "
                  f"AND toUnixTimestamp(flow_start) > {stopped}")
        other = f"SELECT count() FROM helios.flows WHERE exporter_name = '{there[0]}' AND toUnixTimestamp(flow_start) > {stopped}"
        check.wait_for("flows take the other link", lambda: int(check.clickhouse(other)) > 0)
        assert int(check.clickhouse(recent)) == 0, "flows of the link stop"
        client.set(update=[(f"{path}/config", {"enabled": True})])
    check.wait_for("the link is back", lambda: check.is_about(of("helios:if_oper_up", there), 1, 1))
    check.wait_for("the session is back", lambda: check.query(peers) is None)


def faults(check, here, there):
    check.lab("fault", "link-down", *here)
    for end in (here, there):
        check.wait_for(f"link-down: {end[0]} is down", lambda end=end: check.is_about(of("helios:if_oper_up", end), 0, 0))
        check.wait_for(f"link-down: {end[0]} is not switched off", lambda end=end: check.is_about(of("helios:if_admin_up", end), 1, 1))
    check.lab("undo", "link-down", *here)
    check.wait_for("link-down is undone", lambda: check.is_about(of("helios:if_oper_up", here), 1, 1))

    check.lab("fault", "errors", *there)
    check.wait_for("errors: more than 1 per cent", lambda: check.is_about(of("helios:if_in_error_ratio:rate5m", there), 0.01, 0.06))
    check.lab("undo", "errors", *there)
    still = f'rate(ifInErrors{{device="{there[0]}",ifName="{there[1]}"}}[1m])'
    check.wait_for("errors is undone", lambda: check.is_about(still, 0, 0))

    transitions = f'sum(helios:bgp_established_transitions{{device="{there[0]}"}})'
    before = check.query(transitions)
    check.lab("fault", "bgp-flap", there[0])
    check.wait_for("bgp-flap: sessions come and go", lambda: check.is_about(transitions, before + 4, 1e9))
    check.lab("undo", "bgp-flap", there[0])
    up = f'count(helios:bgp_session_state{{device="{there[0]}"}} == 6)'
    check.wait_for("bgp-flap is undone", lambda: check.is_about(up, 2, 2))

    for end in (here, there):
        load = f'helios:cpu_utilization:ratio{{device="{end[0]}"}}'
        check.lab("fault", "cpu", end[0])
        check.wait_for(f"cpu: {end[0]} is busy", lambda load=load: check.is_about(load, 0.9, 1))
        check.lab("undo", "cpu", end[0])
        check.wait_for("cpu is undone", lambda load=load: check.is_about(load, 0, 0.5))

    silent = f'time() - max(helios_collector_exporter_last_seen_timestamp_seconds * on (exporter) group_left (device) helios_exporter_info{{device="{here[0]}"}})'
    check.lab("fault", "unreachable", here[0])
    check.wait_for("unreachable: no echo", lambda: check.is_about(f'helios:device_up{{device="{here[0]}"}}', 0, 0))
    check.wait_for("unreachable: no gNMI", lambda: check.query(f'gnmic_target_connection_state{{name="{here[0]}"}} != 3') is not None)
    check.wait_for("unreachable: no flows", lambda: check.is_about(silent, 40, 1e9))
    check.lab("undo", "unreachable", here[0])
    check.wait_for("unreachable is undone: echo", lambda: check.is_about(f'helios:device_up{{device="{here[0]}"}}', 1, 1))
    begun, ready = time.monotonic(), f'gnmic_target_connection_state{{name="{here[0]}"}} == 3'
    check.wait_for("unreachable is undone: gNMI", lambda: check.query(ready) is not None, GNMI_BACK_S)
    print(f"gnmic has its session again after {time.monotonic() - begun:.0f} s", flush=True)
    check.wait_for("unreachable is undone: series", lambda: check.is_about(of("helios:if_oper_up", here), 1, 1))
    check.wait_for("unreachable is undone: flows", lambda: check.is_about(silent, 0, 35))

    check.lab("fault", "silent-exporter", there[0])
    silent = silent.replace(here[0], there[0])
    check.wait_for("silent-exporter: no flows", lambda: check.is_about(silent, 40, 1e9))
    check.lab("undo", "all")
    check.wait_for("silent-exporter is undone", lambda: check.is_about(silent, 0, 35))


def run(folder):
    check = Check(folder / "lab")
    try:
        here, there = check.wait_for("traffic", lambda: busy_link(check))
        every_device(check)
        gnmi_client(check, here, there)
        commit_confirmed(check, here, there)
        faults(check, here, there)
        check.started = time.time()
        curves(check, here, there)
    finally:
        ended = check.stop()
    assert ended == 0, f"tools/lab ended with {ended}"
    print("lab-test: all is as it should be")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, help="directory for logs and data, which stay there")
    keep = parser.parse_args().keep
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        run(keep.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(pathlib.Path(folder))


if __name__ == "__main__":
    main()
