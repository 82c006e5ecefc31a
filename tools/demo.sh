#!/usr/bin/env bash
# Shows the main job on one machine: ClickHouse's engine, `helios run` and simulated exporters of all five protocols on
# loopback, then who talks to whom, from ClickHouse. Leaves nothing running, and its data in .cache/demo.
#
#   DEMO_SECONDS=20      seconds that the exporters send
#   DEMO_RATE=20000      flows per second of all exporters together
#   DEMO_KEEP=1          go on with 1,000 flows/s until Ctrl-C, to look around
#   DEMO_HELIOS=PATH     the binary, in place of target/release/helios
set -euo pipefail
cd "$(dirname "$0")/.."

helios=${DEMO_HELIOS:-${CARGO_TARGET_DIR:-target}/release/helios}
python=${HELIOS_ENGINE_PYTHON:-.cache/engine/bin/python}
data=.cache/demo
seconds=${DEMO_SECONDS:-20}
rate=${DEMO_RATE:-20000}
keep=${DEMO_KEEP:-}

pids=()
stop() {
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap stop EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_for() { # what, command...
    local what=$1; shift
    for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    fail "$what did not happen within 30 seconds; see $data/*.log"
}
query() { curl -sS --fail-with-body "$clickhouse/" --data-binary "$1 FORMAT PrettyCompactMonoBlock"; }

[ -x "$helios" ] || fail "there is no $helios: run 'make demo', or set DEMO_HELIOS to a binary"
[ -x "$python" ] || fail "there is no $python: run 'make engine'"
rm -rf "$data"
mkdir -p "$data"
echo "Takes about $((seconds + 20)) seconds, all of it on 127.0.0.1. Data and logs go to $data."

say "1. The ClickHouse engine (chDB behind ClickHouse's HTTP interface)"
# In sessions of their own: Ctrl-C is for this script, which ends them in order.
PYTHONPATH=tools/clickhouse-http setsid "$python" -m clickhouse_http --path "$data/clickhouse" --port 0 --port-file "$data/port" \
    >"$data/clickhouse.log" 2>&1 &
pids+=($!)
wait_for "the start of the engine" test -s "$data/port"
clickhouse=http://127.0.0.1:$(cat "$data/port")
echo "serves $clickhouse"

say "2. The schema: helios migrate"
"$helios" migrate --clickhouse-url "$clickhouse"

say "3. The pipeline: helios run"
flows=127.0.0.1:$(free_port)
admin=127.0.0.1:$(free_port)
"$helios" simulate --write-geoip "$data" >/dev/null
cat >"$data/helios.yaml" <<EOF
collector:
  listen: ["$flows"]
  state_dir: $data/state
enricher:
  geoip:
    city: $data/city.mmdb
    asn: $data/asn.mmdb
clickhouse:
  url: $clickhouse
admin:
  listen: $admin
EOF
setsid "$helios" run --config "$data/helios.yaml" 2>"$data/helios.log" &
run=$!
pids+=("$run")
wait_for "the start of helios" curl -sf "http://$admin/readyz"
echo "receives on udp $flows, shows itself on http://$admin/ (configuration: $data/helios.yaml, log: $data/helios.log)"

say "4. Exporters: 20 simulated ones send NetFlow v5, v7, v9, IPFIX and sFlow for $seconds seconds, $rate flows/s together"
"$helios" simulate --target "$flows" --exporters 20 --rate "$rate" --duration "${seconds}s" --summary-json "$data/sent.json"

sent=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["total"]["flows"])' "$data/sent.json")
stored() { [ "$(curl -sS "$clickhouse/" -d 'SELECT count() FROM helios.flows')" -ge "$sent" ]; }
wait_for "that all $sent flows are stored" stored

