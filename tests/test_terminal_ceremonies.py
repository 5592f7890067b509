"""Ceremonies and snapshots by keyboard at 80x24: the real console in tmux, a real server."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgpkeys import Holder, holders
from test_terminal_vault import config_of, said
from tmux import Terminal, terminal
from vaultset import VaultSet, vault_set

pytestmark = [pytest.mark.terminal, pytest.mark.slow]


PACE = 0.25
"""Seconds between a key and a paste, which would else overtake it."""


@contextmanager
def console(found: VaultSet, folder: Path, who: Holder) -> Iterator[Terminal]:
    home = folder / "home"
    home.mkdir()
    argv = (sys.executable, "-m", "labtui", "--config", str(config_of(found, folder)))
    env = {
        "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "VAULT_TOKEN": "",
        "XDG_CONFIG_HOME": str(home / "config"), "GNUPGHOME": str(who.home),
    }  # fmt: skip
    with terminal(*argv, "--screen", "vault", **env) as t:
        t.wait(f"{found.first} +uninitialised")
        yield t


def fill(t: Terminal, *texts: str) -> None:
    """Each field of a form from its first on."""
    for number, text in enumerate(texts):
        t.keys(*(["Down"] if number else []), "C-u")
        time.sleep(PACE)
        t.type(text)
        time.sleep(PACE)
    t.keys("Enter")


def yes(t: Terminal, title: str) -> None:
    """The plan is answered once it has been there for a moment: quicker keys are no answers."""
    said(t, f"{title}.*do it")
    time.sleep(0.5)
    t.keys("y")


def give(t: Terminal, share: str, number: int, of: int) -> None:
    t.wait(f"share {number} of {of} .*_")
    t.type(share)
    t.wait("66, hex")
    t.keys("Enter")


def from_file(t: Terminal, path: Path, words: str) -> None:
    """A secret that gpg opens instead of being typed."""
    t.wait(words)
    t.wait("_")
    t.keys("C-f")
    t.wait("enter opens it")
    t.keys("C-u")
    time.sleep(PACE)
    t.type(str(path))
    time.sleep(PACE)
    t.keys("Enter")


def test_server_is_initialised_rekeyed_saved_and_restored_by_keyboard(tmp_path: Path) -> None:
    out, keys = tmp_path / "out", tmp_path / "keys"
    out.mkdir()
    keys.mkdir()
    with (
        holders("ana", "ben", "cleo") as people,
        vault_set(tmp_path / "v", initialise=False) as found,
        console(found, tmp_path, people[0]) as t,
    ):
        for person in people:
            shutil.copy(person.public, keys)
        ana = str(people[0].public)

        t.keys("I")
        t.wait("Initialise truenas")
        fill(t, "3", "2", str(keys / "nobody.asc"), ana, str(out))
        said(t, "3 shares need 3 public key files, one each; 1 named")
        t.keys("C-u")
        time.sleep(PACE)
        t.type(str(keys))
        time.sleep(PACE)
        t.keys("Enter")  # the other fields are as they were
        yes(t, "Initialise truenas: 3 shares, 2 needed")
        said(t, "Next: each holder opens one.*esc back", 60)
        t.keys("Escape")
        paths = sorted(out.glob("truenas-share-*"))
        shares = [p.opens(path) for p, path in zip(people, paths, strict=True)]
        token = next(out.glob("truenas-root-token-*"))
        for share in shares[:2]:
            found.client("", "").sys.submit_unseal_key(share)
        t.wait(r"truenas +active[\s\S]+ u unseal", 20)

        t.keys("r")
        t.wait("Rekey truenas")
        fill(t, "3", "2", str(keys), str(out))
        yes(t, "Rekey truenas: 3 shares, 2 needed")
        give(t, shares[0], 1, 2)
        t.wait("1 of 2 shares are in")
        give(t, shares[2], 2, 2)
        said(t, "3 new shares are in .* Not in force yet: 2 holders open theirs", 30)
        t.keys("Enter")
        new_paths = sorted(out.glob("truenas-rekey-*"))
        new = [p.opens(path) for p, path in zip(people, new_paths, strict=True)]
        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("r")
        t.wait("Verify the new shares of truenas")
        give(t, new[1], 1, 2)
        t.wait("1 of 2 shares are in")
        give(t, new[2], 2, 2)
        said(t, "3 new shares are in force, 2 are needed", 30)
        t.keys("Enter")

        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("G")
        t.wait("Make a root token of truenas")
        fill(t, ana, str(out))
        yes(t, "Make a root token of truenas")
        t.wait("share 1 of 2 .*_")
        t.keys("Escape")
        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("K")
        yes(t, "Cancel the making of a root token")
        t.wait("no root token is being made")
        t.wait(r"truenas +active[\s\S]+ u unseal")

        t.keys("w")
        t.wait("Save what truenas stores")
        fill(t, "/nowhere/x")
        said(t, "/nowhere: no such folder")
        fill(t, str(out))
        from_file(t, token, "a token that may read")
        yes(t, "Save a snapshot of truenas")
        said(t, "snapshot in .* index.*esc back", 30)
        t.keys("Escape")
        snap = next(out.glob("*.snap"))
        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("W")
        t.wait("Restore what truenas stores")
        fill(t, str(snap))
        from_file(t, token, "a token that may update")
        said(t, "type truenas and enter")
        time.sleep(0.5)
        for letter in "truenas":
            t.keys(letter)
            time.sleep(0.1)
        t.keys("Enter")
        said(t, "goes on without a break.*esc back", 60)
        t.keys("Escape")

        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("X")
        from_file(t, token, "the root token that is to be revoked")
        yes(t, "Revoke the root token of truenas")
        t.wait("this root token is revoked: 403", 20)
        for secret in (*shares, *new, people[0].opens(token)):
            assert secret not in t.screen
