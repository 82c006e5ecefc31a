#!/usr/bin/env bash
# Starts the topology, makes traffic, and waits until its flows are in ClickHouse and its interfaces in gnmic. Needs containerlab, Docker
# and an image `helios:topology`; stops the topology at the end.
set -euo pipefail
cd "$(dirname "$0")"
trap 'sudo containerlab destroy -t helios.clab.yml --cleanup' EXIT
sudo containerlab deploy -t helios.clab.yml

# wait_for WHAT COMMAND...: until the command succeeds, for five minutes at most.
wait_for() {
    local what=$1 end=$((SECONDS + 300))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "topology: no $what within 5 minutes" >&2; exit 1; }
        sleep 2
    done
    echo "topology: $what"
}
flows_of() {
    [ "$(curl -fsS http://172.20.20.20:8123/ --data-binary "SELECT uniqExact(exporter_address) FROM helios.flows WHERE src_addr = toIPv6('10.1.0.2') AND dst_addr = toIPv6('10.2.0.2')")" -ge "$1" ]
}
wait_for "tables of Helios" curl -fsS http://172.20.20.21:8080/readyz
wait_for "path between the hosts" docker exec clab-helios-host1 ping -c 1 10.2.0.2
docker exec -d clab-helios-host1 iperf3 -c 10.2.0.2 -t 300 -b 100M
wait_for "flows from host1 to host2, seen by all three routers" flows_of 3
wait_for "octets of leaf1's interfaces by gNMI" bash -c 'curl -fsS http://172.20.20.22:9804/metrics | grep -q "^gnmi_.*in_octets.*device=\"leaf1\""'
