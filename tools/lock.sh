#!/bin/sh
# Write the two lock files anew from pyproject.toml. Needs uv. Nothing newer than CUTOFF is taken.
set -eu
cd "$(dirname "$0")/.."
: "${CUTOFF:=2026-11-05}"
lock() {
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --no-emit-index-url --no-header --no-annotate --exclude-newer "$CUTOFF" pyproject.toml "$@"
}
lock -o requirements.lock
lock --group dev -o requirements-dev.lock