say "5. What ClickHouse says"
echo "Three counts that must be equal: flows that the exporters sent, rows of the table flows, and flows counted in the rollup by minute."
query "SELECT $sent AS sent, (SELECT count() FROM helios.flows) AS stored, (SELECT sum(flows) FROM helios.flows_1m) AS in_flows_1m"
echo "Traffic between networks, from flows_1m. The exporters sample 1 of N packets; traffic is the estimate, bytes * N."
query "SELECT src_as, dst_as, formatReadableSize(sum(bytes)) AS traffic, sum(flows) AS n_flows
       FROM helios.flows_1m WHERE src_as != 0 AND dst_as != 0 GROUP BY src_as, dst_as ORDER BY sum(bytes) DESC LIMIT 5"
echo "The busiest senders, from talkers_1h, the rollup of the busiest hosts by hour."
query "SELECT replaceRegexpOne(toString(host), '^::ffff:([0-9.]+)\$', '\\\\1') AS host, formatReadableSize(sum(bytes)) AS traffic_sent,
       sum(flows) AS n_flows FROM helios.talkers_1h WHERE side = 'src' GROUP BY host ORDER BY sum(bytes) DESC LIMIT 5"
echo "Traffic by protocol, from flows_1m. Packets are estimates as well."
query "SELECT proto, transform(proto, [1, 6, 17, 58], ['ICMP', 'TCP', 'UDP', 'ICMPv6'], 'other') AS name,
       formatReadableSize(sum(bytes)) AS traffic, sum(packets) AS estimated_packets, sum(flows) AS n_flows
       FROM helios.flows_1m GROUP BY proto ORDER BY sum(bytes) DESC LIMIT 5"
echo "Traffic by country of the source, from flows_1m. Helios looked the countries up in a GeoIP database of the simulated addresses."
query "SELECT if(src_country = '', '(private or unknown)', src_country) AS country, formatReadableSize(sum(bytes)) AS traffic,
       sum(flows) AS n_flows FROM helios.flows_1m GROUP BY country ORDER BY sum(bytes) DESC LIMIT 8"
echo "The accounts of Helios, from /metrics. Decoded = stored, and both imbalances are 0: nothing got lost between socket and ClickHouse."
curl -s "http://$admin/metrics" | grep -E '^helios_(pipeline_rows_(decoded|stored)_total|pipeline_rows_imbalance|collector_datagrams_(received_total|imbalance)) '
echo "On disk: $(du -sh "$data/clickhouse" | cut -f1) for all tables and rollups."

look_around() {
    cat <<EOF
  http://$admin/    status page: exporters, losses, what ClickHouse takes
  $helios top --clickhouse-url $clickhouse
  curl -s "$clickhouse/?default_format=PrettyCompact" --data-binary "SELECT exporter_name, count() FROM helios.flows GROUP BY exporter_name"
EOF
}

if [ -n "$keep" ]; then
    say "6. It goes on with 1,000 flows/s until Ctrl-C. In another terminal, in this folder:"
    look_around
    # Ctrl-C ends the exporters first, then the rest is stopped in order.
    trap ':' INT TERM
    "$helios" simulate --target "$flows" --exporters 20 --rate 1000 --duration 24h >/dev/null || true
    trap 'exit 130' INT TERM
fi

say "The end: SIGTERM. Helios stores what it has received and ends"
kill -TERM "$run"
wait "$run" && echo "helios ended with exit code 0: $(tail -n 1 "$data/helios.log" | sed 's/^[^ ]* *INFO *//')"
stop

say "What to try next"
cat <<EOF
Once more, and go on sending:    DEMO_KEEP=1 make demo
Or with the data of now, each line in a terminal of its own, in this folder:
  PYTHONPATH=tools/clickhouse-http $python -m clickhouse_http --path $data/clickhouse --port ${clickhouse##*:}
  $helios run --config $data/helios.yaml
  $helios simulate --target $flows --exporters 20 --rate 1000 --duration 10m
and then look at it:
$(look_around)
With your network: exporters to UDP port 2055 of this host
  $helios run --clickhouse-url http://your-clickhouse:8123
docs/first-flows.md goes on from here; docs/exporters.md has the commands for your devices.
EOF
