"""What collectors would show of the network: gNMI names for some devices, SNMP names for the others, ICMP for all.

Octet counters follow from the flows of the same interface, 3 % higher for layer 2, so that both can be compared. Everything else is made
up: smooth daily curves, and faults that can be switched on. Times are Unix seconds.
"""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from .network import INTERFACES, SPEED_BITS, Device, interface_name

Sample = tuple[str, dict[str, str], float]

FAULTS = ("link-down", "errors", "bgp", "cpu", "unreachable")
"""Each one hits devices of its own: see `Network.faulty`."""

LAYER_2 = 1.03

LAG_SECONDS = 120
"""Counters are those of so long ago: by then the minutes of flows_1m are whole."""


@dataclass
class Octets:
    """Octets and packets of interfaces by minute, from flows_1m, as running sums."""

    sums: dict[tuple[str, str, str], list[tuple[int, float, float]]] = field(default_factory=dict)

    def add(self, device: str, interface: str, way: str, minute: int, octets: float, packets: float) -> None:
        rows = self.sums.setdefault((device, interface, way), [])
        _, all_octets, all_packets = rows[-1] if rows else (0, 0.0, 0.0)
        rows.append((minute, all_octets + octets, all_packets + packets))

    def at(self, device: str, interface: str, way: str, now: float) -> tuple[float, float]:
        """Counters at a time: whole minutes, and the part of the next one."""
        rows, now = self.sums.get((device, interface, way), []), now - LAG_SECONDS
        whole = bisect.bisect_right(rows, now - 60, key=lambda row: row[0])
        _, octets, packets = rows[whole - 1] if whole else (0, 0.0, 0.0)
        if whole < len(rows) and rows[whole][0] <= now:
            minute, next_octets, next_packets = rows[whole]
            share = (now - minute) / 60
            return octets + share * (next_octets - octets), packets + share * (next_packets - packets)
        return octets, packets


