#!/bin/sh
# Make .venv with what labtui needs, pinned and checked by hash; `setup.sh dev` adds what tests need.
# Does nothing when the lock files have not changed since the last time.
set -eu
cd "$(dirname "$0")/.."
lock=requirements.lock
[ "${1:-}" = dev ] && lock=requirements-dev.lock

apt() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "setup: needs $*: install it, or run as root on Debian" >&2
        exit 1
    fi
    echo "setup: apt-get install $*" >&2
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# A Python >= 3.11 that can make virtual environments.
find_python() {
    for p in python3.13 python3.12 python3.11 python3; do
        if command -v "$p" >/dev/null &&
            "$p" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            command -v "$p"
            return
        fi
    done
    return 1
}

stamp=".venv/.labtui-$(cat requirements.lock "$lock" pyproject.toml | sha256sum | cut -c1-16)"
if [ ! -e "$stamp" ]; then
    python=$(find_python) || { apt python3 python3-venv; python=$(find_python); } || {
        echo "setup: needs Python 3.11 or newer with its venv module" >&2
        exit 1
    }
    [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
    echo "setup: installing $(grep -c '==' "$lock") pinned packages into .venv" >&2
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
    # The build backend is pinned in the development lock; plain use gets it for the moment it needs.
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
    rm -f .venv/.labtui-*
    touch "$stamp"
fi

if [ "${1:-}" = dev ]; then
    missing=
    command -v tmux >/dev/null || missing="$missing tmux"
    [ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
    command -v prometheus >/dev/null || missing="$missing prometheus"
    command -v prometheus-alertmanager >/dev/null || missing="$missing prometheus-alertmanager"
    command -v gpg >/dev/null && command -v gpg-agent >/dev/null || missing="$missing gpg gpg-agent"
    command -v ssh >/dev/null || missing="$missing openssh-client"
    command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
    # shellcheck disable=SC2086
    if [ -n "$missing" ]; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            # Servers for tests are started by the tests, on loopback; none of them as a service.
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.labtui
            chmod 755 /usr/sbin/policy-rc.d.labtui
            kept=
            [ -e /usr/sbin/policy-rc.d ] && kept=yes || mv /usr/sbin/policy-rc.d.labtui /usr/sbin/policy-rc.d
            apt $missing
            [ -n "$kept" ] && rm -f /usr/sbin/policy-rc.d.labtui || rm -f /usr/sbin/policy-rc.d
        else
            echo "setup: not root: the tests that need$missing will be skipped" >&2
        fi
    fi
fi
