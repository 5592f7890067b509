#!/bin/sh
# All checks and all tests. As root on Debian it brings up a lab of its own (named "test") first and
# takes it down at the end; elsewhere the lab's part is skipped, and each skip says why.
# Three runs of pytest: what talks to Slurm on 22.05, in a second lab; what needs no lab, several
# tests at a time; all that needs a lab, with 24.11. The labs are forgotten at the end: one that was
# taken down in the middle has runs that never end.
# With arguments (files, -k ...) there is one run, with these.
set -eu
cd "$(dirname "$0")/.."
export LABTUI_TEST_LAB="${LABTUI_TEST_LAB:-test}"
log="${TMPDIR:-/tmp}/labtui-test-lab.log"

old="$LABTUI_TEST_LAB-old"
on_both="tests/test_slurm_lab.py tests/test_slurm_limits_lab.py tests/test_pipelines_lab.py
    tests/test_jobscreens_lab.py tests/test_pyslurm_lab.py tests/test_pyslurm_nodes.py
    tests/test_pyslurm_slurmctld.py tests/test_pyslurm_db.py tests/test_gpus_lab.py"

finish() {
    code=$?
    trap - EXIT INT TERM
    if [ "$(id -u)" = 0 ] && [ "${LABTUI_TEST_KEEP:-}" != 1 ]; then
        .venv/bin/labtui lab down --name "$LABTUI_TEST_LAB" --forget >>"$log" 2>&1 || true
        [ -z "${older:-}" ] || .venv/bin/labtui lab down --name "$old" --forget >>"$log" 2>&1 || true
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
code=0
if [ -n "$lab" ] && [ $# -eq 0 ]; then
    echo "== lab: a second one with Slurm 22.05, as '$old'"
    older=yes
    if .venv/bin/labtui lab up --name "$old" --suite bookworm --no-console >>"$log" 2>&1; then
        echo "== pytest on Slurm 22.05: what talks to Slurm"
        # shellcheck disable=SC2086
        LABTUI_TEST_LAB="$old" LABTUI_TEST_SUITE=bookworm LABTUI_TEST_MOMENTS=20 \
            .venv/bin/python -m pytest -m lab -ra $on_both || code=$?
    else
        echo "== pytest on Slurm 22.05: SKIPPED: that lab did not come up:"; tail -n 20 "$log"
    fi
fi
if [ $# -ne 0 ]; then
    echo "== pytest"
    .venv/bin/python -m pytest -ra "$@" || code=$?
    exit "$code"
fi
# After the first lab's tests: those have waited until Vault, which these start too, is built.
echo "== pytest: what needs no lab"
.venv/bin/python -m pytest -ra -m "not lab" -n "$(($(nproc) + 1))" --dist worksteal || code=$?
echo "== pytest: what needs the lab"
.venv/bin/python -m pytest -ra -m lab || code=$?
exit "$code"
