"""The eight dashboards of devices and interfaces."""
