#!/usr/bin/env bash
# Installs what clickhouse_http needs into a Python virtual environment of its own.
# Run it again at any time: it does nothing if the environment is already as asked for.
set -euo pipefail

usage() {
    cat <<EOF
usage: install.sh DIR [--test]

Makes the Python environment DIR with the ClickHouse engine (chDB) and the other packages of
requirements.txt; with --test also what the tests need. Start the tool afterwards with

    DIR/bin/python -m clickhouse_http --path DATA

PYTHON names the interpreter to use (default: python3; 3.11 or newer).
EOF
}

die() {
    echo "install.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
dir=
with_tests=
for argument in "$@"; do
    case $argument in
    --test) with_tests=yes ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *)
        [ -z "$dir" ] || { usage >&2 && exit 2; }
        dir=$argument
        ;;
    esac
done
[ -n "$dir" ] || { usage >&2 && exit 2; }

check_python() {
    command -v "$python" >/dev/null || die "$python not found; on Debian and Ubuntu: apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$python" --version) is too old, 3.11 or newer is needed; name another with PYTHON=..."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
}

make_environment() {
    if "$dir/bin/python" -c '' 2>/dev/null; then
        return
    fi
    if [ -f "$dir/pyvenv.cfg" ]; then
        echo "the interpreter of $dir is gone: making the environment again"
    elif [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
        die "$dir holds something else than a Python environment; name a directory of its own"
    fi
    "$python" -m venv --clear "$dir"
}

# The stamp says which requirements the environment was made from, and with which interpreter.
stamp_of() {
    "$dir/bin/python" -c '
import hashlib, pathlib, sys
print(hashlib.sha256(sys.version.encode() + pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())' "$1"
}

# install_requirements FILE WHAT SIZE PIP-OPTIONS...
install_requirements() {
    local file=$1 what=$2 size=$3 stamp_file stamp
    shift 3
    stamp_file=$dir/.stamp-$(basename "$file" .txt)
    stamp=$(stamp_of "$file")
    if [ "$(cat "$stamp_file" 2>/dev/null)" = "$stamp" ]; then
        echo "$what: up to date in $dir"
        return
    fi
    echo "$what: installing into $dir (downloads about $size from the Python package index)"
    rm -f "$stamp_file"
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" -r "$file" ||
        die "pip could not install $file; is the Python package index reachable?"
    echo "$stamp" >"$stamp_file"
}

check_python
make_environment
install_requirements "$here/requirements.txt" "ClickHouse engine" "185 MB" --no-deps
[ -z "$with_tests" ] || install_requirements "$here/requirements-test.txt" "test packages" "5 MB"

# Makes `python -m clickhouse_http` work from any directory, and always with the current source.
site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$here" >"$site/clickhouse_http.pth"
