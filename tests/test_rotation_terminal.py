"""Rotation, set-up, tokens, audit devices and seal by keyboard at 80x24, on a real Vault."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from test_terminal_vault import config_of, said
from tmux import Terminal, terminal
from vaultset import VaultSet, vault_set

pytestmark = [pytest.mark.terminal, pytest.mark.slow]
VALUE = "nvapi-typed-on-a-keyboard-and-never-shown"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    with vault_set(tmp_path_factory.mktemp("vault"), "truenas", unseal=True) as found:
        client = found.client()
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        deadline = time.monotonic() + 20
        while True:  # it is upgraded for a moment after it was enabled
            try:
                client.secrets.kv.v2.create_or_update_secret("ngc", {"api_key": "first"})
                break
            except Exception:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield found


@contextmanager
def console(found: VaultSet, folder: Path, *more: str) -> Iterator[Terminal]:
    config = config_of(found, folder)
    with config.open("a") as file:
        for name, field in (("ngc", "api_key"), ("huggingface", "token")):
            file.write(f'\n[vault.secrets.{name}]\npath = "secret/{name}"\nfield = "{field}"\n')
    env = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "VAULT_TOKEN": ""}
    argv = (sys.executable, "-m", "labtui", "--config", str(config), *more)
    with terminal(*argv, "--screen", "vault", **env) as t:
        t.wait("truenas +(active|sealed)")
        yield t
        kept = t.scrollback
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert any(p.suffix == ".db" for p in files)
    for secret in (found.token, VALUE):
        assert secret not in kept
        assert [p for p in files if secret.encode() in p.read_bytes()] == []


def give(t: Terminal, asked: str, text: str) -> None:
    t.wait(f"Type or paste {asked}")
    t.wait("│ _ +│", 10)
    t.type(text)
    t.wait(f"{len(text)}")
    t.keys("Enter")


def confirm(t: Terminal, key: str = "y") -> None:
    t.wait("do it")
    time.sleep(0.5)  # quicker keys are no answers to a plan
    t.keys(key)


def test_a_secret_is_rotated_and_rolled_back(one: VaultSet, tmp_path: Path) -> None:
    kv = one.client().secrets.kv.v2
    with console(one, tmp_path) as t:
        t.keys("o")
        t.wait("Rotate which secret\\?")
        t.keys("Enter")
        give(t, "the new value of ngc", VALUE)
        give(t, "a token that may write", one.token)
        t.wait("Rotate ngc: version 2 of secret/ngc")
        said(t, r"\(the value, not shown\)")
        confirm(t)
        t.wait("version 2 of secret/ngc is written")
        now = kv.read_secret_version("ngc", raise_on_deleted_version=True)["data"]["data"]
        assert now == {"api_key": VALUE}
        t.wait("enter or esc closes")  # the evidence stays until it was read
        t.keys("Enter")
        t.gone("Rotate ngc")

        t.keys("b")
        t.wait("Roll back which secret\\?")
        t.keys("Enter")
        give(t, "a token that may write", one.token)
        t.wait("Roll ngc back: version 1 of secret/ngc again, as 3")
        confirm(t)
        t.wait("version 3 of secret/ngc is written")
        now = kv.read_secret_version("ngc", raise_on_deleted_version=True)["data"]["data"]
        assert now == {"api_key": "first"}


def test_set_up_a_token_and_an_audit_device(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.keys("e")
        give(t, "a token that may set Vault up", one.token)
        t.wait("Set Vault up for the agents")
        t.wait("read on")
        t.keys(*["PageDown"] * 4)
        said(t, r"token_ttl = 1h")
        confirm(t)
        t.wait("all is as it is wanted")
        t.gone("Set Vault up")

        t.keys("t")
        give(t, "the token to look at", one.token)
        t.wait("a root token, which may do everything")
        t.wait("1 token in all")
        t.keys("q")  # an escape and the next key together would be another key
        t.gone("1 token in all")

        t.keys("D")
        give(t, "a token that may see audit devices", one.token)
        t.wait("there is no audit device")
        t.keys("e")
        t.wait("write to which file")
        t.type(str(one.folder / "audit.log"))
        t.keys("Enter")
        t.wait("Write who asks Vault for what")
        confirm(t)
        t.wait("file is the only one")
        t.keys("x")
        t.wait("disable which device")
        t.type("file")
        t.keys("Enter")
        t.wait("type file and enter")
        time.sleep(0.5)
        for key in "file":
            t.keys(key)
        t.keys("Enter")
        t.wait("there is no audit device")


def test_seal_asks_for_the_name(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.keys("L")
        give(t, "a token that may seal", one.token)
        t.wait("type truenas and enter")
        time.sleep(0.5)
        t.keys("y")
        for key in "wrong":
            t.keys(key)
        t.keys("Enter")
        assert not one.client(token="").sys.is_sealed()
        for _ in "ywrong":
            t.keys("BSpace")
        for key in "truenas":
            t.keys(key)
        t.keys("Enter")
        t.wait("truenas is sealed")
        assert one.client(token="").sys.is_sealed()
        t.gone("Seal Vault on truenas")
        for key in ("o", "e", "t"):
            t.keys(key)
            t.wait("it is sealed: unseal it first", 5)
    one.unseal()


def test_read_only_has_what_reads_alone(one: VaultSet, tmp_path: Path) -> None:
    folder = tmp_path / os.urandom(4).hex()
    folder.mkdir()
    with console(one, folder, "--read-only") as t:
        for key in ("o", "b", "e", "L"):
            t.keys(key)
            t.wait("read-only")
        t.keys("t")
        give(t, "the token to look at", one.token)
        t.wait("a root token")
