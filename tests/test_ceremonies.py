"""Init, rekey and generate-root on real servers, with holders' keys made by gpg for the test."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import init, rekey, root
from labtui.keyholder.operations.request import request
from labtui.keyholder.operations.wrapped import Files, armoured
from labtui.sources.pgp import KeyFileError, PublicKey, read_key, recipients
from pgpkeys import Holder, holders, run_gpg
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
    with pytest.raises(Refused, match="one of the 2 shares was wrong"):
        rekey.share(door, wrong, told)
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
    with pytest.raises(Refused, match="was wrong"):
        rekey.verify(door, given[2], {"nonce": nonce})
    with pytest.raises(Refused, match="another nonce"):
        rekey.verify(door, given_new[0], {"nonce": nonce})
    nonce = rekey.status(door, {}, {})["verifying"]["nonce"]
    rekey.verify(door, given_new[0], {"nonce": nonce})
    rekey.restart(door, {}, {})
    nonce = rekey.status(door, {}, {})["verifying"]["nonce"]
    for number in (0, 1, 2):
        answer = rekey.verify(door, given_new[number], {"nonce": nonce})
    assert answer["complete"] is True
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
