"""`#SBATCH` lines as attributes of a submission."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from labtui.slurm.core.job.submission import Asked, JobSubmitDescription, Switch

_ALONE = {
    "hold": ("priority", 0),
    "exclusive": ("resource_sharing", "no"),
    "oversubscribe": ("resource_sharing", "yes"),
    "get-user-env": ("get_user_environment", True),
    "wait-all-nodes": ("wait_all_nodes", True),
}
_SHORT = {"H": "hold", "s": "oversubscribe", "O": "overcommit", "k": "no-kill"}
_TEXTS = {"export": "environment", "exclusive": "resource_sharing",
          "get-user-env": "get_user_environment", "share": "resource_sharing"}  # fmt: skip


def _table() -> tuple[dict[str, str], dict[str, tuple[str, object]], dict[str, str]]:
    """(options with a text, options alone, long name of each short one)."""
    texts, alone, short = dict(_TEXTS), dict(_ALONE), dict(_SHORT)
    for name, field in JobSubmitDescription._fields.items():
        if not isinstance(field, Asked) or not field.option:
            continue
        if isinstance(field, Switch):
            for option, value in ((field.option, True), (field.no, False)):
                if option:
                    plain = option.partition("=")[0]
                    alone.setdefault(plain, (name, value))
                    texts.setdefault(plain, name)
            continue
        texts[field.option] = name
        if field.short:
            short[field.short] = field.option
    return texts, alone, short


_LINE = re.compile(
    r"\s*#SBATCH\s+(?:--(?P<long>[a-z][a-z-]*)|-(?P<short>[A-Za-z]))(?P<rest>.*)", re.ASCII
)


def directives(script: str) -> Iterator[tuple[str, object]]:
    """(attribute, value) of every option that has an attribute; the others are left out.

    Forms: `--time 20`, `--time=20`, `--time = 20`, `-t20`, `-t 20`; a comment may follow.
    """
    texts, alone, shorts = _table()
    for line in script.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        option = found["long"] or shorts.get(found["short"], "")
        rest = found["rest"]
        value = _value(rest)
        if option == "gres-flags":
            yield from _flags(value)
        elif value and option in texts:
            yield texts[option], value
        elif not value and option in alone:
            yield alone[option]


def _value(rest: str) -> str:
    text = re.sub(r"(^|\s)#.*", "", rest).strip()
    text = text[1:].strip() if text.startswith("=") else text
    try:
        return " ".join(shlex.split(text)) if text[:1] in ("'", '"') else text
    except ValueError:
        return text


def _flags(words: str) -> Iterator[tuple[str, object]]:
    for word in words.casefold().split(","):
        if word in ("enforce-binding", "disable-binding"):
            yield "gres_binding", word
        elif word.endswith("-per-sharing"):
            yield "gres_tasks_per_sharing", word
