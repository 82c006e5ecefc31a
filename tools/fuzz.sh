#!/usr/bin/env bash
# Runs every fuzz target for so many seconds: fuzz.sh SECONDS [TARGET...]
#
# Seeds are in fuzz/corpus/, what a run adds in fuzz/grown/ (not committed), a finding in fuzz/artifacts/.
# Needs a nightly compiler and cargo-fuzz: what is missing is installed for this user, by rustup and cargo, and said.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: installing the nightly toolchain with rustup (minimal profile)"
    rustup toolchain install nightly --profile minimal
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: installing cargo-fuzz into ${CARGO_HOME:-$HOME/.cargo}/bin"
    cargo install --locked cargo-fuzz
fi

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
cargo +nightly fuzz build
for target in "${targets[@]}"; do
    mkdir -p "grown/$target"
    echo "fuzz: $target, $seconds s"
    log=$(mktemp)
    if ! cargo +nightly fuzz run "$target" "grown/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        tail -n 60 "$log"
        rm -f "$log"
        echo "fuzz: $target found something; the input is in fuzz/artifacts/$target/. Make it a named test." >&2
        exit 1
    fi
    grep -E 'DONE|number_of_executed_units|peak_rss_mb' "$log" || true
    rm -f "$log"
done
