#!/usr/bin/env bash
# One lab for all: the dashboards in Chromium, the rights of Grafana's user, the queries of all dashboards on real engines, the faults.
# HELIOS_BINARY is the binary that receives the flows.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
setsid python3 -u -m lab.start --folder "$folder/lab" --helios "$HELIOS_BINARY" --hours 4 --console 0 >"$folder/lab.out" 2>"$folder/lab.err" &
lab=$!
stop() { kill -TERM "$lab" 2>/dev/null || true; wait "$lab" 2>/dev/null || true; rm -rf "$folder"; }
trap stop EXIT
trap 'exit 130' INT TERM
until grep -q '^{' "$folder/lab.out" && grep -q '^console: ' "$folder/lab.out"; do
    kill -0 "$lab" 2>/dev/null || { cat "$folder/lab.out" "$folder/lab.err" >&2; exit 1; }
    sleep 1
done
# The browser first: the last test of the engines breaks the network.
node ../../console/e2e/dashboards.mjs "$(sed -n 's/^console: \(.*\)\/$/\1/p' "$folder/lab.out")" ${PICTURES:+"$PICTURES"}
HELIOS_LAB=$(grep '^{' "$folder/lab.out")
export HELIOS_LAB
"${HELIOS_ENGINE_PYTHON:-../../.cache/engine/bin/python}" -m unittest -v tests.test_grants
# In this order: the second one adds flows of its own to the lab.
python3 -m unittest -v tests.test_engines tests.test_odd_names
