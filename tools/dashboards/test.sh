#!/usr/bin/env bash
# One lab for both: the dashboards in Chromium, then the queries of all of them on real engines, then the faults.
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
HELIOS_LAB=$(grep '^{' "$folder/lab.out") python3 -m unittest -v tests.test_engines
