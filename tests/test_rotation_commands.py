"""`labtui vault rotate|rollback|seal|setup|token|audit-devices`: the real program, the real
keyholder, gpg files, a real Vault; and nothing secret in anything that is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pgpkeys import Holder, holders
from vaultset import VaultSet, vault_set

VALUE = "nvapi-a-value-for-one-line-only"


@dataclass
class Shell:
    """`labtui` with a configuration and a home of its own."""

    servers: VaultSet
    person: Holder
    home: Path
    said: bytes = b""
    files: int = 0

    def __call__(self, *words: str, read_only: bool = False) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "labtui", "--config", str(self.home / "labtui.toml")]
        argv += ["--read-only"] if read_only else []
        env = {
            **os.environ, "HOME": str(self.home), "GNUPGHOME": str(self.person.home),
            "XDG_STATE_HOME": str(self.home / "state"), "LABTUI_CONFIG": "",
        }  # fmt: skip
        done = subprocess.run(
            [*argv, "vault", *words], capture_output=True, text=True, timeout=120, check=False,
            env=env, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.said += (done.stdout + done.stderr).encode()
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def wrapped(self, text: str) -> str:
        """A file that only the person's key opens."""
        self.files += 1
        plain, path = self.home / "plain", self.person.home / f"secret-{self.files}.gpg"
        plain.write_text(text)
        uid = f"{self.person.name}@lab"
        self.person.gpg("--trust-model", "always", "--recipient", uid, "--output", str(path),
                        "--encrypt", str(plain))  # fmt: skip
        plain.unlink()
        return str(path)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("shell")
    with (
        vault_set(folder / "vault", "truenas", unseal=True) as servers,
        holders("ana") as (ana,),
    ):
        found = Shell(servers, ana, folder / "home")
        found.home.mkdir()
        token = found.wrapped(servers.token + "\n")
        (found.home / "labtui.toml").write_text(f"""
[cluster]
name = "lab"
[nodes.here]
transport = "local"
address = "127.0.0.1"
[vault]
ca_file = "{servers.ca}"
agents = ["here"]
token_gpg = "{token}"
[vault.nodes]
truenas = "{servers.urls["truenas"]}"
[vault.secrets.ngc]
path = "secret/ngc"
env = ["NGC_API_KEY"]
""")
        yield found
        traces(found)


def traces(shell: Shell) -> None:
    """Of the token and the values: in what was printed, and in every file that labtui wrote."""
    secrets = [shell.servers.token, VALUE, f"{VALUE}-2", f"{VALUE}-3"]
    places = {"output": shell.said} | {
        str(p): p.read_bytes() for p in shell.home.rglob("*") if p.is_file()
    }
    assert any(name.endswith(".db") for name in places), "the audit was written"
    for secret in secrets:
        for name, data in places.items():
            assert secret.encode() not in data, f"{name} holds a secret"


