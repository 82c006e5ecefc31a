#!/usr/bin/env bash
# Runs one suite of benchmarks: run.sh SUITE. `make bench SUITE=...` is how it is called; BENCHMARKS.md says what each suite
# tells and how long it takes. All suites but micro and netbox write their figures to BENCHMARKS.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${1:?usage: run.sh SUITE}
cache=$PWD/.cache
python=python3
export PYTHONPATH=tools

case $suite in
micro)
    mkdir -p "$cache"
    cargo bench --locked --bench decode --bench enrich --bench blocks --bench pipeline | tee "$cache/bench.log"
    # The ratios, as the last lines.
    echo; grep -E '^[a-z0-9_]+: [0-9.]+ x$' "$cache/bench.log"
    exit ;;
netbox)
    cargo build --release --locked -p helios-netbox -p helios-enricher --example serve --example netbox_read
    examples="${CARGO_TARGET_DIR:-target}/release/examples"
    coproc SERVER { "$examples/serve"; }
    read -r url <&"${SERVER[0]}"
    NETBOX_API_TOKEN=0123456789abcdef0123456789abcdef01234567 "$examples/netbox_read" "$url"
    exec {SERVER[1]}>&-
    exit ;;
e2e | sweep | memory) make --no-print-directory engine ;;
clickhouse)
    make --no-print-directory engine
    python=$cache/engine/bin/python
    PYTHONPATH=tools:tools/clickhouse-http ;;
peers)
    make --no-print-directory engine
    tools/bench/install-peers.sh "$cache/peers" ;;
start) ;;
*)
    echo "bench: there is no suite $suite; there are: micro e2e sweep clickhouse peers memory start netbox" >&2
    exit 64 ;;
esac
cargo build --release --locked
exec "$python" -m "bench.$suite"
