"""Batch scripts to start from: data files beside the code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    summary: str
    """The first comment line of the script."""
    script: str


def templates() -> list[Template]:
    """Those in `playbooks/jobs/`, by name."""
    folder = resources.files("labtui.playbooks").joinpath("jobs")
    found = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".sbatch"):
            script = entry.read_text(encoding="utf-8")
            comments = (line[2:].strip() for line in script.splitlines() if line.startswith("# "))
            found.append(Template(entry.name.removesuffix(".sbatch"), next(comments, ""), script))
    return found


def template(name: str) -> Template:
    """Raises KeyError with the names there are."""
    found = {t.name: t for t in templates()}
    if name not in found:
        raise KeyError(f"no template {name!r}; there are: {', '.join(found)}")
    return found[name]
