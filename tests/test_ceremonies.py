"""Init, rekey and generate-root on real servers, with holders' keys made by gpg for the test."""

from __future__ import annotations

import asyncio
import base64
import os
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtui.actions.base import Action, ActionError, Outcome, Unknown
from labtui.actions.offered import VAULT
from labtui.actions.runner import Runner
from labtui.actions.vault import Doors, ceremonies, initial, rekeystate
from labtui.actions.vault.rekeyrounds import RekeyCeremony, VerifyCeremony
from labtui.actions.vault.rooting import RootCeremony
from labtui.actions.vault.wrapping import FieldError, wrapping
from labtui.config import Config, VaultConfig
from labtui.history import History
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import init, rekey, root
from labtui.keyholder.operations.request import request
from labtui.keyholder.operations.wrapped import Files, armoured, kept
from labtui.model import VaultNode
from labtui.sources.pgp import KeyFileError, PublicKey, read_key, recipients
from labtui.spec import Wanted
from labtui.store import Store
from pgpkeys import Holder, holders, run_gpg
from standin import answer, certificate, standing_in
from vaultset import VaultSet, vault_set


def key_of(path: Path | str) -> PublicKey:
    return asyncio.run(read_key(str(path)))


@pytest.fixture(scope="module")
def people() -> Iterator[list[Holder]]:
    with holders("ana", "ben", "cleo") as made:
        yield made


def door_of(found: VaultSet, node: str = "") -> Door:
    node = node or found.first
    return Door(node, found.urls[node], found.ca)


def init_params(people: list[Holder], folder: Path, shares: int, threshold: int) -> dict[str, Any]:
    keys = [key_of(p.public) for p in people]
    given = [keys[n % len(keys)] for n in range(shares)]
    names = [f"truenas-share-{n}-{k.short}.asc" for n, k in enumerate(given, 1)]
    return {
        "shares": shares,
        "threshold": threshold,
        "pgp_keys": [k.data for k in given],
        "root_pgp_key": keys[0].data,
        "folder": str(folder),
        "names": [*names, "truenas-root-token.asc"],
        "comments": ["share"] * shares + ["root"],
    }


def unseal(door: Door, shares: list[str]) -> None:
    for share in shares:
        request(door, "put", "sys/unseal", {"key": share})
    deadline = time.monotonic() + 20
    while True:
        try:
            if request(door, "get", "sys/leader").get("is_self"):
                return
        except Refused:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


# Key files


def test_key_file_is_read_armoured_and_binary(people: list[Holder], tmp_path: Path) -> None:
    key = key_of(people[0].public)
    assert key.holder == "Ana <ana@lab>"
    assert len(key.fingerprint) == 40 and key.short == key.fingerprint[-8:]
    assert len(key.recipients) == 1
    binary = tmp_path / "ana.gpg"
    binary.write_bytes(people[0].gpg("--export"))
    assert base64.b64decode(key.data) == binary.read_bytes()
    assert key_of(binary).data == key.data


def test_key_files_that_cannot_be_used_are_told_apart(people: list[Holder], tmp_path: Path) -> None:
    ana = people[0]
    files = {
        "missing.asc": None,
        "junk.asc": b"nothing of the kind\n",
        "empty.asc": b"",
        "private.asc": ana.gpg("--armor", "--export-secret-keys"),
        "private.gpg": ana.gpg("--export-secret-keys"),
        "two.asc": ana.public.read_bytes() + people[1].public.read_bytes(),
        "cut.asc": ana.public.read_bytes()[:300],
    }
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    words = {
        "missing.asc": "No such file",
        "junk.asc": "not an OpenPGP public key",
        "empty.asc": "not an OpenPGP public key",
        "private.asc": "private key",
        "private.gpg": "private key",
        "two.asc": "holds 2 keys",
        "cut.asc": "gpg cannot read it",
    }
    for name, said in words.items():
        with pytest.raises(KeyFileError, match=said):
            key_of(tmp_path / name)


