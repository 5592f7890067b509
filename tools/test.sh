#!/bin/sh
# All checks and all tests. As root on Debian it brings up a lab of its own (named "test") first and
# takes it down at the end; elsewhere the lab's part is skipped, and each skip says why.
set -eu
cd "$(dirname "$0")/.."
export LABTUI_TEST_LAB="${LABTUI_TEST_LAB:-test}"
log="${TMPDIR:-/tmp}/labtui-test-lab.log"

finish() {
    code=$?
    trap - EXIT INT TERM
    if [ "$(id -u)" = 0 ] && [ "${LABTUI_TEST_KEEP:-}" != 1 ]; then
        .venv/bin/labtui lab down --name "$LABTUI_TEST_LAB" >>"$log" 2>&1 || true
    fi
    exit "$code"
}
trap finish EXIT INT TERM

if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    echo "== lab: coming up in the background as '$LABTUI_TEST_LAB' (log: $log)"
    .venv/bin/labtui lab up --name "$LABTUI_TEST_LAB" --no-console >"$log" 2>&1 &
    lab=$!
else
    echo "== lab: SKIPPED: it needs root on Debian 12 or 13"
    lab=
fi
tools/check.sh
if [ -n "$lab" ]; then
    echo "== lab: waiting"
    wait "$lab" || { echo "== lab: DID NOT COME UP:"; tail -n 20 "$log"; }
fi
echo "== pytest"
.venv/bin/python -m pytest -ra "$@"