def test_set_up_then_rotate_and_back_with_evidence(shell: Shell) -> None:
    done = shell("setup", "--show")
    assert done.returncode == 1 and "+++ b/role/compute-node" in done.stdout, done.stderr
    done = shell("setup")
    assert done.returncode == 2 and "--yes" in done.stderr
    done = shell("setup", "--yes", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["outcome"] == "done", done.stderr
    done = shell("setup", "--show")
    assert done.returncode == 0 and done.stdout == "" and "no secret secret/ngc yet" in done.stderr

    deadline = time.monotonic() + 20
    while True:  # the engine is upgraded for a moment after it was enabled
        done = shell("rotate", "secret/ngc", "--value-gpg", shell.wrapped(VALUE), "--yes", "--json")
        if "upgrad" not in done.stderr + done.stdout or time.monotonic() > deadline:
            break
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["version"], told["before"], told["field"]) == ("1", "0", "api_key"), told
    # No agent is installed here, and it is named as not having it.
    assert done.returncode == 1 and told["node here"].startswith("not arrived: ")
    assert "(the value, not shown)" in done.stderr

    value = shell.wrapped(f"{VALUE}-2\n")
    done = shell("rotate", "ngc", "--value-gpg", value, "--yes", "--wait", "0")
    assert "version 2 of secret/ngc is written" in done.stdout, done.stderr
    kv = shell.servers.client().secrets.kv.v2
    now = kv.read_secret_version("ngc", raise_on_deleted_version=True)["data"]["data"]
    assert now == {"api_key": f"{VALUE}-2"}, "the end of the file's line is no part of it"
    done = shell("rollback", "ngc", "--yes", "--wait", "0", "--json")
    told = json.loads(done.stdout)
    assert told["version"] == "3" and len(told["hash"]) == 12
    now = kv.read_secret_version("ngc", raise_on_deleted_version=True)["data"]["data"]
    assert now == {"api_key": VALUE}
    done = shell("rollback", "ngc", "--version", "2", "--yes", "--wait", "0", "--json")
    assert json.loads(done.stdout)["version"] == "4"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rotate", "nope"), "no secret is called 'nope'"),
        (("rotate", "kv/other"), "say which field"),
        (("rotate", "ngc", "--wait", "9999"), "0 to 360"),
        (("rollback", "ngc", "--version", "x"), "is no version"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    done = shell(*words)
    assert done.returncode == 1 and said in done.stderr


@pytest.mark.parametrize("words", [(VALUE,), ("--value", VALUE), (f"--value={VALUE}",)])
def test_a_value_as_an_argument_is_refused_and_not_repeated(
    shell: Shell, words: tuple[str, ...]
) -> None:
    done = shell("rotate", "ngc", *words)
    assert done.returncode == 2 and "never given as an argument" in done.stderr
    assert VALUE not in done.stderr + done.stdout


def test_an_unknown_mount_and_a_missing_right(shell: Shell) -> None:
    value = shell.wrapped(f"{VALUE}-3")
    done = shell("rotate", "nope/x", "--field", "f", "--value-gpg", value, "--yes")
    assert done.returncode == 1 and "no engine is mounted at nope/" in done.stderr
    client = shell.servers.client()
    made = client.auth.token.create(policies=["compute-node"], ttl="1h")["auth"]["client_token"]
    token = shell.wrapped(made)
    done = shell("rotate", "ngc", "--value-gpg", value, "--token-gpg", token, "--yes")
    assert done.returncode == 1
    assert "lacks `update` on secret/data/ngc" in done.stderr + done.stdout


def test_nothing_is_typed_where_there_is_no_terminal_and_nothing_is_done_read_only(
    shell: Shell,
) -> None:
    done = shell("rotate", "ngc", "--yes")
    assert done.returncode == 2, "no file for the value, and nobody to type it"
    for words in (("rotate", "ngc"), ("rollback", "ngc"), ("seal", "truenas"), ("setup",),
                  ("token", "--revoke"), ("audit-devices", "--enable", "/tmp/x")):  # fmt: skip
        done = shell(*words, read_only=True)
        assert done.returncode == 1 and "read-only" in done.stderr
    assert shell("token", read_only=True).returncode == 1
    assert shell("audit-devices", read_only=True).stdout.startswith("! there is no audit device")


def test_token_and_audit_devices(shell: Shell) -> None:
    done = shell("token", "--all")
    assert done.returncode == 1 and "! a root token" in done.stdout
    assert "tokens in all" in done.stdout
    item = json.loads(shell("token", "--json").stdout)["items"][0]
    assert item["root"] is True and "id" not in item and "accessor" not in item
    client = shell.servers.client()
    made = client.auth.token.create(policies=["default"], ttl="1h")["auth"]["client_token"]
    token = shell.wrapped(made)
    assert shell("token", "--token-gpg", token).returncode == 0
    done = shell("token", "--revoke", "--token-gpg", token, "--yes")
    assert (done.returncode, done.stdout) == (0, "the token is revoked\n")
    done = shell("token", "--token-gpg", token)
    assert done.returncode == 1 and "does not know this token" in done.stderr

    file = shell.servers.folder / "audit.log"
    done = shell("audit-devices", "--enable", str(file), "--yes")
    assert done.returncode == 0, done.stderr
    done = shell("audit-devices", "--disable", "file", "--confirm", "nope")
    assert done.returncode == 2 and "needs the name file" in done.stderr
    done = shell("audit-devices", "--disable", "file", "--confirm", "file")
    assert (done.returncode, done.stdout) == (0, "the audit device file is gone\n")


def test_seal_takes_no_yes_and_asks_for_the_name(shell: Shell) -> None:
    done = shell("seal", "truenas")
    assert done.returncode == 2 and "needs the name truenas" in done.stderr
    done = shell("seal", "nope")
    assert done.returncode == 2 and "there: truenas" in done.stderr
    done = shell("seal", "truenas", "--confirm", "truenas", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "sealed"
    done = shell("rotate", "ngc", "--value-gpg", shell.wrapped(VALUE), "--yes")
    assert done.returncode == 1 and "sealed, unseal it first" in done.stderr
    shell.servers.unseal()
