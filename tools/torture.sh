#!/usr/bin/env bash
# The long form of the tests of loss and doubling, and a table of what was survived.
#
#   KILLS=100        kill -9 at seeded random moments under load, each with a restart
#   SEED=6           of those moments
#   FAULT_SEEDS=60   schedules of random faults between helios and ClickHouse
#   IDLE_CONNECTIONS=4000   idle connections to each TCP port
#   BLOCK_ROWS=990000   rows of the blocks of several days that are sent again and again
set -euo pipefail
cd "$(dirname "$0")/.."

export HELIOS_KILLS="${KILLS:-100}" HELIOS_SEED="${SEED:-6}" HELIOS_FAULT_SEEDS="${FAULT_SEEDS:-60}"
export HELIOS_BLOCK_ROWS="${BLOCK_ROWS:-990000}" HELIOS_IDLE_CONNECTIONS="${IDLE_CONNECTIONS:-4000}"
export HELIOS_ENGINE_PYTHON="${HELIOS_ENGINE_PYTHON:-$PWD/.cache/engine/bin/python}"
# Ends a test that waits for ever; all of them together take about 20 minutes.
limit=1500
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
# As `make test` builds them: nothing is compiled a second time.
tests=(cargo test --locked --workspace --all-features)
table=""
failed=0

# part NAME WHAT COMMAND...: runs the tests, adds their counts to the table.
part() {
    local name="$1" what="$2" begin=$SECONDS passed result=survived
    shift 2
    echo "== $name: $what"
    timeout "$limit" "$@" 2>&1 | tee "$log" || { result=FAILED; failed=1; }
    passed="$(sed -n 's/^test result: .* \([0-9][0-9]*\) passed.*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')"
    # A filter that meets no test would survive everything.
    if [ "${passed:-0}" -eq 0 ]; then result=FAILED; failed=1; fi
    table+="$(printf '%-10s %-72s %6s %6ss  %s' "$name" "$what" "${passed:-0}" "$((SECONDS - begin))" "$result")"$'\n'
}

part crashes "kill -9 x $HELIOS_KILLS, stops, takeovers, a killed engine, clocks" \
    "${tests[@]}" --test it -- --show-output spool:: ills:: takeover::
part disks "a full disk, one that another program fills, a read-only one, under a process that runs" \
    "${tests[@]}" --test it -- --show-output disk::
part files "$HELIOS_IDLE_CONNECTIONS idle connections to each TCP port under a limit of 1,024 open files" \
    "${tests[@]}" --test it -- --show-output descriptors::
part faults "resets, cuts, lost and late answers, false 200s, exceptions, dropped tables; $HELIOS_FAULT_SEEDS schedules" \
    "${tests[@]}" --test engine -- faults:: outage:: ills::
part blocks "blocks of $HELIOS_BLOCK_ROWS rows and many days, recovered, cut, half committed, sent again" \
    "${tests[@]}" --test engine -- once::
part spool "flipped octets, truncations, crashes, disks that others fill or that hang, strange folders, newer files" \
    "${tests[@]}" --lib -- spool:: backlog:: client::

printf '\n%-10s %-72s %6s %7s  %s\n%s' part what tests time result "$table"
exit "$failed"
