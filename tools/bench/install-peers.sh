#!/usr/bin/env bash
# Installs what `make bench SUITE=peers` compares with: goflow2 (built by Go), Kafka (jars from Maven Central), kcat and nfcapd (Debian
# packages). Everything that is built goes to the folder named, one folder per version.
#
#   tools/bench/install-peers.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mkdir -p "$1" && cd "$1" && pwd)

goflow2=v2.2.6
kafka=3.9.1

for tool in go mvn java; do
    command -v $tool >/dev/null || { echo "peers: $tool is missing; install Go, a JDK and Maven" >&2; exit 1; }
done
if [ ! -x "$folder/goflow2-$goflow2/goflow2" ]; then
    echo "peers: building goflow2 $goflow2 (about a minute, 15 MB)"
    GOBIN="$folder/goflow2-$goflow2" go install "github.com/netsampler/goflow2/v2/cmd/goflow2@$goflow2"
fi
if [ ! -f "$folder/kafka-$kafka/complete" ]; then
    echo "peers: fetching Kafka $kafka from Maven Central (about a minute, 56 MB)"
    mkdir -p "$folder/kafka-$kafka"
    sed "s/KAFKA_VERSION/$kafka/" kafka.pom.xml >"$folder/kafka-$kafka/pom.xml"
    (cd "$folder/kafka-$kafka" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs -DincludeScope=runtime)
    touch "$folder/kafka-$kafka/complete"
fi
missing=()
for pair in kcat:kcat nfcapd:nfdump; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "peers: installing ${missing[*]} with apt-get"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
echo "peers: goflow2 $goflow2, Kafka $kafka, kcat and nfcapd are there"
