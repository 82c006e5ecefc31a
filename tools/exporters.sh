#!/usr/bin/env bash
# Installs the real exporters and the second decoders that the end-to-end tests use: softflowd (NetFlow v5, v9, IPFIX),
# pmacctd (sFlow, IPFIX) and nfdump's nfcapd and sfcapd; faketime, which makes clocks jump; and promtool, which tests alerts. Does nothing when they
# are there.
set -euo pipefail

missing=()
for pair in softflowd:softflowd pmacctd:pmacct nfcapd:nfdump nfdump:nfdump sfcapd:nfdump-sflow faketime:faketime promtool:prometheus; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || [[ " ${missing[*]} " == *" ${pair##*:} "* ]] || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "exporters: softflowd, pmacctd, nfcapd, sfcapd, faketime and promtool are installed"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "exporters: install ${missing[*]} with your package manager (this script knows apt-get only)" >&2
    exit 1
fi
echo "exporters: installing ${missing[*]} (about 70 MB) with apt-get"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
# RUNLEVEL tells Debian's maintainer scripts that no service may be started.
"${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
