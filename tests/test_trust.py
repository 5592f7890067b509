"""Accepting a host key, against a real sshd: shown, asked about, added; a changed one refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from labtui.actions.base import ActionError
from labtui.actions.trust import TrustKey
from labtui.hosts.local import LocalHost
from labtui.hosts.ssh import SshHost
from test_hosts_ssh import Sshd, keygen, pytestmark  # noqa: F401 - skipped where no sshd is


@pytest.fixture
def sshd(tmp_path: Path):  # type: ignore[no-untyped-def]
    server = Sshd(tmp_path)
    server.start()
    yield server
    server.kill()


async def test_an_unknown_key_is_shown_confirmed_by_name_and_then_works(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    host = SshHost("truenas", sshd.node())
    action = TrustKey(host, "truenas")
    plan = await action.plan()
    assert plan.dangerous and plan.confirm_word == "truenas"
    assert "SHA256:" in plan.risks[0]
    assert sshd.known_hosts.read_text() == "", "nothing is accepted by looking"
    await action.run(lambda line: None)
    assert (await action.verify()).ok
    assert (await host.run(["echo", "in"], timeout=5)).stdout == "in\n"
    with pytest.raises(ActionError, match="known already"):
        await TrustKey(host, "truenas").plan()
    await host.close()


async def test_a_changed_key_is_explained_and_never_added(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    before = sshd.known_hosts.read_text()
    host = SshHost("truenas", sshd.node())
    with pytest.raises(ActionError, match="another key than"):
        await TrustKey(host, "truenas").plan()
    assert sshd.known_hosts.read_text() == before
    await host.close()


async def test_a_machine_without_ssh_has_no_key() -> None:
    with pytest.raises(ActionError, match="not reached by ssh"):
        await TrustKey(LocalHost("here"), "here").plan()