@dataclass
class Network:
    devices: list[Device]
    octets: Octets
    start: float
    """When the history begins."""
    faults: dict[str, float] = field(default_factory=dict)
    """Since when a fault is on."""

    def faulty(self, fault: str, device: Device, now: float) -> bool:
        victim = {
            "link-down": "fra1-edge1",
            "errors": "ams1-edge2",
            "bgp": "nyc1-edge1",
            "cpu": "sin1-core1",
            "unreachable": "sin1-edge2",
        }
        return device.name == victim[fault] and fault in self.faults and now >= self.faults[fault]

    def samples(self, now: float) -> Iterator[Sample]:
        for number, device in enumerate(self.devices):
            yield from self._reachability(number, device, now)
            if self.faulty("unreachable", device, now):
                continue
            yield from self._interfaces(device, now)
            yield from self._bgp(number, device, now)
            yield from self._system(number, device, now)

    def _reachability(self, number: int, device: Device, now: float) -> Iterator[Sample]:
        labels = device.labels() | {"job": "helios-icmp", "instance": device.address}
        down = self.faulty("unreachable", device, now)
        rtt = 0.002 + 0.03 * (number // 3) + 0.0005 * math.sin(now / 300 + number)
        yield "probe_success", labels, 0 if down else 1
        if not down:
            yield "probe_icmp_duration_seconds", labels | {"phase": "rtt"}, rtt

    def _interfaces(self, device: Device, now: float) -> Iterator[Sample]:
        gnmi = device.collector == "gnmi"
        for index in range(1, INTERFACES + 1):
            name = interface_name(index)
            labels = device.labels() | (
                {"interface_name": name, "interface": name} if gnmi else {"ifName": name, "ifIndex": str(index)}
            )
            down = self.faulty("link-down", device, now) and index == 3
            for way in ("in", "out"):
                octets, packets = self.octets.at(device.name, name, way, min(now, self.faults["link-down"]) if down else now)
                errors = 0.04 * packets if self.faulty("errors", device, now) and index == 1 else 1e-6 * packets
                discards = 1e-5 * packets
                if gnmi:
                    prefix = "gnmi_interfaces_interface_state_counters_"
                    names = [f"{prefix}{way}_{kind}" for kind in ("octets", "unicast_pkts", "errors", "discards")]
                else:
                    side = way.capitalize()
                    names = [f"ifHC{side}Octets", f"ifHC{side}UcastPkts", f"if{side}Errors", f"if{side}Discards"]
                for series, value in zip(names, (octets * LAYER_2, packets, errors, discards)):
                    yield series, labels, math.floor(value)
            if gnmi:
                yield "gnmi_interfaces_interface_ethernet_state_port_speed", labels, SPEED_BITS
                yield "gnmi_interfaces_interface_state_oper_status", labels, 0 if down else 1
                yield "gnmi_interfaces_interface_state_admin_status", labels, 1
            else:
                yield "ifHighSpeed", labels, SPEED_BITS / 1e6
                yield "ifOperStatus", labels, 2 if down else 1
                yield "ifAdminStatus", labels, 1

    def _bgp(self, number: int, device: Device, now: float) -> Iterator[Sample]:
        for n, peer in enumerate(device.peers()):
            lost = self.faulty("bgp", device, now) and n == 0
            state, flaps = (3 if lost else 6), 3 + (1 if lost and int(now) % 600 < 300 else 0)
            if device.collector == "gnmi":
                labels = device.labels() | {"network_instance_name": "default", "neighbor_neighbor_address": peer}
                prefix = "gnmi_network_instances_network_instance_protocols_protocol_bgp_neighbors_neighbor_"
                yield f"{prefix}state_session_state", labels, state
                yield f"{prefix}state_established_transitions", labels, flaps
                family = "IPV6_UNICAST" if ":" in peer else "IPV4_UNICAST"
                prefixes = 0 if lost else 950_000 - 1000 * number + 500 * math.sin(now / 3600) if n < 2 else 1200
                yield (
                    f"{prefix}afi_safis_afi_safi_state_prefixes_received",
                    labels | {"afi_safi_afi_safi_name": family},
                    math.floor(prefixes),
                )
            elif ":" not in peer:
                labels = device.labels() | {"bgpPeerRemoteAddr": peer}
                yield "bgpPeerState", labels, state
                yield "bgpPeerFsmEstablishedTransitions", labels, flaps

    def _system(self, number: int, device: Device, now: float) -> Iterator[Sample]:
        labels = device.labels()
        day = math.sin((now % 86400) / 86400 * 2 * math.pi - 2)
        cpu = 95 if self.faulty("cpu", device, now) else 25 + 2 * number + 10 * day + 3 * math.sin(now / 97 + number)
        memory = 0.45 + 0.02 * number
        heat = 38 + number % 4 + 4 * day
        boot = self.start - 86400 * (20 + 9 * number)
        if device.collector == "gnmi":
            yield "gnmi_system_cpus_cpu_state_total_instant", labels | {"cpu_index": "ALL"}, round(cpu)
            yield "gnmi_system_memory_state_physical", labels, 32 << 30
            yield "gnmi_system_memory_state_used", labels, round((32 << 30) * memory)
            yield "gnmi_system_state_boot_time", labels, boot * 1e9
            for sensor in ("CPU0", "Inlet"):
                yield (
                    "gnmi_components_component_state_temperature_instant",
                    labels | {"component_name": sensor},
                    round(heat - (12 if sensor == "Inlet" else 0), 1),
                )
        else:
            for processor in ("1", "2"):
                yield "hrProcessorLoad", labels | {"hrDeviceIndex": processor}, round(cpu)
            storage = labels | {"hrStorageDescr": "Physical memory", "hrStorageIndex": "1"}
            yield "hrStorageSize", storage, 32 << 20
            yield "hrStorageUsed", storage, round((32 << 20) * memory)
            yield "sysUpTime", labels, round((now - boot) * 100)
            sensor = {
                "entPhysicalName": "CPU0",
                "entPhySensorType": "8",
                "entPhySensorScale": "9",
                "entPhySensorPrecision": "0",
            }
            yield "entPhySensorValue", labels | sensor, round(heat)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def line(sample: Sample, at: float | None = None) -> str:
    name, labels, value = sample
    listed = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
    return f"{name}{{{listed}}} {value!r}" + (f" {at:.3f}" if at is not None else "")


def recorded(network: Network, now: float) -> Iterator[Sample]:
    """What alerts/recording.yaml would have recorded of a healthy network: only for the time before Prometheus started, which
    evaluates the rules itself from then on."""
    for number, device in enumerate(network.devices):
        labels = device.labels() | {"collector": device.collector}
        for sample in network._reachability(number, device, now):
            name = "helios:device_up" if sample[0] == "probe_success" else "helios:rtt_seconds"
            yield name, device.labels() | {"collector": "icmp"}, sample[2]
        for index in range(1, INTERFACES + 1):
            interface = labels | {"interface": interface_name(index)}
            for way in ("in", "out"):
                octets, packets = network.octets.at(device.name, interface_name(index), way, now)
                octets_before, packets_before = network.octets.at(device.name, interface_name(index), way, now - 300)
                bits, rate = 8 * LAYER_2 * (octets - octets_before) / 300, (packets - packets_before) / 300
                yield f"helios:if_{way}_bits:rate5m", interface, bits
                yield f"helios:if_{way}_packets:rate5m", interface, rate
                yield f"helios:if_{way}_errors:rate5m", interface, 1e-6 * rate
                yield f"helios:if_{way}_discards:rate5m", interface, 1e-5 * rate
                yield f"helios:if_{way}_error_ratio:rate5m", interface, 1e-6
                yield f"helios:if_{way}_utilization:ratio5m", interface, bits / SPEED_BITS
            yield "helios:if_speed_bits", interface, SPEED_BITS
            yield "helios:if_oper_up", interface, 1
            yield "helios:if_admin_up", interface, 1
        yield "helios:flow_records:rate5m", device.labels() | {"exporter": device.address}, 25 / len(network.devices)
        yield from _recorded_system(network, number, device, labels, now)


def _recorded_system(network: Network, number: int, device: Device, labels: dict[str, str], now: float) -> Iterator[Sample]:
    raw = {name: value for name, _, value in network._system(number, device, now)}
    gnmi = device.collector == "gnmi"
    cpu = raw["gnmi_system_cpus_cpu_state_total_instant" if gnmi else "hrProcessorLoad"]
    memory = raw["gnmi_system_memory_state_used"] / (32 << 30) if gnmi else raw["hrStorageUsed"] / (32 << 20)
    boot = raw["gnmi_system_state_boot_time"] / 1e9 if gnmi else now - raw["sysUpTime"] / 100
    yield "helios:cpu_utilization:ratio", labels, cpu / 100
    yield "helios:memory_utilization:ratio", labels, memory
    yield "helios:uptime_seconds", labels, now - boot
    for name, of, value in network._system(number, device, now):
        if name in ("gnmi_components_component_state_temperature_instant", "entPhySensorValue"):
            yield "helios:temperature_celsius", labels | {"sensor": of.get("component_name") or of["entPhysicalName"]}, value
    for name, of, value in network._bgp(number, device, now):
        peer = (
            labels
            | {"peer": of.get("neighbor_neighbor_address") or of["bgpPeerRemoteAddr"]}
            | ({"network_instance": "default"} if gnmi else {})
        )
        if name.endswith(("session_state", "bgpPeerState")):
            yield "helios:bgp_session_state", peer, value
        elif name.endswith(("established_transitions", "EstablishedTransitions")):
            yield "helios:bgp_established_transitions", peer, value
        else:
            yield "helios:bgp_prefixes", peer | {"afi_safi": of["afi_safi_afi_safi_name"]}, value


def openmetrics(network: Network, begin: int, end: int, step: int) -> Iterator[str]:
    """History for `promtool tsdb create-blocks-from openmetrics`: the lines of a name must follow each other."""
    by_name: dict[str, list[str]] = {}
    for at in range(begin, end, step):
        for sample in recorded(network, at):
            by_name.setdefault(sample[0], []).append(line(sample, at))
    for name, lines in by_name.items():
        yield f"# TYPE {name} unknown"
        yield from lines
    yield "# EOF"
