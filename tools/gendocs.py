"""Write docs/keys.md from the registry; `--check` fails when the file is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from labtui.keys import shown
from labtui.registry import ACTIONS, COMMANDS, SUBJECTS
from labtui.spec import ActionSpec

TARGET = Path(__file__).resolve().parent.parent / "docs" / "keys.md"


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
    text = page()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            print(f"{TARGET.name} is stale: run `make docs`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
