"""A sealed Vault, by keyboard at 80x24: the real console in tmux, real servers on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tmux import Terminal, terminal
from vaultset import VaultSet, vault_set

pytestmark = [pytest.mark.terminal, pytest.mark.slow]


def config_of(found: VaultSet, folder: Path) -> Path:
    nodes = "".join(f'{name} = "{url}"\n' for name, url in found.urls.items())
    path = folder / "labtui.toml"
    path.write_text(
        f'[cluster]\nname = "loop"\n\n[vault]\nca_file = "{found.ca}"\n\n[vault.nodes]\n{nodes}'
    )
    return path


@contextmanager
def console(found: VaultSet, folder: Path, *more: str, **env: str) -> Iterator[Terminal]:
    """The vault screen, once it has the first server's row."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    argv = (sys.executable, "-m", "labtui", "--config", str(config_of(found, folder)))
    settings = {
        "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"), "VAULT_TOKEN": "", **env,
    }  # fmt: skip
    with terminal(*argv, "--screen", "vault", *more, **settings) as t:
        t.wait(f"{found.first} +(sealed|unsealing|active)")
        yield t


@pytest.fixture
def one(tmp_path: Path) -> Iterator[VaultSet]:
    with vault_set(tmp_path / "vault") as found:
        yield found


def give(t: Terminal, share: str, number: int, of: int = 3) -> None:
    t.wait(f"share {number} of {of} .*_")
    t.type(share)
    t.wait("44, base64")
    t.keys("Enter")


def test_three_shares_unseal_and_the_result_is_checked(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.wait("truenas +sealed")
        t.keys("u")
        for number in (1, 2, 3):
            give(t, one.shares[number], number)
        t.wait("truenas is unsealed: active", 30)
        t.keys("Enter")
        t.wait("truenas +active")
        t.keys("?")  # the keyboard is the console's again
        t.wait("Help: Vault", 5)
