"""Snapshots and their restore on real servers: raft through its API, file storage cold."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import hvac
import pytest
from msgspec.structs import replace

from labtui.actions.base import Action, ActionError, Outcome
from labtui.actions.runner import Runner
from labtui.actions.vault import Doors, snapshots
from labtui.actions.vault.coldcopy import ColdCopy
from labtui.actions.vault.wrapping import FieldError
from labtui.config import Config, NodeConfig, StorageConfig, VaultConfig, parse
from labtui.hosts.local import LocalHost
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import raft
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.sources.raftfile import SnapshotError, inspect
from labtui.store import Store
from pgpkeys import Holder, holders
from realservers import program
from standin import answer, certificate, cut_short, free_port, reset, standing_in
from vaultset import VaultSet, vault_set

MARKER = "marker-of-this-test-only"


def door_of(found: VaultSet, node: str = "") -> Door:
    node = node or found.first
    return Door(node, found.urls[node], found.ca)


def mark(found: VaultSet, value: str = MARKER) -> None:
    client = found.client()
    if "secret/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    deadline = time.monotonic() + 20
    while True:  # the engine upgrades itself for a moment
        try:
            client.secrets.kv.v2.create_or_update_secret("ngc", secret={"api_key": value})
            return
        except hvac.exceptions.InvalidRequest:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def marked(found: VaultSet, token: str) -> str:
    client = found.client(token=token)
    read = client.secrets.kv.v2.read_secret_version("ngc", raise_on_deleted_version=True)
    return str(read["data"]["data"]["api_key"])


@pytest.fixture(scope="module")
def ana() -> Iterator[Holder]:
    with holders("ana") as (one,):
        yield one


def wrap(holder: Holder, text: str, path: Path) -> str:
    """A token as its holder has it: encrypted by gpg, never in a plain file."""
    call = [program("gpg"), "--homedir", str(holder.home), "--batch", "--quiet", "--armor",
            "--trust-model", "always", "--recipient", "ana@lab", "--encrypt",
            "--output", str(path)]  # fmt: skip
    subprocess.run(call, input=text.encode(), check=True, timeout=60)
    return str(path)


class NoKeyboard:
    def lend(self) -> Any:
        raise AssertionError("the keyboard was asked for")


class Console:
    def __init__(self, config: Config, hosts: dict[str, Any] | None = None) -> None:
        self.doors = Doors(config, Store(), hosts or {})
        self.audit: list[Any] = []
        self.runner = Runner(self.audit.append, cluster="lab")
        self.said: list[str] = []

    async def perform(self, action: Action) -> Outcome:
        plan = await self.runner.plan(action)
        self.said += [repr(plan)]
        outcome = await self.runner.perform(action, plan, self.said.append)
        self.said.append(repr(outcome))
        return outcome

    async def with_token(
        self, id: str, node: str, holder: Holder, token: str, **changes: str
    ) -> Outcome:
        os.environ["GNUPGHOME"] = str(holder.home)
        try:
            async with Keyholder.start() as keyholder:
                wanted = snapshots.SAVES
                assert await keyholder.gpg(wanted, token, NoKeyboard(), lambda _: None) == "given"
                doors = replace(self.doors, holder=keyholder)
                one = VaultNode(node=node, address="")
                action = snapshots.make(id, [one], "", changes, doors)
                assert action is not None
                return await self.perform(action)
        finally:
            del os.environ["GNUPGHOME"]


def config_of(*sets: VaultSet, **extra: Any) -> Config:
    nodes = {name: url for one in sets for name, url in one.urls.items()}
    return Config(vault=VaultConfig(nodes=nodes, ca_file=sets[0].ca, **extra))


# The file itself


def fake(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_snapshot_is_saved_whole_and_inspected(tmp_path: Path) -> None:
    with vault_set(tmp_path / "v", unseal=True) as found:
        mark(found)
        secrets = {"token": bytearray(found.token.encode())}
        path = tmp_path / "one.snap"
        told = raft.save(door_of(found), secrets, {"path": str(path)})
        kept = inspect(str(path))
        assert told["index"] == kept.index > 10 and kept.servers == ("truenas",)
        assert kept.taken_at is not None and abs(kept.taken_at - time.time()) < 60
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert found.token not in json.dumps(told) and MARKER.encode() not in path.read_bytes()
        with pytest.raises(Refused, match="there already"):
            raft.save(door_of(found), secrets, {"path": str(path)})
        with pytest.raises(Refused, match="403"):
            wrong = {"token": bytearray(b"hvs.nothing")}
            raft.save(door_of(found), wrong, {"path": str(tmp_path / "two.snap")})
        with pytest.raises(Refused, match="cannot take it"):
            raft.save(door_of(found), secrets, {"path": "/nowhere/x.snap"})
        assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["one.snap"]

        data = path.read_bytes()
        (tmp_path / "cut.snap").write_bytes(data[:-300])
        (tmp_path / "text.snap").write_bytes(b"not a snapshot")
        for name in ("cut.snap", "text.snap"):
            with pytest.raises(SnapshotError, match="not a whole snapshot"):
                inspect(str(tmp_path / name))
    with pytest.raises(SnapshotError, match=r"state\.bin missing"):
        inspect(str(fake(tmp_path / "a", meta__json=b"{}")))
    sums = b"0" * 64 + b"  state.bin\n" + b"0" * 64 + b"  meta.json\n"
    whole = {"meta__json": b"{}", "state__bin": b"x", "SHA256SUMS": sums}
    with pytest.raises(SnapshotError, match="is not what its SHA256SUMS says"):
        inspect(str(fake(tmp_path / "b", **whole)))
    with pytest.raises(SnapshotError, match="cannot be read: No such file"):
        inspect(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("behave", "kind", "said"),
    [
        (answer(200, b"<html>not a snapshot</html>"), Refused, "not a whole snapshot"),
        (cut_short, SourceError, "closed the connection"),
        (reset, SourceError, "closed the connection"),
        (answer(307, Location="https://elsewhere/"), Refused, "standby"),
        (answer(500, b"broken"), Refused, "500"),
    ],
)
def test_snapshot_of_a_failing_server_leaves_no_file(
    tmp_path: Path, behave: Any, kind: type[Exception], said: str
) -> None:
    cert, key = certificate(tmp_path / "tls")
    out = tmp_path / "out"
    out.mkdir()
    with standing_in(behave, (cert, key)) as server:
        door = Door("truenas", server.url, str(cert))
        with pytest.raises(kind, match=said):
            raft.save(door, {"token": bytearray(b"hvs.x")}, {"path": str(out / "x.snap")})
    assert not list(out.iterdir())


# Through the keyholder


@pytest.mark.slow
def test_destroyed_server_comes_back_with_its_original_shares(ana: Holder, tmp_path: Path) -> None:
    """Appendix D, scenario 1: the snapshot on a server that was made anew, by force."""
    path = tmp_path / "kept.snap"
    with vault_set(tmp_path / "old", unseal=True) as old:
        mark(old)
        console = Console(config_of(old))
        token = wrap(ana, old.token, tmp_path / "old.asc")
        saved = asyncio.run(
            console.with_token("vault.snapshot", "truenas", ana, token, file=str(path))
        )
        assert saved.kind == "done" and "index" in saved.message, saved
        mark(old, "written afterwards")
        # On the same keys it is restored while it runs.
        again = asyncio.run(
            console.with_token("vault.restore", "truenas", ana, token, file=str(path))
        )
        assert again.kind == "done" and "goes on without a break" in again.message, again
        assert marked(old, old.token) == MARKER
    with vault_set(tmp_path / "new", unseal=True) as new:
        console = Console(config_of(new))
        token = wrap(ana, new.token, tmp_path / "new.asc")
        refused = asyncio.run(
            console.with_token("vault.restore", "truenas", ana, token, file=str(path))
        )
        assert refused.kind == "failed" and "other shares than this snapshot" in refused.message, (
            refused
        )
        assert "--force" in refused.message
        forced = asyncio.run(
            console.with_token("vault.restore", "truenas", ana, token, file=str(path), force="yes")
        )
        assert forced.kind == "done" and "and sealed" in forced.message, forced
        client = new.client("", "")
        with pytest.raises(hvac.exceptions.InvalidRequest):
            client.sys.submit_unseal_keys(new.shares[:3])  # its own open nothing more
        client.sys.submit_unseal_keys(old.shares[:3])
        new.wait_active()
        assert marked(new, old.token) == MARKER
        said = "\n".join(console.said) + repr(console.audit)
        for secret in (*old.shares, *new.shares, old.token, new.token, MARKER):
            assert secret not in said


@pytest.mark.slow
def test_plan_of_a_restore_says_what_is_lost(ana: Holder, tmp_path: Path) -> None:
    path = tmp_path / "kept.snap"
    with vault_set(tmp_path / "v", unseal=True) as found:
        secrets = {"token": bytearray(found.token.encode())}
        raft.save(door_of(found), secrets, {"path": str(path)})
        mark(found)
        console = Console(config_of(found))

        async def plan(file: str, force: str = "") -> Any:
            async with Keyholder.start() as keyholder:
                doors = replace(console.doors, holder=keyholder)
                one = VaultNode(node="truenas", address="")
                changes = {"file": file, "force": force}
                action = snapshots.make("vault.restore", [one], "", changes, doors)
                assert action is not None
                return await console.runner.plan(action)

        found_plan = asyncio.run(plan(str(path), "yes"))
        assert found_plan.dangerous and found_plan.confirm_word == "truenas"
        kept = inspect(str(path))
        assert f"index {kept.index} to " in found_plan.risks[0]
        assert "snapshot-force" in found_plan.steps[0].what
        assert any("of the snapshot's time are needed" in risk for risk in found_plan.risks)
        assert f"index {kept.index}" in found_plan.preview
        with pytest.raises(FieldError, match="cannot be read"):
            asyncio.run(plan(str(tmp_path / "none.snap")))
        with pytest.raises(FieldError, match="a file"):
            asyncio.run(plan(""))
        found.seal()
        with pytest.raises(ActionError, match="sealed"):
            asyncio.run(plan(str(path)))


@pytest.mark.slow
def test_set_is_asked_at_its_active_server_and_restored_whole(ana: Holder, tmp_path: Path) -> None:
    with vault_set(tmp_path / "v", "truenas", "xps15-cpu", "desktop-gpu", unseal=True) as found:
        mark(found)
        active = found.wait_active()
        standby = next(name for name in found.urls if name != active)
        console = Console(config_of(found))
        token = wrap(ana, found.token, tmp_path / "t.asc")
        path = tmp_path / "set.snap"
        saved = asyncio.run(
            console.with_token("vault.snapshot", standby, ana, token, file=str(path))
        )
        assert saved.kind == "done" and saved.message.startswith(f"{active}: ")
        assert any("is a standby: the active one" in line for line in console.said)
        assert len(inspect(str(path)).servers) == 3
        mark(found, "written afterwards")
        restored = asyncio.run(
            console.with_token("vault.restore", standby, ana, token, file=str(path))
        )
        assert restored.kind == "done", restored
        assert marked(found, found.token) == MARKER


# File storage


@contextmanager
def file_server(folder: Path) -> Iterator[tuple[VaultSet, StorageConfig]]:
    """A real Vault that two commands stop and start, as a container's do.

    With file storage where the program has that; the one that the lab builds has raft alone, whose
    folder is copied and put back in the same way.
    """
    binary, port = program("vault"), free_port()
    cert, key = certificate(folder / "tls")
    data = folder / "data"
    data.mkdir(mode=0o700)
    url = f"https://127.0.0.1:{port}"
    tcp = {"address": f"127.0.0.1:{port}", "tls_cert_file": str(cert), "tls_key_file": str(key)}

    def configure(storage: dict[str, Any]) -> None:
        config: dict[str, Any]
        config = {"listener": {"tcp": tcp}, "storage": storage, "api_addr": url,
                  "cluster_addr": f"https://127.0.0.1:{cluster}"}  # fmt: skip
        config["disable_mlock"] = True
        (folder / "vault.json").write_text(json.dumps(config))

    cluster = free_port()
    configure({"file": {"path": str(data)}})
    script = folder / "control.py"
    script.write_text(
        textwrap.dedent(f"""\
        import os, signal, socket, subprocess, sys, time
        pidfile = {str(folder / "pid")!r}
        def up():
            try:
                state = open(f"/proc/{{open(pidfile).read()}}/stat").read().split()[2]
            except OSError:
                return False
            with socket.socket() as probe:
                listens = probe.connect_ex(("127.0.0.1", {port})) == 0
            return listens if sys.argv[1] == "start" else state != "Z"
        if sys.argv[1] == "stop":
            try:
                os.kill(int(open(pidfile).read()), signal.SIGTERM)
            except (OSError, ValueError):
                pass
        else:
            log = open({str(folder / "log")!r}, "ab")
            child = subprocess.Popen([{binary!r}, "server", "-config={folder}/vault.json"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            with open(pidfile, "w") as file:
                file.write(str(child.pid))
        end = time.monotonic() + 20
        while up() != (sys.argv[1] == "start") and time.monotonic() < end:
            if sys.argv[1] == "start" and child.poll() is not None:
                sys.exit(1)
            time.sleep(0.05)
        """)
    )
    control = (sys.executable, str(script))
    storage = StorageConfig(data=str(data), stop=(*control, "stop"), start=(*control, "start"))
    found = VaultSet({"truenas": url}, str(cert), folder)
    try:
        if subprocess.run([*storage.start], check=False, timeout=30).returncode:
            assert "Unknown storage type file" in (folder / "log").read_text()
            configure({"raft": {"path": str(data), "node_id": "truenas"}})
            subprocess.run([*storage.start], check=True, timeout=30)
        made = found.client("", "").sys.initialize(5, 3)
        found.shares, found.token = made["keys_base64"], made["root_token"]
        found.unseal()
        yield found, storage
    finally:
        subprocess.run([*storage.stop], check=False, timeout=30)
        with suppress(ProcessLookupError):
            os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


def test_file_storage_is_copied_cold_and_put_back(tmp_path: Path) -> None:
    with file_server(tmp_path) as (found, storage):
        mark(found)
        hosts = {"truenas": LocalHost("truenas")}
        console = Console(config_of(found, storage={"truenas": storage}), hosts)
        one = VaultNode(node="truenas", address="", storage="file")
        path = tmp_path / "cold.tar.gz"

        def make(id: str, file: str) -> Action:
            action = snapshots.make(id, [one], "", {"file": file}, console.doors)
            assert action is not None
            return action

        copied = asyncio.run(console.perform(make("vault.snapshot", str(path))))
        assert copied.kind == "done" and "it is sealed" in copied.message, copied
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert MARKER.encode() not in path.read_bytes()
        found.unseal()
        mark(found, "written afterwards")
        # The data are destroyed, the server with them.
        for part in (tmp_path / "data").iterdir():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        restored = asyncio.run(console.perform(make("vault.restore", str(path))))
        assert restored.kind == "done" and "shares of that time" in restored.message, restored
        found.unseal()
        assert marked(found, found.token) == MARKER
        assert len(list(tmp_path.glob("data.before-*"))) == 1
        assert not list(tmp_path.glob("data.new-*"))

        # A copy that cannot be taken: it is started again all the same.
        elsewhere = StorageConfig(data="/nowhere", stop=storage.stop, start=storage.start)
        doors = Doors(config_of(found, storage={"truenas": elsewhere}), Store(), hosts)
        file = str(tmp_path / "no.tar.gz")
        action = snapshots.make("vault.snapshot", [one], "", {"file": file}, doors)
        assert action is not None
        blocked = asyncio.run(console.perform(action))
        assert blocked.kind == "failed" and "tar" in blocked.message, blocked
        assert not list(tmp_path.glob("*no.tar.gz*"))
        assert found.client("", "").sys.is_sealed()


def test_file_storage_without_its_place_says_what_to_run(tmp_path: Path) -> None:
    config = Config(vault=VaultConfig(nodes={"truenas": "https://127.0.0.1:1"}))
    one = VaultNode(node="truenas", address="", storage="file")
    doors = Doors(config, Store(), {})
    for id, command in (
        ("vault.snapshot", "tar -C DATA -czf"), ("vault.restore", "tar -C DATA -xzpf"),
    ):  # fmt: skip
        action = snapshots.make(id, [one], "", {"file": "x"}, doors)
        assert action is not None
        with pytest.raises(ActionError, match=command):
            asyncio.run(action.plan())


def test_copy_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    nodes = {"truenas": NodeConfig(transport="local")}
    storage = StorageConfig(data=str(tmp_path / "data"), stop=("true",), start=("true",))
    vault = VaultConfig(nodes={"truenas": "https://127.0.0.1:1"}, storage={"truenas": storage})
    doors = Doors(Config(nodes=nodes, vault=vault), Store(), {"truenas": LocalHost("truenas")})
    one = VaultNode(node="truenas", address="", storage="file")
    out = fake(tmp_path / "out.tgz", **{"..//etc//x": b"x"})
    half = fake(tmp_path / "half.tgz", **{"core/_keyring": b"x"})
    for path, said in ((out, "leads out"), (half, "_seal-config is not in it")):
        action = snapshots.make("vault.restore", [one], "", {"file": str(path)}, doors)
        assert action is not None
        with pytest.raises(ActionError, match=said):
            asyncio.run(action.plan())
    assert isinstance(snapshots.make("vault.snapshot", [one], "", {}, doors), ColdCopy)


def test_place_of_file_storage_is_checked_in_the_configuration() -> None:
    text = textwrap.dedent("""\
        [nodes.truenas]
        transport = "local"
        [vault.nodes]
        truenas = "https://127.0.0.1:8200"
        [vault.storage.truenas]
        data = "data"
        stop = []
        start = ["true"]
        [vault.storage.other]
        data = "/data"
        stop = ["true"]
        start = ["true"]
        """)
    with pytest.raises(Exception, match="no absolute folder") as caught:
        parse(text, "x.toml")
    assert "x.toml:7: vault.storage.truenas.stop: empty" in str(caught.value)
    assert "vault.storage.other: no such server" in str(caught.value)


def test_operator_policy_is_enough_and_no_more_is(tmp_path: Path) -> None:
    text = (files("labtui.playbooks") / "vault" / "operator.hcl").read_text()
    path = tmp_path / "one.snap"
    with vault_set(tmp_path / "v", unseal=True) as found:
        client = found.client()
        client.sys.create_or_update_policy("labtui-operator", text)
        made = client.auth.token.create(policies=["labtui-operator"], ttl="1h")
        token = {"token": bytearray(made["auth"]["client_token"].encode())}
        other = client.auth.token.create(policies=["default"], ttl="1h")
        wrong = {"token": bytearray(other["auth"]["client_token"].encode())}
        raft.save(door_of(found), token, {"path": str(path)})
        with pytest.raises(Refused, match="needs sys/storage/raft"):
            raft.restore(door_of(found), wrong, {"path": str(path), "force": False})
        for force in (False, True):
            done = raft.restore(door_of(found), token, {"path": str(path), "force": force})
            assert done == {"restored": True}
            found.unseal()


@pytest.mark.slow
def test_snapshot_from_before_a_rekey_brings_the_old_shares_back(
    ana: Holder, tmp_path: Path
) -> None:
    path = tmp_path / "kept.snap"
    with vault_set(tmp_path / "v", unseal=True) as found:
        mark(found)
        token = wrap(ana, found.token, tmp_path / "t.asc")
        console = Console(config_of(found))
        asyncio.run(console.with_token("vault.snapshot", "truenas", ana, token, file=str(path)))
        client = found.client()
        client.sys.start_rekey(3, 2)
        nonce = client.sys.read_rekey_progress()["nonce"]
        for share in found.shares[:3]:
            made = client.sys.rekey(share, nonce)
        mark(found, "written afterwards")
        restore = ("vault.restore", "truenas", ana, token)
        refused = asyncio.run(console.with_token(*restore, file=str(path)))
        assert refused.kind == "failed" and "or a rekey since" in refused.message, refused
        forced = asyncio.run(console.with_token(*restore, file=str(path), force="yes"))
        assert forced.kind == "done" and "valid then, 3 of 5" in forced.message, forced
        assert "goes on without a break" in forced.message
        found.seal()
        with pytest.raises(hvac.exceptions.InvalidRequest):
            found.client("", "").sys.submit_unseal_keys([*made["keys_base64"]])
        found.unseal()
        assert marked(found, found.token) == MARKER
