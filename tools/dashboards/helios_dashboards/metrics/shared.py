"""Links and columns that several metrics dashboards have."""

from ..grafana import Json, field_of_row, keep, label, link

NO_DEVICES = "No device is probed: see docs/targets.md"
NO_COUNTERS = "No interface counters of these devices"

WAY = "Positive is in, negative is out."
DOWN_INTERFACES = "(helios:if_admin_up{{{0}}} == 1) and on (device, interface) (helios:if_oper_up{{{0}}} == 0)"
"""Up by configuration, down in fact."""


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
