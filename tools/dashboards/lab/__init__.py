"""The lab of the dashboards. `processes` (tools/processes.py) starts and ends its programs, as it does those of tools/lab."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
