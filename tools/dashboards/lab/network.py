"""The small network that the dashboards are tested on: 12 routers at four sites, with names that flows and series share."""

from dataclasses import dataclass

INTERFACES = 12
UPLINKS = 2
SPEED_BITS = 1_000_000_000


@dataclass(frozen=True)
class Device:
    name: str
    address: str
    """Source address of its flows: `helios simulate` gives 127.1.0.0/16 out in order."""
    site: str
    region: str
    role: str
    platform: str
    collector: str
    """gnmi or snmp: what asks it for its counters."""

    def labels(self) -> dict[str, str]:
        return {
            "device": self.name,
            "site": self.site,
            "region": self.region,
            "role": self.role,
            "platform": self.platform,
            "tenant": "Example Net",
        }

    def peers(self) -> list[str]:
        """Addresses of its BGP neighbours: the two uplinks at the edge, two route reflectors inside."""
        number = int(self.address.rsplit(".", 1)[1])
        return [f"192.0.2.{2 * number + n}" for n in range(2)] + [f"198.51.100.{number}", f"2001:db8::{number}"]


SITES = [("Frankfurt", "Europe"), ("Amsterdam", "Europe"), ("New York", "Americas"), ("Singapore", "Asia-Pacific")]
PLACES = [("edge1", "Edge", "eos", "gnmi"), ("edge2", "Edge", "junos", "gnmi"), ("core1", "Core", "iosxr", "snmp")]
CODES = {"Frankfurt": "fra1", "Amsterdam": "ams1", "New York": "nyc1", "Singapore": "sin1"}


def devices(first_address: int = 1) -> list[Device]:
    found = []
    for site, region in SITES:
        for name, role, platform, collector in PLACES:
            address = f"127.1.0.{first_address + len(found)}"
            found.append(Device(f"{CODES[site]}-{name}", address, site, region, role, platform, collector))
    return found


def interface_name(index: int) -> str:
    return f"Ethernet1/{index}"


def interface_description(index: int) -> str:
    return f"transit {index}" if index <= UPLINKS else f"site {index - UPLINKS}"


def inventory(all_devices: list[Device]) -> str:
    """The devices as a file for `enricher.inventory.files`."""
    lines = ["devices:"]
    for device in all_devices:
        lines += [
            f"  - name: {device.name}",
            f"    addresses: [{device.address}]",
            f"    site: {device.site}",
            f"    region: {device.region}",
            f"    role: {device.role}",
            "    tenant: Example Net",
            "    interfaces:",
        ]
        lines += [
            f"      - {{index: {index}, name: {interface_name(index)}, description: {interface_description(index)}, speed: 1G}}"
            for index in range(1, INTERFACES + 1)
        ]
    return "\n".join(lines) + "\n"


def networks() -> str:
    """The sites' prefixes as a file for `enricher.networks.files`: `helios simulate` gives site N 10.N.0.0/16."""
    lines = []
    for number in range(10):
        site, _ = SITES[number % len(SITES)]
        role = ["users", "servers", "storage"][number % 3]
        lines.append(f"- {{network: 10.{number}.0.0/16, name: {CODES[site]}-{role}-{number}, site: {site}, role: {role}}}")
    return "\n".join(lines) + "\n"


RULES = r"""  rules:
    interfaces:
      - {match_description: 'transit (\d+)', provider: 'Transit $1', connectivity: transit, boundary: external}
      - {match_description: 'site .*', connectivity: core, boundary: internal}
"""
