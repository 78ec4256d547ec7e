#!/bin/sh
# Makes the virtual environment DIRECTORY and installs there what pip is told: scripts/venv.sh DIRECTORY PIP-ARGUMENT...
set -eu

directory=$1
shift
cd "$(dirname "$0")/.."

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=""
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    scripts/debian.sh "edgecam (Python 3.11 or newer)" python3 python3-venv
    python=python3
    if ! is_new_enough "$python"; then
        echo "edgecam needs Python 3.11 or newer; this machine has $("$python" --version 2>&1). PYTHON=/path/to/python names another." >&2
        exit 1
    fi
fi

options=""
# libcamera's and picamera2's Python modules exist only as the distribution's packages, for its own Python.
if [ -x /usr/bin/python3 ] && is_new_enough /usr/bin/python3 &&
    /usr/bin/python3 -c 'import importlib.util as u; raise SystemExit(not (u.find_spec("libcamera") and u.find_spec("picamera2")))' 2>/dev/null; then
    python=/usr/bin/python3
    options=--system-site-packages
fi

if ! "$directory/bin/python" -c 'import pip' 2>/dev/null; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian ships them apart from Python; a Python of another origin has them.
        scripts/debian.sh "a virtual environment" python3-venv
        "$python" -c 'import ensurepip, venv' 2>/dev/null || python=/usr/bin/python3
    fi
    echo "making $directory with $("$python" --version)"
    # shellcheck disable=SC2086 # none or one
    "$python" -m venv --clear $options "$directory"
fi

echo "installing into $directory (the first time takes a minute)"
"$directory/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"
