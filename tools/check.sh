#!/bin/sh
# The quick checks: formatting, lint, types, import layers, generated docs.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
echo "== ruff"; ruff format --check . ; ruff check .
echo "== mypy"; mypy
echo "== import layers"; lint-imports
echo "== generated docs"; python tools/gendocs.py --check
