#!/usr/bin/env bash
# Installs the collectors and what tests them: gnmic, snmp_exporter and blackbox_exporter are built with Go at the
# versions of the file `versions`; prometheus, promtool and snmpd are Debian packages. What is built goes to
# ${HELIOS_COMPONENTS:-~/.cache/helios/components}/NAME-VERSION/NAME and is built once for each version.
#
#   tools/components/install.sh [NAME...]       all of them without a name
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
cache=${HELIOS_COMPONENTS:-$HOME/.cache/helios/components}
mkdir -p "$cache"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-mod=mod

# The folder of a module in Go's module cache.
module_folder() {
    (cd "$work" && go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
}

# gnmic's own pkg/api and pkg/cache are modules of their own, whose published versions are older than what gnmic calls.
# Copies of the two get the methods that are missing.
gnmic_replacements() {
    local api cache_module
    api=$(module_folder github.com/openconfig/gnmic/pkg/api v0.1.11)
    cache_module=$(module_folder github.com/openconfig/gnmic/pkg/cache v0.1.3)
    cp -r "$api" "$work/api"
    cp -r "$cache_module" "$work/cache"
    chmod -R u+w "$work/api" "$work/cache"
    cp "$here/gnmic/target.go.txt" "$work/api/target/published_since.go"
    cp "$here/gnmic/types.go.txt" "$work/api/types/published_since.go"
    cp "$here/gnmic/cache.go.txt" "$work/cache/options.go"
    sed -i -e 's/^func WithLogger(l \*log.Logger)/func WithLogger(l *slog.Logger)/' \
        -e 's/^\t\ts.logger = l$/\t\ts.logger = slog.NewLogLogger(l.Handler(), slog.LevelInfo)/' \
        -e 's/^\t"log"$/\t"log"\n\t"log\/slog"/' "$work/api/server/server.go"
    go mod edit -replace=github.com/openconfig/gnmic/pkg/api="$work/api" \
        -replace=github.com/openconfig/gnmic/pkg/cache="$work/cache" go.mod
}

# A module whose go.mod replaces parts by folders of its repository cannot be had by `go install`: a module of ours with
# the same requirements builds it.
build() {
    local name=$1 version=$2 module=$3 package=$4 source
    local binary="$cache/$name-$version/$name"
    if [ -x "$binary" ]; then
        echo "components: $name $version is there"
        return
    fi
    command -v go >/dev/null || { echo "components: Go is missing; install Go 1.24 or later to build $name" >&2; exit 1; }
    echo "components: building $name $version (up to 4 minutes)"
    mkdir -p "$work/$name"
    echo "module components.invalid/empty" >"$work/go.mod"
    source=$(module_folder "$module" "$version")
    [ -n "$source" ] || { echo "components: $module@$version cannot be fetched; is GOPROXY reachable?" >&2; exit 1; }
    cd "$work/$name"
    cp "$source/go.mod" "$source/go.sum" .
    chmod u+w go.mod go.sum
    sed -i "s#^module .*#module components.invalid/$name#; /=> \.\.\?\//d" go.mod
    go mod edit -require="$module@$version" go.mod
    if [ "$name" = gnmic ]; then
        gnmic_replacements
    fi
    printf 'package tools\n\nimport _ "%s"\n' "$package" >tools.go
    mkdir -p "$cache/$name-$version"
    go build -trimpath -ldflags="-s -w" -o "$binary.new" "$package"
    mv "$binary.new" "$binary"
    cd "$here"
}

# Debian's: installed without starting a service.
debian() {
    local missing=() pair
    for pair in prometheus:prometheus promtool:prometheus snmpd:snmpd; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || [[ " ${missing[*]} " == *" ${pair##*:} "* ]] || missing+=("${pair##*:}")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "components: prometheus, promtool and snmpd are installed"
        return
    fi
    command -v apt-get >/dev/null || {
        echo "components: install ${missing[*]} with your package manager (this script knows apt-get only)" >&2
        exit 1
    }
    echo "components: installing ${missing[*]} with apt-get"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    # RUNLEVEL tells Debian's maintainer scripts that no service may be started.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

wanted=" $* "
while read -r name version module package; do
    [[ $name == \#* ]] && continue
    [ $# -eq 0 ] || [[ $wanted == *" $name "* ]] || continue
    build "$name" "$version" "$module" "$package"
done <versions
if [ $# -eq 0 ] || [[ $wanted == *" debian "* ]]; then
    debian
fi