def test_expired_revoked_and_signing_keys_are_refused(tmp_path: Path) -> None:
    with holders("old", "sig") as (old, sig):
        for holder, kind, usage, ends in ((sig, "ed25519", "sign", "never"),):
            run_gpg(holder.home, "--quick-generate-key", "Only <only@lab>", kind, usage, ends)
            (tmp_path / "sig.asc").write_bytes(run_gpg(holder.home, "--export", "only@lab"))
        key = key_of(old.public)
        run_gpg(old.home, "--quick-set-expire", key.fingerprint, "2d")
        (tmp_path / "old.asc").write_bytes(run_gpg(old.home, "--armor", "--export"))
        asyncio.run(read_key(str(tmp_path / "old.asc")))
        with pytest.raises(KeyFileError, match="Old <old@lab> has expired"):
            asyncio.run(read_key(str(tmp_path / "old.asc"), time.time() + 3 * 86400))
        revocation = old.home / "openpgp-revocs.d" / f"{key.fingerprint}.rev"
        text = revocation.read_text().replace(":-----BEGIN", "-----BEGIN")
        (tmp_path / "rev").write_text(text)
        run_gpg(old.home, "--import", str(tmp_path / "rev"))
        (tmp_path / "revoked.asc").write_bytes(run_gpg(old.home, "--armor", "--export"))
        with pytest.raises(KeyFileError, match="is revoked"):
            key_of(tmp_path / "revoked.asc")
        with pytest.raises(KeyFileError, match="can only sign"):
            key_of(tmp_path / "sig.asc")


# Files


def test_wrapped_files_take_their_room_first_and_overwrite_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(Refused, match="b is there already"), Files(str(tmp_path), ["a", "b"]):
        pass
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == ["b"]
        and (tmp_path / "b").read_text() == "mine"
    )
    with Files(str(tmp_path), ["a"]) as files:
        assert (tmp_path / "a").stat().st_blocks * 512 >= 16 << 10
        paths = files.write(["text"])
    assert Path(paths[0]).read_text() == "text"
    assert stat.S_IMODE(Path(paths[0]).stat().st_mode) == 0o600
    with Files(str(tmp_path), ["c"]):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(Refused, match="cannot take the files"), Files("/nowhere", ["a"]):
        pass


def test_disk_that_fails_at_the_last_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "out").mkdir()
    with Files(str(tmp_path / "out"), ["a"]) as files:
        (tmp_path / "out" / "a").unlink()  # as good as an error of the disk
        told = kept(files, ["a"], ["text"])
    assert told == {"files": [str(tmp_path / "home" / "a")], "why": "No such file or directory"}
    assert (tmp_path / "home" / "a").read_text() == "text"
    monkeypatch.setattr("labtui.keyholder.operations.wrapped.ELSEWHERE", ())
    with Files(str(tmp_path / "out"), ["a"]) as files:  # in the home it is there already
        (tmp_path / "out" / "a").unlink()
        assert kept(files, ["a"], ["new"])["unwritten"] == {"a": "new"}


def test_full_disk_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("SKIPPED LOUDLY: a full disk of its own needs root")
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("SKIPPED LOUDLY: no tmpfs can be mounted here")
    try:
        nobody = Door("truenas", "https://127.0.0.1:1", "")
        params = {"shares": 3, "threshold": 2, "pgp_keys": [], "root_pgp_key": "",
                  "folder": str(small), "names": ["1", "2", "3", "root"],
                  "comments": [""] * 4}  # fmt: skip
        with pytest.raises(Refused, match="No space left"):
            init.init(nobody, {}, params)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_is_not_wrapped_is_never_written() -> None:
    for text in (base64.b64encode(b"\x12" * 33).decode(), "hvs.something", "", None):
        with pytest.raises(Refused, match="not wrapped"):
            armoured(text, "")  # type: ignore[arg-type]


# The whole life of a server


