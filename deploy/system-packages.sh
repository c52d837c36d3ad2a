#!/bin/sh
# Install the few Debian packages the hub needs, as root; otherwise name what is missing.
# Argument: the Python to use.
set -eu

python=${1:-python3.11}
missing=""
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need git git
need "$python" python3.11
if command -v "$python" >/dev/null 2>&1 && ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    missing="$missing python3.11-venv"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "安装系统软件包 / installing system packages:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "缺少系统软件包，请先安装 / missing system packages, install them first:$missing" >&2
        exit 2
    fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "需要 Python 3.11 / Python 3.11 is needed; $python is another one. Use: make PYTHON=/path/to/python3.11 ..." >&2
    exit 2
fi
