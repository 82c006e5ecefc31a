#!/usr/bin/env bash
# Installs the components of other projects that tests and the lab run. Programs are built with Go at the versions of the
# file `versions`, go to ${HELIOS_COMPONENTS:-~/.cache/helios/components}/NAME-VERSION/NAME and are built once for each
# version. What Debian packages in a version that serves comes from Debian.
#
#   tools/components/install.sh [NAME|GROUP...]       NAME: a line of `versions`, or a Debian package of `debian` below
#   tools/components/install.sh                       the group `collectors`
set -euo pipefail

declare -A groups=(
    [collectors]="gnmic snmp_exporter blackbox_exporter prometheus snmpd"
    [alerts]="alertmanager amtool prometheus"
    [lab]="gnmic snmp_exporter blackbox_exporter prometheus alertmanager"
    [kubernetes]="etcd-server kube-apiserver kube-controller-manager kube-scheduler kubectl helm"
    [gitops]="argocd redis-server git"
    [metrics]="prometheus prometheus3 prometheus-operator alertmanager thanos versitygw"
)
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

# Kubernetes' go.mod replaces k8s.io/api and its other libraries by folders of its repository. They are published as
# modules too: v1.35.4 of Kubernetes is v0.35.4 of each of them.
kubernetes_replacements() {
    local library="v0.${1#v1.}"
    sed -i -E -e "s#^([[:space:]]*)(replace )?(k8s.io/[a-z-]+) => \./staging/src/k8s.io/.*#\1\2\3 => \3 $library#" \
        -e "s#^([[:space:]]+k8s.io/[a-z-]+) v0\.0\.0( .*)?\$#\1 $library#" go.mod
}

# Alertmanager embeds a web interface that its module does not contain. A copy of the module gets an empty one.
alertmanager_replacements() {
    cp -r "$source" "$work/alertmanager-module"
    chmod -R u+w "$work/alertmanager-module"
    local interface
    for interface in elm mantine; do
        mkdir -p "$work/alertmanager-module/ui/app/dist/$interface"
        touch "$work/alertmanager-module/ui/app/dist/$interface/index.html"
    done
    go mod edit -replace=github.com/prometheus/alertmanager="$work/alertmanager-module" go.mod
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
    echo "components: building $name $version (minutes)"
    mkdir -p "$work/$name"
    echo "module components.invalid/empty" >"$work/go.mod"
    source=$(module_folder "$module" "$version")
    [ -n "$source" ] || { echo "components: $module@$version cannot be fetched; is GOPROXY reachable?" >&2; exit 1; }
    cd "$work/$name"
    cp "$source/go.mod" "$source/go.sum" .
    chmod u+w go.mod go.sum
    local flags="-s -w" tags=""
    case $name in
    # Thanos' own release has these tags: with others it keeps labels in a form that takes twice the memory.
    thanos) tags=netgo,slicelabels ;;
    # Without the clouds' discoveries, whose libraries are most of the build. v0.313.1 of the module is version 3.13.1.
    prometheus3)
        tags=netgo,remove_all_sd,enable_kubernetes_sd
        flags+=" -X github.com/prometheus/common/version.Version=$(sed -E 's/^v0\.(.)(..)\.(.*)$/\1.\2.\3/' <<<"$version")"
        ;;
    esac
    if [ "$module" = k8s.io/kubernetes ]; then
        kubernetes_replacements "$version"
        # The API server tells its clients this version; without it, it says v0.0.0 and Helm refuses the chart.
        flags+=" -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
        flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")"
    fi
    sed -i "s#^module .*#module components.invalid/$name#; /=> \.\.\?\//d" go.mod
    go mod edit -require="$module@$version" go.mod
    case $name in
    gnmic) gnmic_replacements ;;
    alertmanager) alertmanager_replacements ;;
    esac
    if [ -e "$here/$name/main.go.txt" ]; then
        cp "$here/$name/main.go.txt" main.go
    else
        printf 'package tools\n\nimport _ "%s"\n' "$package" >tools.go
    fi
    mkdir -p "$cache/$name-$version"
    nice -n 10 go build -trimpath -tags "$tags" -ldflags="$flags" -o "$binary.new" "$package"
    mv "$binary.new" "$binary"
    cd "$here"
}

# Debian packages, with a program by which each is known to be installed. No service is started.
declare -A debian=([prometheus]=prometheus [snmpd]=snmpd [etcd-server]=etcd [redis-server]=redis-server [git]=git)
install_debian() {
    local missing=() package
    for package in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${debian[$package]}" >/dev/null || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
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

packages=()
[ $# -gt 0 ] || set -- collectors
for wanted in "$@"; do
    for name in ${groups[$wanted]:-$wanted}; do
        if [ -n "${debian[$name]:-}" ]; then
            packages+=("$name")
            continue
        fi
        read -r _ version module package < <(grep "^$name " versions) || {
            echo "components: $name is no group (${!groups[*]}), no Debian package (${!debian[*]}) and not in tools/components/versions" >&2
            exit 1
        }
        build "$name" "$version" "$module" "$package"
    done
done
install_debian "${packages[@]}"