def test_life_of_a_server(people: list[Holder], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with vault_set(tmp_path / "v", initialise=False) as found:
        door = door_of(found)
        made = init.init(door, {}, init_params(people, out, 3, 2))
        assert len(made["files"]) == 4 and "unwritten" not in made
        keys = [key_of(p.public) for p in people]
        for path, key in zip(made["files"][:3], keys, strict=True):
            assert asyncio.run(recipients(path)) == key.recipients
        shares = [p.opens(f) for p, f in zip(people, made["files"][:3], strict=True)]
        token = people[0].opens(made["files"][3])
        with pytest.raises(Refused, match="already initialized"):
            init.init(door, {}, init_params(people, tmp_path, 3, 2))
        assert not list(tmp_path.glob("*.asc"))
        unseal(door, shares[:2])

        # The root token goes when it is not needed any more.
        secrets = {"token": bytearray(token.encode())}
        assert root.lookup(door, secrets, {})["root"] is True
        assert root.gone(door, secrets, {}) == {"gone": False}
        root.revoke(door, secrets, {})
        assert root.gone(door, secrets, {}) == {"gone": True}

        # Another one is made by the shares, for Ben.
        begun = root.start(door, {}, {"pgp_key": keys[1].data})
        told = {"nonce": begun["nonce"], "fingerprint": keys[1].fingerprint,
                "folder": str(out), "name": "truenas-root-2.asc"}  # fmt: skip
        given = [{"share": bytearray(s.encode())} for s in shares]
        with pytest.raises(Refused, match="another root token"):
            root.share(door, given[0], told | {"nonce": "other"})
        with pytest.raises(Refused, match="another root token"):
            root.share(door, given[0], told | {"fingerprint": keys[0].fingerprint})
        assert root.share(door, given[0], told)["progress"] == 1
        with pytest.raises(Refused, match="in already"):
            root.share(door, given[0], told)
        done = root.share(door, given[2], told)
        assert done == {"complete": True, "files": [str(out / "truenas-root-2.asc")]}
        token = people[1].opens(done["files"][0])
        secrets = {"token": bytearray(token.encode())}
        assert root.lookup(door, secrets, {})["root"] is True

        # 3/2 becomes 5/3.
        given = _rekey(door, people, shares, out)
        new = [bytes(g["share"]).decode() for g in given]
        request(door, "put", "sys/seal", token=secrets["token"])
        for share in shares[:2]:
            request(door, "put", "sys/unseal", {"key": share})
        with pytest.raises(Refused, match="400"):
            request(door, "put", "sys/unseal", {"key": shares[2]})
        unseal(door, new[2:])
        root.revoke(door, secrets, {})
        assert root.gone(door, secrets, {}) == {"gone": True}


def _rekey(
    door: Door, people: list[Holder], shares: list[str], out: Path
) -> list[dict[str, bytearray]]:
    """The five new shares of a rekey that went through, with every way to go wrong on the way."""
    keys = [key_of(people[n % 3].public) for n in range(5)]
    begun = rekey.start(door, {}, {"shares": 5, "threshold": 3, "pgp_keys": [k.data for k in keys]})
    assert begun["verification_required"] and not begun["backup"]
    prints = [k.fingerprint for k in keys]
    stem = f"truenas-rekey-{begun['nonce'][:8]}"
    told = {"nonce": begun["nonce"], "fingerprints": prints, "folder": str(out), "stem": stem}
    given = [{"share": bytearray(s.encode())} for s in shares]
    with pytest.raises(Refused, match="already in progress"):
        rekey.start(door, {}, {"shares": 5, "threshold": 3, "pgp_keys": [k.data for k in keys]})
    with pytest.raises(Refused, match="other keys"):
        rekey.share(door, given[0], told | {"fingerprints": prints[::-1]})
    with pytest.raises(Refused, match="other keys"):
        rekey.share(door, given[0], told | {"nonce": "other"})
    with pytest.raises(Refused, match="is there already"):
        blocked = out / "sub"
        blocked.mkdir()
        (blocked / f"{stem}-share-1-{keys[0].short}.asc").write_text("there")
        rekey.share(door, given[0], told | {"folder": str(blocked)})
    assert rekey.status(door, {}, {})["progress"] == 0, "a share was sent with no room for files"
    assert rekey.share(door, given[0], told) == {
        "progress": 1, "required": 2, "t": 3, "nonce": begun["nonce"],
    }  # fmt: skip
    wrong = {"share": bytearray(base64.b64encode(b"\x01" * 33))}
    assert "one of the 2 shares was wrong" in rekey.share(door, wrong, told)["dropped"]
    assert rekey.status(door, {}, {})["progress"] == 0
    assert len(list(out.glob("*rekey*"))) == 0
    rekey.share(door, given[0], told)
    done = rekey.share(door, given[1], told)
    assert done["complete"] and len(done["files"]) == 5

    # Not in force before enough of the new ones came back.
    state = rekey.status(door, {}, {})
    nonce = state["verifying"]["nonce"]
    new = [people[n % 3].opens(path) for n, path in enumerate(done["files"])]
    given_new = [{"share": bytearray(s.encode())} for s in new]
    for number in (0, 1):
        rekey.verify(door, given_new[number], {"nonce": nonce})
    assert "was wrong" in rekey.verify(door, given[2], {"nonce": nonce})["dropped"]
    with pytest.raises(Refused, match="another nonce"):
        rekey.verify(door, given_new[0], {"nonce": nonce})
    nonce = rekey.status(door, {}, {})["verifying"]["nonce"]
    rekey.verify(door, given_new[0], {"nonce": nonce})
    rekey.restart(door, {}, {})
    nonce = rekey.status(door, {}, {})["verifying"]["nonce"]
    for number in (0, 1, 2):
        last = rekey.verify(door, given_new[number], {"nonce": nonce})
    assert last["complete"] is True
    assert rekey.status(door, {}, {})["started"] is False
    return given_new


def test_cancelled_rekey_and_root_leave_the_shares_as_they_are(
    people: list[Holder], tmp_path: Path
) -> None:
    with vault_set(tmp_path / "v", unseal=True) as found:
        door = door_of(found)
        keys = [key_of(p.public) for p in people]
        begun = rekey.start(
            door, {}, {"shares": 3, "threshold": 2, "pgp_keys": [k.data for k in keys]}
        )
        told = {"nonce": begun["nonce"], "fingerprints": [k.fingerprint for k in keys],
                "folder": str(tmp_path), "stem": "x"}  # fmt: skip
        for share in found.shares[:3]:
            rekey.share(door, {"share": bytearray(share.encode())}, told)
        assert rekey.status(door, {}, {})["verifying"]["started"]
        with pytest.raises(Refused, match="400"):
            rekey.cancel(door, {}, {"nonce": "other"})
        rekey.cancel(door, {}, {"nonce": begun["nonce"]})
        assert rekey.status(door, {}, {})["started"] is False
        again = root.start(door, {}, {"pgp_key": keys[0].data})
        root.cancel(door, {}, {"nonce": again["nonce"]})
        assert root.status(door, {}, {})["started"] is False
        assert "otp" not in root.status(door, {}, {})
        found.seal()
        found.unseal()


# As actions, through the keyholder's own process


class NoKeyboard:
    """gpg needs no passphrase here: whoever wants the keyboard fails the test."""

    def lend(self) -> Any:
        raise AssertionError("the keyboard was asked for")


def config_of(found: VaultSet) -> Config:
    return Config(vault=VaultConfig(nodes=found.urls, ca_file=found.ca))


class Console:
    """A session's runner over a real history file; what it printed; shares given by gpg alone."""

    def __init__(self, found: VaultSet, folder: Path) -> None:
        self.history = History(folder / "history.sqlite")
        self.said: list[str] = []
        self.doors = Doors(config_of(found), Store(), {})
        self.runner = Runner(self.history.audit, cluster="lab")
        self.found = found

    async def perform(self, action: Action | None) -> Outcome:
        assert action is not None
        plan = await self.runner.plan(action)
        self.said.append(repr(plan))
        outcome = await self.runner.perform(action, plan, self.said.append)
        self.said.append(repr(outcome))
        return outcome

    def make(self, id: str, **changes: str) -> Action:
        node = self.found.first
        made = ceremonies.make(id, [VaultNode(node=node, address="")], "", changes, self.doors)
        assert made is not None
        return made

    async def give(
        self, ceremony: Any, holder: Holder, path: str, number: int, monkeypatch: Any
    ) -> Outcome:
        monkeypatch.setenv("GNUPGHOME", str(holder.home))
        async with Keyholder.start() as keyholder:
            wanted = Wanted("share", "share", "a share")
            assert await keyholder.gpg(wanted, path, NoKeyboard(), lambda _: None) == "given"
            return await self.perform(ceremony.give(keyholder, number))

    async def revoke(self, holder: Holder, path: str, monkeypatch: Any) -> Outcome:
        monkeypatch.setenv("GNUPGHOME", str(holder.home))
        async with Keyholder.start() as keyholder:
            assert await keyholder.gpg(ceremonies.ROOT, path, NoKeyboard(), lambda _: None)
            doors = msgspec.structs.replace(self.doors, holder=keyholder)
            action = ceremonies.make(
                "vault.revoke-root", [VaultNode(node=self.found.first, address="")], "", {}, doors
            )
            assert action is not None
            return await self.perform(action)


def test_ceremonies_as_actions_leave_no_secret_anywhere(
    people: list[Holder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    files = shlex.join(str(p.public) for p in people)

    async def life(found: VaultSet) -> list[str]:
        console = Console(found, kept)
        start = console.make("vault.init", shares="3", threshold="2", pgp=files,
                             root_pgp=str(people[1].public), out=str(out))  # fmt: skip
        outcome = await console.perform(start)
        assert outcome.kind == "done", outcome
        assert "labtui vault revoke-root truenas" in outcome.message
        shown = console.said[0]
        for person in people:
            key = await read_key(str(person.public))
            assert key.holder in shown and key.fingerprint[:4] in shown
        wrapped = sorted(out.glob("truenas-share-*"))
        assert [stat.S_IMODE(p.stat().st_mode) for p in wrapped] == [0o600] * 3
        old = [p.opens(path) for p, path in zip(people, wrapped, strict=True)]
        again = console.make("vault.init", shares="3", threshold="2", pgp=files,
                             root_pgp=str(people[1].public), out=str(out))  # fmt: skip
        with pytest.raises(ActionError, match="sealed: it has shares already"):
            await console.runner.plan(again)
        unseal(door_of(found), old[:2])
        token = str(next(out.glob("truenas-root-token-*")))
        first = people[1].opens(token)
        assert (await console.revoke(people[1], token, monkeypatch)).kind == "done"

        # A root token by shares.
        outcome = await console.perform(
            console.make("vault.generate-root", pgp=str(people[2].public), out=str(out))
        )
        assert outcome.kind == "done", outcome
        made = RootCeremony(console.doors, "truenas", out)
        assert (await made.standing()).progress == 0
        outcome = await console.give(made, people[0], str(wrapped[0]), 1, monkeypatch)
        assert outcome.message == "truenas: 1 of 2 shares are in"
        outcome = await console.give(made, people[0], str(wrapped[0]), 2, monkeypatch)
        assert outcome.kind == "failed" and "in already" in outcome.message
        outcome = await console.give(made, people[1], str(wrapped[1]), 2, monkeypatch)
        assert outcome.kind == "done" and (await made.standing()).done
        outcome = await console.perform(made.afterwards())
        assert "Revoke it when done" in outcome.message
        token = outcome.details["file"]
        second = people[2].opens(token)
        assert root.lookup(door_of(found), {"token": bytearray(second.encode())}, {})["root"]

        # A rekey, begun here, disturbed by another one, begun again, verified.
        begin = {"shares": "3", "threshold": "2", "pgp": files, "out": str(out)}
        assert (await console.perform(console.make("vault.rekey", **begin))).kind == "done"
        with pytest.raises(ActionError, match="under way"):
            await console.runner.plan(console.make("vault.rekey", **begin))
        first_try = RekeyCeremony(console.doors, "truenas", out)
        assert (await first_try.standing()).words == ""
        cancelled = first_try.reset()
        assert cancelled and (await console.perform(cancelled)).kind == "done"
        assert "cancelled" in (await first_try.standing()).words
        begin["pgp"] = shlex.join(str(p.public) for p in people[::-1])
        assert (await console.perform(console.make("vault.rekey", **begin))).kind == "done"
        assert "somebody began another" in (await first_try.standing()).words
        outcome = await console.give(first_try, people[0], str(wrapped[0]), 1, monkeypatch)
        assert outcome.kind == "failed" and "nothing was sent" in outcome.message
        second_try = RekeyCeremony(console.doors, "truenas", out)
        assert (await second_try.standing()).progress == 0
        for number in (0, 2):
            outcome = await console.give(
                second_try, people[number], str(wrapped[number]), number + 1, monkeypatch
            )
            assert outcome.kind == "done", outcome
        assert (await second_try.standing()).done
        outcome = await console.perform(second_try.afterwards())
        assert "3 new shares are in" in outcome.message
        assert "Not in force yet: 2 holders open theirs" in outcome.message
        new_files = sorted(out.glob("truenas-rekey-*"))
        assert len(new_files) == 3
        new = [p.opens(path) for p, path in zip(people[::-1], new_files, strict=True)]
        verification = VerifyCeremony(console.doors, "truenas")
        assert (await verification.standing()).required == 2
        outcome = await console.give(verification, people[2], str(new_files[0]), 1, monkeypatch)
        assert outcome.message == "truenas: 1 of 2 shares are in"
        anew = verification.reset()
        assert anew and (await console.perform(anew)).kind == "done"
        for number in (0, 1):
            assert not (await verification.standing()).done
            outcome = await console.give(
                verification, people[2 - number], str(new_files[number]), number + 1, monkeypatch
            )
        assert "in force" in outcome.message and (await verification.standing()).done
        outcome = await console.perform(verification.afterwards())
        assert "3 new shares are in force, 2 are needed" in outcome.message
        assert (await console.revoke(people[2], token, monkeypatch)).kind == "done"
        with pytest.raises(ActionError, match="403"):
            await console.revoke(people[2], token, monkeypatch)
        console.history.close()
        said = "\n".join(console.said)
        secrets = [*old, *new, first, second]
        for secret in secrets:
            assert secret not in said
        return secrets

    with vault_set(tmp_path / "v", initialise=False) as found:
        secrets = asyncio.run(life(found))
    searched = [p for folder in (out, kept) for p in folder.rglob("*") if p.is_file()]
    assert any(p.name.startswith("history") for p in searched)
    for path in searched:
        data = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in data, path
            if not secret.startswith("hvs."):
                assert base64.b64encode(bytes.fromhex(secret)) not in data, path


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("shares", "many", "a number from 1 to 255"),
        ("shares", "4", "4 shares need 4 public key files"),
        ("shares", "2", "2 shares need 2 public key files"),
        ("threshold", "", "how many shares that are needed"),
        ("threshold", "4", "the threshold is at most 3"),
        ("threshold", "1", "2 at least"),
        ("pgp", "'open", "a quote is not closed"),
        ("pgp", "/nowhere/x.asc /nowhere/y.asc /nowhere/z.asc", "cannot be read"),
        ("root_pgp", "", "one public key file"),
        ("out", "/nowhere", "no such folder"),
        ("out", "", "a folder"),
    ],
)
def test_what_is_typed_is_told_at_its_field(
    people: list[Holder], tmp_path: Path, field: str, value: str, said: str
) -> None:
    changes = {"shares": "3", "threshold": "2", "root_pgp": str(people[0].public),
               "pgp": shlex.quote(str(tmp_path / "keys")), "out": str(tmp_path)}  # fmt: skip
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "readme.txt").write_text("not a key")
    for person in people:
        shutil.copy(person.public, tmp_path / "keys")
    with pytest.raises(FieldError, match=said) as caught:
        asyncio.run(wrapping(changes | {field: value}, root=True))
    assert caught.value.field == ("pgp" if "files" in said and field == "shares" else field)
    good = asyncio.run(wrapping(changes, root=True))
    assert [key.holder for key in good.keys] == [
        "Ana <ana@lab>",
        "Ben <ben@lab>",
        "Cleo <cleo@lab>",
    ]


