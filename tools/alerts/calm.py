#!/usr/bin/env python3
"""Holds every alert against what is no fault: everything that the rules read looks healthy for two hours, and meanwhile one thing
happens to each device and program. No alert may fire.

    restart    down for a minute, counters begin again
    reset      counters begin again
    gap        one failed scrape
    new        its series begin
    left       its series end: a device that left NetBox, or whose status says maintenance

A metric that the rules read and `HEALTHY` does not describe is a mistake. Needs promtool.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = sorted([*ROOT.glob("alerts/*.yaml"), *ROOT.glob("alerts/ruler/*.yaml")])
STEP_S = 30
SAMPLES = 240
AT = 120  # when it happens, as a number of samples
DOWN = 2  # samples that a restart takes
HAPPENS = ("restart", "reset", "gap", "new", "left")
# Fires because it happened, or always.
EXPECTED = {"Watchdog": HAPPENS, "DeviceRestarted": ("restart",)}

GNMI = {"job": "helios-gnmic", "device": "{0}-gnmi", "instance": "{0}-gnmic"}
SRLINUX = {**GNMI, "device": "{0}-srlinux"}
SNMP = {"job": "helios-snmp", "device": "{0}-snmp", "instance": "{0}-snmp"}
ICMP = {"job": "helios-icmp", "device": "{0}-gnmi", "instance": "{0}-icmp"}
HELIOS = {"job": "helios", "instance": "{0}-helios"}
EXPORTER = {**HELIOS, "exporter": "192.0.2.{1}"}
CLICKHOUSE = {"job": "helios-clickhouse", "instance": "{0}-clickhouse"}
PLATFORM = {"job": "helios-prometheus", "instance": "{0}-prometheus"}
KUBERNETES = {"job": "helios-kube-state-metrics", "namespace": "helios", "cronjob": "{0}-targets"}

# Name, labels, and how it looks: a number is its value, `+n` a counter that grows by n a second, `now` the time, `boot` the time of
# the last start in ns, `ticks` hundredths of seconds since then.
HEALTHY = [
    (r"gnmi_interface_(admin|oper)_state", {**SRLINUX, "interface": "ethernet-1/1"}, "1"),
    (r"gnmi_interface_ethernet_port_speed", {**SRLINUX, "interface": "ethernet-1/1"}, "1e9"),
    (r"gnmi_interface_statistics_(in|out)_(error|discarded)_packets", {**SRLINUX, "interface": "ethernet-1/1"}, "+0"),
    (r"gnmi_interface_statistics_(in|out)_(octets|packets)", {**SRLINUX, "interface": "ethernet-1/1"}, "+1000"),
    (r"gnmi_network_instance_.*received_routes", {**SRLINUX, "neighbor_peer_address": "192.0.2.1", "afi_safi_afi_safi_name": "ipv4"}, "1000"),
    (r"gnmi_network_instance_.*established_transitions", {**SRLINUX, "neighbor_peer_address": "192.0.2.1"}, "+0"),
    (r"gnmi_network_instance_.*session_state", {**SRLINUX, "neighbor_peer_address": "192.0.2.1"}, "6"),
    (r"gnmi_platform_control_cpu_total_instant", {**SRLINUX, "cpu_index": "all"}, "30"),
    (r"gnmi_platform_control_memory_utilization", SRLINUX, "50"),
    (r"gnmi_platform_control_temperature_instant", {**SRLINUX, "control_slot": "A"}, "40"),
    (r"gnmi_platform_linecard_temperature_instant", {**SRLINUX, "linecard_slot": "1"}, "40"),
    (r"gnmi_system_information_last_booted", SRLINUX, "boot"),
    (r"gnmi_interfaces_interface_state_(admin|oper)_status", {**GNMI, "interface": "Ethernet1"}, "1"),
    (r"gnmi_interfaces_interface_ethernet_state_port_speed", {**GNMI, "interface": "Ethernet1"}, "1e9"),
    (r"gnmi_interfaces_interface_state_counters_(in|out)_(errors|discards)", {**GNMI, "interface": "Ethernet1"}, "+0"),
    (r"gnmi_interfaces_interface_state_counters_(in|out)_.*", {**GNMI, "interface": "Ethernet1"}, "+1000"),
    (r"gnmi_network_instances_.*prefixes_received", {**GNMI, "neighbor_neighbor_address": "192.0.2.1", "afi_safi_afi_safi_name": "IPV4_UNICAST"}, "1000"),
    (r"gnmi_network_instances_.*established_transitions", {**GNMI, "neighbor_neighbor_address": "192.0.2.1"}, "+0"),
    (r"gnmi_network_instances_.*session_state", {**GNMI, "neighbor_neighbor_address": "192.0.2.1"}, "6"),
    (r"gnmi_system_cpus_cpu_state_total_instant", {**GNMI, "cpu_index": "ALL"}, "30"),
    (r"gnmi_components_component_cpu_utilization_state_instant", GNMI, "30"),
    (r"gnmi_system_memory_state_physical", GNMI, "100"),
    (r"gnmi_system_memory_state_(used|free)", GNMI, "50"),
    (r"gnmi_system_state_boot_time", GNMI, "boot"),
    (r"gnmi_components_component_state_temperature_instant", {**GNMI, "component_name": "CPU"}, "40"),
    (r"gnmic_target_connection_state", {"job": "helios-gnmic-api", "instance": "{0}-gnmic", "name": "{0}-gnmi"}, "3"),
    (r"gnmic_subscribe_.*_total", {"job": "helios-gnmic-api", "instance": "{0}-gnmic", "source": "{0}-gnmi"}, "+1"),
    (r"if(Admin|Oper)Status", {**SNMP, "ifName": "Gi0/1"}, "1"),
    (r"ifHighSpeed", {**SNMP, "ifName": "Gi0/1"}, "1000"),
    (r"if(In|Out)(Errors|Discards)", {**SNMP, "ifName": "Gi0/1"}, "+0"),
    (r"ifHC.*", {**SNMP, "ifName": "Gi0/1"}, "+1000"),
    (r"bgpPeerState", {**SNMP, "bgpPeerRemoteAddr": "192.0.2.1"}, "6"),
    (r"bgpPeerAdminStatus", {**SNMP, "bgpPeerRemoteAddr": "192.0.2.1"}, "2"),
    (r"bgpPeerFsmEstablishedTransitions", {**SNMP, "bgpPeerRemoteAddr": "192.0.2.1"}, "+0"),
    (r"hrProcessorLoad", SNMP, "30"),
    (r"hrStorageSize", {**SNMP, "hrStorageDescr": "Physical memory", "hrStorageIndex": "1"}, "100"),
    (r"hrStorageUsed", {**SNMP, "hrStorageDescr": "Physical memory", "hrStorageIndex": "1"}, "50"),
    (r"(hrSystemUptime|sysUpTime)", SNMP, "ticks"),
    (r"entPhySensorValue", {**SNMP, "entPhySensorType": "8", "entPhySensorScale": "9", "entPhySensorPrecision": "0", "entPhysicalName": "CPU"}, "40"),
    (r"snmp_scrape_pdus_returned", SNMP, "100"),
    (r"probe_success", ICMP, "1"),
    (r"probe_icmp_duration_seconds", {**ICMP, "phase": "rtt"}, "0.01"),
    (r"helios_(pipeline_rows|collector_datagrams)_imbalance", HELIOS, "0"),
    (r"helios_collector_socket_dropped_datagrams_total", {**HELIOS, "listen": "[::]:2055"}, "+0"),
    (r"helios_collector_socket_buffer_(asked_)?bytes", {**HELIOS, "listen": "[::]:2055"}, "1e6"),
    (r"helios_collector_exporter_last_seen_timestamp_seconds", EXPORTER, "now"),
    (r"helios_collector_exporter_lost_total", {**EXPORTER, "protocol": "ipfix"}, "+0"),
    (r"helios_collector_exporter_(datagrams|records|estimated_bytes)_total", EXPORTER, "+100"),
    (r"helios_exporter_info", {**EXPORTER, "device": "{0}-gnmi", "site": "Bern"}, "1"),
    (r"helios_enricher_database_build_timestamp_seconds", {**HELIOS, "source": "city"}, "now"),
    (r"helios_enricher_source_failures_total", {**HELIOS, "source": "city"}, "+0"),
    (r"helios_netbox_age_seconds", HELIOS, "60"),
    (r"helios_pipeline_ready", HELIOS, "1"),
    (r"helios_pipeline_rows_dropped_total", {**HELIOS, "stage": "sink", "reason": "refused"}, "+0"),
    (r"helios_pipeline_names_refused_total", HELIOS, "+0"),
    (r"helios_sink_(backlog_bytes|spool_aside_files)", HELIOS, "0"),
    (r"helios_sink_spool_(available|configured)", HELIOS, "1"),
    (r"helios_sink_insert_failures_total", {**HELIOS, "class": "configuration"}, "+0"),
    (r"helios_sink_latency_seconds_bucket", {**HELIOS, "le": "1"}, "+100"),
    (r"helios_sink_latency_seconds_bucket", {**HELIOS, "le": "+Inf"}, "+100"),
    (r"helios_targets_last_success_timestamp_seconds", HELIOS, "now"),
    (r"helios_runbook_executions_total", {"job": "helios-operator", "instance": "{0}-operator", "phase": "Failed"}, "+0"),
    (r"helios_runbook_executions_waiting", {"job": "helios-operator", "instance": "{0}-operator"}, "0"),
    (r"ClickHouseAsyncMetrics_DiskAvailable_\.\+", CLICKHOUSE, "50"),
    (r"ClickHouseAsyncMetrics_DiskTotal_\.\+", CLICKHOUSE, "100"),
    (r"ClickHouse(Async)?Metrics_.*", CLICKHOUSE, "0"),
    (r"kube_cronjob_.*", KUBERNETES, "now"),
    (r"(prometheus|alertmanager|thanos_rule)_config_last_reload_successful", PLATFORM, "1"),
    (r"(prometheus|alertmanager|thanos)_.*(failed|failures|dropped)_total", {**PLATFORM, "integration": "slack", "rule_group": "a"}, "+0"),
    (r"thanos_compact_halted", PLATFORM, "0"),
    (r"thanos_objstore_bucket_last_successful_upload_time", PLATFORM, "now"),
    (r"thanos_objstore_bucket_operations_total", PLATFORM, "+1"),
]
# Jobs whose scrapes the rules read as `up`.
UP = [SNMP, ICMP, HELIOS, CLICKHOUSE, PLATFORM, {"job": "helios-gnmic", "instance": "{0}-gnmic"}, {"job": "helios-gnmic-api", "instance": "{0}-gnmic"},
      {"job": "helios-snmp-exporter", "instance": "{0}-snmp-exporter"}, {"job": "helios-blackbox-exporter", "instance": "{0}-blackbox"},
      {"job": "helios-operator", "instance": "{0}-operator"}]
WORDS = {"by", "on", "and", "or", "unless", "bool", "offset", "without", "ignoring", "group_left", "group_right"}


def read_by_rules():
    """Names of the metrics that rules read and no rule records."""
    names, recorded = set(), set()
    for file in RULES:
        text = re.sub(r"^\s*#.*$", "", file.read_text(), flags=re.M)
        recorded |= set(re.findall(r"record: (\S+)", text))
        for block, line in re.findall(r"expr: \|\n((?:          .*\n)+)|expr: ([^|\n].*)\n", text):
            expr = block or line
            names |= {name for listed in re.findall(r'__name__=~"([^"]+)"', expr) for name in listed.split("|")}
            expr = re.sub(r'"[^"]*"', '""', expr)
            expr = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expr)
            expr = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expr)
            names |= {name for name in re.findall(r"(?<![\w:.])([a-zA-Z_][\w:]*)(?!\s*\(|[\w:])", expr) if name not in WORDS and not re.fullmatch(r"\d*[a-z]|e\d+", name)}
    return names - recorded - {"up"}


def values(look, happens):
    """The samples of a series, as promtool reads them."""
    began, shown = 0, []
    for at in range(SAMPLES):
        if happens in ("restart", "reset") and at == AT + (DOWN if happens == "restart" else 0):
            began = at
        absent = {"restart": AT <= at < AT + DOWN, "gap": at == AT, "new": at < AT, "left": at >= AT}.get(happens, False)
        if absent:
            # A series that a scrape no longer has is marked as stale.
            shown.append("stale" if at == AT and happens != "new" else "_")
        elif look == "now":
            shown.append(str(at * STEP_S))
        elif look == "boot":
            shown.append(str((began * STEP_S - (0 if began else 10**7)) * 10**9) if happens == "restart" else str(-(10**16)))
        elif look == "ticks":
            shown.append(str(((at - began) * STEP_S + (0 if began and happens == "restart" else 10**7)) * 100))
        elif look.startswith("+"):
            shown.append(str((at - began) * STEP_S * float(look[1:])))
        else:
            shown.append(look)
    return " ".join(shown)


def scraped(happens):
    """`up` of a target: a failed scrape gives 0."""
    down = {"restart": range(AT, AT + DOWN), "gap": range(AT, AT + 1)}.get(happens, ())
    begin, end = (AT if happens == "new" else 0), (AT if happens == "left" else SAMPLES)
    return " ".join("stale" if at == end else "_" if not begin <= at < end else "0" if at in down else "1" for at in range(SAMPLES))


def series():
    """Series and values. Three instances each, so that what happens to one happens to no whole job."""
    missing = []
    for name in sorted(read_by_rules()):
        looks = [(labels, look) for pattern, labels, look in HEALTHY if re.fullmatch(pattern, name)]
        # The first pattern decides; buckets of a histogram are several.
        looks = looks if name.endswith("_bucket") else looks[:1]
        if not looks:
            missing.append(name)
        for labels, look in looks:
            for number, happens in enumerate((*HAPPENS, "nothing"), 1):
                shown = ",".join(f'{key}="{value.format(happens, number)}"' for key, value in labels.items())
                yield f"{name.replace('.+', 'default')}{{{shown}}}", values(look, happens)
    if missing:
        sys.exit(f"calm: HEALTHY does not say how these look while all is well: {', '.join(missing)}")
    for labels in UP:
        for number, happens in enumerate((*HAPPENS, "nothing"), 1):
            shown = ",".join(f'{key}="{value.format(happens, number)}"' for key, value in labels.items())
            yield f"up{{{shown}}}", scraped(happens)


def main():
    made = [*series()]
    lines = ["rule_files:", *(f"  - {file}" for file in RULES), f"evaluation_interval: {STEP_S}s", "tests:", f"  - interval: {STEP_S}s", "    input_series:"]
    for name, shown in made:
        lines.append(f"      - {{series: '{name}', values: '{shown}'}}")
    expected = "|".join(EXPECTED)
    asked = f'count by (alertname, device, instance, exporter, cronjob) (count_over_time(ALERTS{{alertstate="firing", alertname!~"{expected}"}}[2h]))'
    lines += ["    promql_expr_test:", f"      - {{expr: '{asked}', eval_time: 1h59m, exp_samples: []}}"]
    restarted = 'count by (device) (count_over_time(ALERTS{alertname="DeviceRestarted", alertstate="firing"}[2h]))'
    samples = ", ".join(f"{{labels: '{{device=\"restart-{kind}\"}}', value: 1}}" for kind in ("gnmi", "snmp", "srlinux"))
    lines.append(f"      - {{expr: '{restarted}', eval_time: 1h59m, exp_samples: [{samples}]}}")
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "calm.yaml"
        file.write_text("\n".join(lines) + "\n")
        done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"calm: alerts fire where nothing is wrong:\n{(done.stdout + done.stderr)[-6000:]}")
    print(f"alerts: none fires of {len(made)} healthy series that {', '.join(HAPPENS)} happen to")


if __name__ == "__main__":
    main()
