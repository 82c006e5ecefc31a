"""All dashboards, in the order of the documentation."""

from .flows import as_paths, geographic_flows, interface_correlation, protocol_distribution, top_talkers, traffic_matrix
from .grafana import Dashboard
from .metrics import (
    alerts_overview,
    bgp_status,
    device_health,
    interface_analytics,
    latency_reachability,
    network_overview,
    site_overview,
    top_interfaces,
)

MODULES = [
    network_overview,
    interface_analytics,
    device_health,
    site_overview,
    latency_reachability,
    bgp_status,
    top_interfaces,
    alerts_overview,
    top_talkers,
    traffic_matrix,
    as_paths,
    protocol_distribution,
    geographic_flows,
    interface_correlation,
]


def make_all() -> list[Dashboard]:
    return [module.make() for module in MODULES]
