#!/usr/bin/env bash
# Shows that programs run as their images run them: nothing beside the binary in the root, the root read-only, a user without
# rights (65532), no capability. A program that has a `migrate` also has to find a name by DNS: libraries of a distribution
# that do it elsewhere are not there.
#
#   tools/static.sh PROGRAM...        needs root, or user namespaces; programs of another machine need qemu-user-static
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then
    exec unshare --user --map-root-user --map-users=auto --map-groups=auto "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)

# Runs in namespaces of its own: their mounts, processes and network go with it. Arguments: root, program, emulator or nothing, Python
# program of a name server, arguments of the program.
inside='
    root=$1 program=$2 emulator=$3 names=$4; shift 4
    ip link set lo up
    mount -t tmpfs -o mode=755 tmpfs "$root"
    cp "$program" "$root/program"
    command=(/program)
    if [ -n "$emulator" ]; then cp "$emulator" "$root/emulator"; command=(/emulator /program); fi
    mkdir "$root/etc"
    echo "nameserver 127.0.0.1" >"$root/etc/resolv.conf"
    python3 "$names" &
    for _ in $(seq 100); do [ ! -e /proc/net/udp ] || grep -q ":0035 " /proc/net/udp && break; sleep 0.1; done
    mount -o remount,ro "$root"
    if touch "$root/x" 2>/dev/null; then echo "the root is not read-only" >&2; exit 1; fi
    chroot --userspec=65532:65532 --groups= "$root" "${command[@]}" "$@"
'
contained() { # program, emulator, arguments...
    local program=$1 emulator=$2 root
    shift 2
    root=$(mktemp -d)
    unshare --mount --pid --net --fork --kill-child --mount-proc bash -euo pipefail -c "$inside" bash "$root" "$program" "$emulator" "$here/static-names.py" "$@" || true
    rmdir "$root"
}

for program in "$@"; do
    name=$(basename "$program")
    if readelf -lW "$program" | grep -q INTERP; then
        echo "static: $program needs a dynamic loader: build it for a musl target" >&2
        exit 1
    fi
    machine=$(readelf -hW "$program" | sed -n 's/^ *Machine: *//p')
    emulator=""
    case "$machine/$(uname -m)" in
    *X86-64/x86_64 | AArch64/aarch64) ;;
    AArch64/*) emulator=$(command -v qemu-aarch64-static) || { echo "static: $name is for $machine: built, and not run (install qemu-user-static)"; continue; } ;;
    *) emulator=$(command -v qemu-x86_64-static) || { echo "static: $name is for $machine: built, and not run (install qemu-user-static)"; continue; } ;;
    esac
    said=$(contained "$program" "$emulator" --version)
    case $said in "$name "*) ;; *) echo "static: $name --version said $said" >&2; exit 1 ;; esac
    echo "static: $said ran in an empty, read-only root as user 65532 ($machine, $(stat -c %s "$program") octets)"
    [ "$name" = helios ] || continue
    # Nothing listens there: a refusal says that the name became an address.
    said=$(contained "$program" "$emulator" migrate --dry-run --clickhouse-url http://clickhouse.helios.test:8123 2>&1)
    case $said in *"Connection refused"*) ;; *) echo "static: $name did not find a name: $said" >&2; exit 1 ;; esac
    echo "static: $name found a name by DNS"
done
