"""Batch scripts to start from: those that come with labtui, and a person's own.

One file a template, `NAME.sbatch`: in `playbooks/jobs/` beside the code, and in
`~/.config/labtui/jobs/` (`$XDG_CONFIG_HOME` is honoured). Of the same name one's own wins. What
the first comment line says is what menus show.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from labtui.slurm.script import mistakes

MAX_FILE = 1 << 20
"""Bytes of a template or pipeline that is read."""


class Template(msgspec.Struct, frozen=True):
    name: str
    summary: str
    """The first comment line of the script."""
    script: str
    path: Path | None = None
    """A person's own file; None for what comes with labtui."""


class FileError(ValueError):
    """A file that cannot be used: `FILE:LINE: what is wrong and what to do`, one sentence."""


def own_folder() -> Path:
    """Where a person keeps templates and pipelines; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "labtui" / "jobs"


def shipped(name: str = "") -> Traversable:
    """A file that comes with labtui; without a name their folder."""
    folder = resources.files("labtui.playbooks").joinpath("jobs")
    return folder.joinpath(name) if name else folder


def job_files(ending: str) -> Iterator[tuple[str, Traversable | Path, bool]]:
    """(name, file, it is one's own) of every file of this ending, by name; one's own wins."""
    found: dict[str, tuple[Traversable | Path, bool]] = {}
    for entry in shipped().iterdir():
        if entry.name.endswith(ending):
            found[entry.name.removesuffix(ending)] = (entry, False)
    try:
        own = [p for p in own_folder().iterdir() if p.name.endswith(ending)]
    except OSError:
        own = []
    for path in own:
        if not path.name.startswith("."):
            found[path.name.removesuffix(ending)] = (path, True)
    for name in sorted(found):
        yield name, *found[name]


def read_text(file: Traversable | Path) -> str:
    """Raises FileError naming the file."""
    try:
        if isinstance(file, Path) and file.stat().st_size > MAX_FILE:
            raise FileError(f"{file}: is larger than {MAX_FILE >> 20} MiB; is it a job script?")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileError(f"{file}:{line}: is not UTF-8 text; save it as such") from None


def templates() -> tuple[list[Template], list[str]]:
    """All that can be used, by name; and a sentence for each file that cannot."""
    found, broken = [], []
    for name, file, own in job_files(".sbatch"):
        try:
            found.append(_template(name, file, own))
        except FileError as error:
            broken.append(str(error))
    return found, broken


def template(name: str) -> Template:
    """Raises FileError, with the names there are or with what is wrong with its file."""
    names = []
    for known, file, own in job_files(".sbatch"):
        if known == name:
            return _template(name, file, own)
        names.append(known)
    raise FileError(f"no template {name!r}; there are: {', '.join(names)}")


def _template(name: str, file: Traversable | Path, own: bool) -> Template:
    script = read_text(file).replace("\r\n", "\n")
    for line, wrong in mistakes(script):
        raise FileError(f"{file}:{line}: {wrong}")
    comments = (line[2:].strip() for line in script.splitlines() if line.startswith("# "))
    return Template(name, next(comments, ""), script, Path(str(file)) if own else None)
