"""How the vault program comes onto a node: the playbook's own tasks, played on this machine with
other paths."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from labtui.actions.vault import Doors
from labtui.actions.vault.agents import KEEP, InstallAgents
from labtui.plays.catalogue import INSTALL
from labtui.plays.events import Report
from labtui.store import Store
from test_plays import AGENTS, LOCAL, config, play

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
VERSION = "9.8.7"
TASKS = {
    "vault-agent": ("Look at the machine", KEEP, "Copy the vault program",
                    "Download the vault program"),
    "vault-agent.undo": ("Look at what is there", "Put back the vault program that was there",
                         "Remove what it rendered, kept, was given and was told"),
}  # fmt: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners are changed: it takes root")


def program(version: str) -> str:
    return f"#!/bin/sh\necho 'Vault v{version} (abc), built some day'\n"


class Node:
    """A node's folders elsewhere, and a server that has the program."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        for folder in ("usr/local/bin", "var/lib", "etc/vault-agent", "etc/systemd/system"):
            (root / folder).mkdir(parents=True)
        self.vault = root / "usr/local/bin/vault"
        self.before = root / "usr/local/bin/vault.before-labtui"
        self.archive = root / "var/lib/labtui-vault.zip"

    def book(self, name: str) -> Path:
        text = (INSTALL / f"{name}.yml").read_text()
        for folder in ("/usr/local", "/var/lib", "/etc/vault-agent", "/etc/systemd", "/etc/sudoers",
                       "/run/vault-agent"):  # fmt: skip
            text = text.replace(folder, f"{self.root}{folder}")
        (one,) = yaml.safe_load(text)
        one["tasks"] = [t for t in one["tasks"] if t["name"] in TASKS[name]]
        assert [t["name"] for t in one["tasks"]] == list(TASKS[name])
        one["handlers"] = [
            {"name": h["name"], "ansible.builtin.debug": {}} for h in one["handlers"]
        ]
        path = self.root / f"{name}.yml"
        path.write_text(yaml.safe_dump([one], sort_keys=False))
        return path

    async def play(self, name: str = "vault-agent", *, check: bool = False, **extra: Any) -> Report:
        told = {"vault_version": VERSION, "vault_download": self.url} | extra
        report, _ = await play(self.book(name), config(), check=check, extra=told)
        assert report.good, report.failures
        return report

    async def changes(self, **more: Any) -> list[str]:
        return [r.task for r in (await self.play(**more)).hosts["here"].changed]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    files = tmp_path / "www" / VERSION
    files.mkdir(parents=True)
    archive = files / f"vault_{VERSION}_linux_{MACHINE}.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("vault", program(VERSION))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (files / f"vault_{VERSION}_SHA256SUMS").write_text(f"{digest}  {archive.name}\n")
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,),
                 {"log_message": lambda *_: None})  # fmt: skip
    handler = functools.partial(quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Node(tmp_path / "node", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_root_unpacks_nothing_from_where_others_may_write() -> None:
    for path in INSTALL.glob("vault-agent*.yml"):
        assert "/tmp" not in path.read_text(), path


async def test_it_is_downloaded_checked_and_nobody_elses(node: Node) -> None:
    seen = await node.changes(check=True)
    assert seen == ["Download the vault program's archive", "Unpack it"]
    assert not node.vault.exists()
    await node.play()
    about = node.vault.stat()
    assert (about.st_uid, about.st_mode & 0o777) == (0, 0o755)
    assert node.vault.read_text() == program(VERSION)
    assert not node.archive.exists() and not node.before.exists()
    assert await node.changes(check=True) == []


async def test_what_a_broken_off_run_left_is_used(node: Node, tmp_path: Path) -> None:
    made = tmp_path / f"www/{VERSION}/vault_{VERSION}_linux_{MACHINE}.zip"
    node.archive.write_bytes(made.read_bytes())
    node.archive.chmod(0o600)
    assert await node.changes(check=True) == ["Unpack it"]
    await node.play()
    assert node.vault.read_text() == program(VERSION)
    assert not node.archive.exists()


async def test_an_archive_that_is_another_is_not_unpacked(node: Node, tmp_path: Path) -> None:
    made = tmp_path / f"www/{VERSION}/vault_{VERSION}_linux_{MACHINE}.zip"
    with zipfile.ZipFile(made, "w") as other:
        other.writestr("vault", "#!/bin/sh\n")
    told = {"vault_version": VERSION, "vault_download": node.url}
    report, _ = await play(node.book("vault-agent"), config(), extra=told)
    failed = report.hosts["here"].failed
    assert failed is not None and "checksum" in failed.message
    assert not node.vault.exists()


@pytest.mark.parametrize("way", ["download", "copy"])
@pytest.mark.slow
async def test_a_program_that_was_there_comes_back(node: Node, tmp_path: Path, way: str) -> None:
    extra: dict[str, Any] = {}
    if way == "copy":
        mine = tmp_path / "mine"
        mine.write_text(program(VERSION))
        extra["vault_binary"] = str(mine)
    node.vault.write_text(program("1.0.0"))
    node.vault.chmod(0o755)
    seen = await node.play(check=True, **extra)
    assert KEEP in [r.task for r in seen.hosts["here"].changed]
    assert not node.before.exists()
    action = InstallAgents(Doors(config(LOCAL + AGENTS), Store(), {}), ["here"])
    action.seen = seen
    assert "here: a vault program is there already: it is replaced" in action.risks()[1]
    await node.play(**extra)
    assert node.vault.read_text() == program(VERSION)
    assert await node.changes(check=True, **extra) == []
    (node.root / "etc/vault-agent/labtui.json").write_text("{}")
    await node.play("vault-agent.undo")
    assert node.vault.read_text() == program("1.0.0")
    assert not node.before.exists()
    assert (await node.play("vault-agent.undo", check=True)).changes == 0


async def test_root_starts_no_program_that_somebody_else_may_write(node: Node) -> None:
    """Of the right version as it may say: it is kept aside, and ours is another file."""
    ran = node.root / "ran"
    node.vault.write_text(f"#!/bin/sh\ntouch {ran}\necho 'Vault v{VERSION} (abc)'\n")
    node.vault.chmod(0o755)
    os.chown(node.vault, 65534, 65534)
    number = node.vault.stat().st_ino
    await node.play()
    assert not ran.exists()
    assert node.vault.stat().st_uid == 0 and node.vault.stat().st_ino != number
    assert node.before.stat().st_ino == number and node.before.stat().st_uid == 65534
