#!/usr/bin/env bash
# Shows that programs run as their images run them: nothing beside the binary in the root, the root read-only, a user without
# rights (65532), no capability.
#
#   tools/static.sh PROGRAM...        needs root, or user namespaces
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then
    exec unshare --user --map-root-user --map-users=auto --map-groups=auto "$0" "$@"
fi
for program in "$@"; do
    name=$(basename "$program")
    if readelf -l "$program" | grep -q INTERP; then
        echo "static: $program needs a dynamic loader: build it with -C target-feature=+crt-static" >&2
        exit 1
    fi
    root=$(mktemp -d)
    # A mount of its own is read-only and goes with the shell.
    said=$(unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
        mount -t tmpfs -o mode=755 tmpfs "$1"
        cp "$2" "$1/program"
        mount -o remount,ro "$1"
        # A file that the program may not write either.
        if touch "$1/x" 2>/dev/null; then echo "the root is not read-only" >&2; exit 1; fi
        exec chroot --userspec=65532:65532 --groups= "$1" /program --version
    ' bash "$root" "$program")
    rmdir "$root"
    echo "static: $said ran in an empty, read-only root as user 65532 ($(stat -c %s "$program") octets)"
    case $said in "$name "*) ;; *) echo "static: $name said $said" >&2; exit 1 ;; esac
done