def test_one_who_holds_enough_alone_is_told(people: list[Holder], tmp_path: Path) -> None:
    ana, ben, _ = (shlex.quote(str(p.public)) for p in people)
    changes = {"shares": "3", "threshold": "2", "pgp": f"{ana} {ana} {ben}", "out": str(tmp_path)}
    found = asyncio.run(wrapping(changes, root=False))
    assert found.risks() == ["Ana <ana@lab> holds 2 shares: enough to unseal alone"]


def test_init_without_an_answer_says_what_that_means(
    people: list[Holder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server makes the shares and the console never hears: played by an init beside it."""
    files = shlex.join(str(p.public) for p in people)
    out = tmp_path / "out"
    out.mkdir()

    async def life(found: VaultSet) -> None:
        console = Console(found, tmp_path)
        action = console.make("vault.init", shares="3", threshold="2", pgp=files,
                              root_pgp=str(people[0].public), out=str(out))  # fmt: skip

        async def lost(*_: Any, **__: Any) -> dict[str, Any]:
            await asyncio.to_thread(found.client("", "").sys.initialize, 1, 1)
            raise Unknown("no answer within 90 s")

        monkeypatch.setattr(initial, "called", lost)
        outcome = await console.perform(action)
        assert outcome.kind == "failed"
        assert "nobody has its shares" in outcome.message and "Wipe its data" in outcome.message
        console.history.close()

    with vault_set(tmp_path / "v", initialise=False) as found:
        asyncio.run(life(found))


def test_newer_release_that_wants_a_token_is_told(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    body = b'{"errors":["permission denied"]}'
    with standing_in(answer(403, body), (cert, key)) as server:
        door = Door("truenas", server.url, str(cert))
        with pytest.raises(ActionError, match="enable_unauthenticated_access"):
            asyncio.run(rekeystate.state(door))


def test_half_made_raft_is_told(people: list[Holder], tmp_path: Path) -> None:
    """A key that only signs, sent past our own check: Vault 1.21 says no and is spoilt."""
    with holders("sig") as (sig,):
        run_gpg(sig.home, "--quick-generate-key", "Only <only@lab>", "ed25519", "sign", "never")
        data = base64.b64encode(run_gpg(sig.home, "--export", "only@lab")).decode()
    with vault_set(tmp_path / "v", initialise=False) as found:
        door = door_of(found)
        params = init_params(people, tmp_path, 3, 2)
        with pytest.raises(Refused, match="no valid encryption keys"):
            init.init(door, {}, params | {"pgp_keys": [data] * 3})
        with pytest.raises(Refused, match="empty its storage folder"):
            init.init(door, {}, params)
        assert not list(tmp_path.glob("*.asc"))


def test_a_server_that_does_not_answer_is_asked_for_no_ceremony() -> None:
    """Before any secret or form is asked for: what it would say is not known."""
    made = ("init", "rekey", "generate-root", "cancel-ceremony", "revoke-root")
    these = {f"vault.{id}" for id in made}
    for state in ("refused", "tls", "unknown"):
        row = VaultNode(node="truenas", address="https://a:8200", state=state)
        for spec in (s for s in VAULT if s.id in these):
            assert spec.disabled and spec.disabled(row) == f"it does not answer: {state}"
