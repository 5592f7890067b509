"""Write docs/keys.md from the registry and docs/pyslurm.md from the package.

`--check` fails when one is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyslurmdocs

from labtui.keys import shown
from labtui.registry import ACTIONS, COMMANDS, SUBJECTS
from labtui.spec import ActionSpec

DOCS = Path(__file__).resolve().parent.parent / "docs"


def table(specs: list[ActionSpec]) -> list[str]:
    lines = ["| key | id | words | what it does |", "|---|---|---|---|"]
    for spec in specs:
        notes = " Takes all marked rows." if spec.many else ""
        notes += " Asks first." if spec.changes and spec.asks else ""
        notes += " Gone under `--read-only`." if spec.changes else ""
        lines.append(f"| `{shown(spec.key)}` | `{spec.id}` | {spec.words} | {spec.help}{notes} |")
    return lines


def page() -> str:
    lines = [
        "# Keys",
        "",
        "Made from the registry by `make docs`; `make test` fails when it is stale. Any key can be",
        'changed in the config: `[keys]`, then `"queue.cancel" = "x"`.',
        "",
        "## Everywhere",
        "",
        *table(list(COMMANDS)),
    ]
    for subject in SUBJECTS:
        actions = [s for s in ACTIONS if subject.name in s.subjects]
        if actions:
            lines += ["", f"## {subject.title}", "", subject.words, "", *table(actions)]
    return "\n".join(lines) + "\n"


def main() -> int:
    stale = False
    for name, text in (("keys.md", page()), ("pyslurm.md", pyslurmdocs.page())):
        target = DOCS / name
        if "--check" not in sys.argv:
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            print(f"{name} is stale: run `make docs`", file=sys.stderr)
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
