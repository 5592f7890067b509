"""Which playbooks there are, and what each says of itself in the comment at its head.

`NAME.yml` is one. `NAME.undo.yml` takes away what it put, `NAME.verify.yml` looks whether it
works. The head is plain comment to ansible-playbook:

    # Vault's agent on every compute node            its title
    # on: vault.agents                               where it runs
    # asks: vault.token                              the secret that it is given, if any
    # needs: Deliver a secret-id                     ... where this task would change something
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from labtui.config import Config, user_config_path
from labtui.plays.inventory import PlayError

INSTALL = Path(__file__).parent.parent / "playbooks/install"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_KEY = re.compile(r"(on|asks|needs): +(\S.*)")
HEAD = 4096
"""Bytes of a playbook that are read for its head."""


class Book(msgspec.Struct, frozen=True):
    name: str
    path: Path
    title: str
    words: str
    """What it does, a few sentences."""
    on: str
    """`vault.agents`, `slurm`, `all`, or names of nodes between commas."""
    undo: Path | None
    verify: Path | None
    asks: str = ""
    """`vault.token`: it hands a wrapped secret-id to each node that needs one."""
    needs: str = ""
    """The task that tells, in a preview, which nodes need it."""


def folders() -> list[Path]:
    """Ours, then the user's own, which may not replace ours."""
    return [INSTALL, user_config_path().parent / "playbooks"]


def books(places: Sequence[Path] | None = None) -> dict[str, Book]:
    """By name. A file that cannot be read, or has no head, is none of them."""
    found: dict[str, Book] = {}
    for folder in places or folders():
        try:
            files = sorted(folder.glob("*.yml"))
        except OSError:
            continue
        for file in files:
            if _NAME.fullmatch(file.stem) and file.stem not in found:
                made = _book(file)
                if made is not None:
                    found[file.stem] = made
    return found


def book(name: str) -> Book:
    """Raises PlayError."""
    found = books()
    if name not in found:
        raise PlayError(f"no playbook {name!r}: there is {', '.join(found) or 'none'}")
    return found[name]


def _book(path: Path) -> Book | None:
    try:
        with path.open("rb") as file:
            text = file.read(HEAD).decode(errors="replace")
    except OSError:
        return None
    head: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("#").strip())
    keys = {m[1]: m[2] for line in head if (m := _KEY.fullmatch(line))}
    words = [line for line in head if line and not _KEY.fullmatch(line)]
    if not words or "on" not in keys:
        return None

    def beside(kind: str) -> Path | None:
        other = path.with_name(f"{path.stem}.{kind}.yml")
        return other if other.is_file() else None

    return Book(
        name=path.stem,
        path=path,
        title=words[0],
        words=" ".join(words[1:]),
        on=keys["on"],
        undo=beside("undo"),
        verify=beside("verify"),
        asks=keys.get("asks", ""),
        needs=keys.get("needs", ""),
    )


def targets(book: Book, config: Config, only: Sequence[str] = ()) -> list[str]:
    """The nodes that it runs on; of those `only` these. Raises PlayError where there are none."""
    match book.on:
        case "vault.agents":
            found = list(config.vault.agents)
            missing = "no node is named in [vault] agents"
        case "slurm":
            found = [name for name, node in config.nodes.items() if node.slurm]
            missing = "no node has slurm = true"
        case "all":
            found = list(config.nodes)
            missing = "there are no [nodes]"
        case names:
            found = [name.strip() for name in names.split(",")]
            missing = ""
    for name in only:
        if name not in found:
            there = ", ".join(found) or missing
            raise PlayError(f"{book.name} does not run on {name!r}, but on: {there}")
    if not found:
        raise PlayError(f"{book.name} has nowhere to run: {missing}")
    return list(only) or found
