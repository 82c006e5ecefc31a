"""Makes the 14 dashboards of dashboards/: `python3 -m helios_dashboards` in tools/dashboards writes them again.

Start with `grafana.py` (panels and layout), `sql.py` (which table a flow panel asks, and how) and one of the dashboards in
`metrics/` or `flows/`. Python's standard library is all that it needs.
"""
