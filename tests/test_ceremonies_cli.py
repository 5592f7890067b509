"""The whole life of a server from the shell: the real program, real servers, gpg's own files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgpkeys import Holder, holders
from vaultset import VaultSet, vault_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people() -> Iterator[list[Holder]]:
    with holders("ana", "ben", "cleo") as made:
        yield made


class Shell:
    """`labtui ...` as one person after the other, with that person's key ring."""

    def __init__(self, found: VaultSet, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.config = folder / "labtui.toml"
        nodes = "".join(f'{name} = "{url}"\n' for name, url in found.urls.items())
        self.config.write_text(
            f'[cluster]\nname = "loop"\n[vault]\nca_file = "{found.ca}"\n[vault.nodes]\n{nodes}'
        )
        self.printed = ""

    def run(self, who: Holder, *argv: str) -> tuple[int, str]:
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "GNUPGHOME": str(who.home),
            "XDG_STATE_HOME": str(self.home / "state"), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        call = [sys.executable, "-m", "labtui", "--config", str(self.config), "vault", *argv]
        done = subprocess.run(
            call, env=env, capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        text = done.stdout + done.stderr
        self.printed += text
        return done.returncode, text

    def good(self, who: Holder, *argv: str) -> str:
        code, text = self.run(who, *argv)
        assert code == 0, text
        return text


def test_life_of_a_server_from_the_shell(people: list[Holder], tmp_path: Path) -> None:
    ana, ben, cleo = people
    out, keys = tmp_path / "out", tmp_path / "keys"
    out.mkdir()
    keys.mkdir()
    for person in people:
        shutil.copy(person.public, keys)
    into = ("--out", str(out))
    with vault_set(tmp_path / "v", initialise=False) as found:
        shell = Shell(found, tmp_path)
        begin = ("init", "truenas", "--shares", "3", "--threshold", "2", *into, "--yes")
        code, text = shell.run(ana, *begin)
        assert code == 1 and "3 shares need 3 public key files" in text
        code, text = shell.run(ana, *begin, "--pgp", str(keys))
        assert code == 1 and "of the person who gets the root token" in text
        text = shell.good(ana, *begin, "--pgp", str(keys), "--root-pgp", str(ana.public))
        assert "Cleo <cleo@lab>" in text and "Next: each holder opens one" in text
        shares = [str(path) for path in sorted(out.glob("truenas-share-*"))]
        token = str(next(out.glob("truenas-root-token-*")))
        plain = [p.opens(f) for p, f in zip(people, shares, strict=True)] + [ana.opens(token)]

        code, text = shell.run(ana, "unseal", "truenas", "--gpg", shares[0])
        assert code == 1 and "1 more share is needed" in text
        shell.good(ben, "unseal", "truenas", "--gpg", shares[1])

        # A snapshot, restored over what came later.
        snap = tmp_path / "kept.snap"
        shell.good(ana, "snapshot", str(snap), "--token-gpg", token, "--yes")
        code, text = shell.run(ana, "snapshot", str(snap), "--token-gpg", token, "--yes")
        assert code == 1 and "nothing is overwritten" in text
        code, text = shell.run(ana, "restore", str(snap), "--token-gpg", token)
        assert code == 2 and "needs the name truenas" in text
        restore = ("restore", str(snap), "--token-gpg", token, "--confirm", "truenas")
        assert "goes on without a break" in shell.good(ana, *restore)

        # A rekey by two people at two consoles, then the verification by two.
        code, text = shell.run(ana, "rekey", "truenas", "--gpg", shares[0])
        assert code == 2 and "--start begins one" in text
        start = ("rekey", "truenas", "--start", "--shares", "2", "--threshold", "2", "--yes", *into)
        new_keys = ("--pgp", str(cleo.public), "--pgp", str(ben.public))
        code, text = shell.run(ana, *start, *new_keys, "--gpg", shares[0])
        assert code == 1 and "1 of 2 are in" in text
        text = shell.good(ben, "rekey", "truenas", *into, "--gpg", shares[1])
        assert "Not in force yet: 2 holders open theirs" in text
        new = [str(path) for path in sorted(out.glob("truenas-rekey-*"))]
        plain += [cleo.opens(new[0]), ben.opens(new[1])]
        code, text = shell.run(cleo, "rekey", "truenas", "--gpg", new[0])
        assert code == 1 and "1 of 2 are in" in text
        text = shell.good(ben, "rekey", "truenas", "--gpg", new[1])
        assert "2 new shares are in force, 2 are needed" in text

        # A root token for Cleo; the first one goes, then hers.
        named = tmp_path / "cleo-root.asc"
        make = ("generate-root", "truenas", "--pgp", str(cleo.public), "--out", str(named))
        code, text = shell.run(ben, *make, "--yes", "--gpg", new[1])
        assert code == 1 and "1 of 2 are in" in text
        goes_on = ("generate-root", "truenas", "--out", str(named))
        text = shell.good(cleo, *goes_on, "--gpg", new[0])
        assert "Revoke it when done" in text and cleo.opens(named).startswith("hvs.")
        plain.append(cleo.opens(named))
        for who, file in ((ana, token), (cleo, str(named))):
            text = shell.good(who, "revoke-root", "truenas", "--token-gpg", file, "--yes")
            assert "this root token is revoked: 403" in text
            code, text = shell.run(who, "revoke-root", "truenas", "--token-gpg", file, "--yes")
            assert code == 1

        # Cancelled, and not from a pipe.
        shell.good(ana, *start, *new_keys)
        code, text = shell.run(ana, "rekey", "truenas")
        assert code == 2 and "no terminal" in text
        assert "the old shares stay valid" in shell.good(
            ana, "rekey", "truenas", "--cancel", "--yes"
        )
        shell.good(ana, "generate-root", "truenas", "--pgp", str(ana.public), "--yes")
        shell.good(ana, "generate-root", "truenas", "--cancel", "--yes")
        code, text = shell.run(ana, "generate-root", "truenas", "--cancel", "--yes")
        assert code == 1 and "no root token is being made" in text
        code, text = shell.run(ana, "rekey", "nowhere", "--cancel")
        assert code == 2 and "no Vault 'nowhere'" in text

    for secret in plain:
        assert secret not in shell.printed
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    written += [*out.iterdir(), snap, named]
    for path in written:
        data = path.read_bytes()
        for secret in plain:
            assert secret.encode() not in data, path
    databases = [path for path in written if path.suffix in (".sqlite", ".db", ".sqlite3")]
    assert databases, "the audit was to be searched too"
    done = sqlite3.connect(databases[0]).execute("select count(*) from audit").fetchone()
    assert done[0] >= 15
