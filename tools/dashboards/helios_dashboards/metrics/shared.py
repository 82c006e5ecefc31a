"""Links and columns that several metrics dashboards have."""

from ..grafana import GREEN, RED, YELLOW, Json, field_of_row, keep, label, link, prom, thresholds

PER_SECOND = "suffix:/s"
"""For counts that are mostly below one: `pps` would write 0.03 as 30 mp/s."""

INTERFACE_LEGEND = 420
"""Width of a legend that names a device and its interface, in pixels."""

NO_DEVICES = "No device is probed: see docs/targets.md"
NO_COUNTERS = "No interface counters of these devices"

AVAILABILITY = thresholds(RED, (0.99, YELLOW), (0.999, GREEN))

FOR_PEOPLE = 'severity!="none"'
"""Selector of alerts that somebody is told about: Watchdog fires always, and Alertmanager alone reads DeviceInMaintenance."""

WAY = "Positive is in, negative is out."
DOWN_INTERFACES = "(helios:if_admin_up{{{0}}} == 1) and on (device, interface) (helios:if_oper_up{{{0}}} == 0)"
"""Up by configuration, down in fact."""


def count_of(series: str) -> list[Json]:
    """How many series there are now, 0 if none."""
    return [prom("A", f"count({series}) or vector(0)", instant=True)]


def either_way(what: str, selector: str, by: str = "by (device, interface)") -> str:
    """The larger of the two directions of an interface."""
    return f'max {by} ({{__name__=~"helios:if_(in|out)_{what}", {selector}}})'


def to_device(value: str) -> list[Json]:
    """From a row or a series of a device; `value` is the text of its name in a link."""
    return [
        link("Health of this device", "helios-device-health", f"&var-device={value}"),
        link("Its interfaces", "helios-interface-analytics", f"&var-device={value}"),
        link("Its flows", "helios-top-talkers", f"&var-exporter={value}"),
    ]


def to_interface(device: str, interface: str) -> list[Json]:
    both = f"&var-device={device}&var-interface={interface}"
    flows = f"&var-exporter={device}&var-interface={interface}"
    return [
        link("This interface", "helios-interface-analytics", both),
        link("Who uses it: its flows", "helios-top-talkers", flows),
        link("Flows beside counters", "helios-interface-correlation", flows),
    ]


ROW_DEVICE = to_device(field_of_row("device"))
ROW_INTERFACE = to_interface(field_of_row("device"), field_of_row("interface"))
ROW_SITE = [link("This site", "helios-site-overview", f"&var-site={field_of_row('site')}")]
LABEL_DEVICE = to_device(label("device"))
LABEL_INTERFACE = to_interface(label("device"), label("interface"))
KEEP = keep("site")
