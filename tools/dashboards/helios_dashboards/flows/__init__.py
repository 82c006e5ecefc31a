"""The six dashboards of flows."""
