"""The keyholder: how a line is typed, what a share looks like, gpg, and what the process is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.keyholder.faults import HIDDEN, fault, masked, masker
from labtui.keyholder.holder import Given, HolderError, Keyholder, Typed
from labtui.keyholder.line import MORE_LINES, TOO_LONG, Line
from labtui.keyholder.naming import Names
from labtui.keyholder.operation import Door, Operation, Refused
from labtui.keyholder.operations import operation
from labtui.keyholder.operations.request import request
from labtui.keyholder.shape import LIMIT, Form, decoded, digest, form, trimmed, wipe
from labtui.keyholder.slip import slipped
from labtui.spec import Wanted
from realservers import program
from standin import answer, cut_short, hang, standing_in

RAW = bytes(range(7, 40))
HEX, B64 = RAW.hex(), base64.b64encode(RAW).decode()
SHARE = Wanted("share", "share", "share 1 of 3")


# What a share looks like


@pytest.mark.parametrize(
    ("text", "shape", "good"),
    [
        (B64, "44, base64", True),
        (HEX, "66, hex", True),
        (HEX.upper(), "66, hex", True),
        (RAW[:32].hex(), "64, hex", True),
        (base64.b64encode(RAW[:32]).decode(), "44, base64", True),
        (B64[:-1], "43, one is missing: a share has 44 in base64 or 66 in hex", False),
        (HEX[:-1], "65, a share has 44 in base64 or 66 in hex", False),
        (base64.b64encode(HEX.encode()).decode(), "88, base64 of a share: decode it once", False),
        ("hvs.CAESIJsecret", "16, a token, not a share", False),
        ("not a share!", "12, with characters that no share has", False),
        ("", "", False),
    ],
)
def test_a_share_is_told_by_its_form(text: str, shape: str, good: bool) -> None:
    told = form("share", bytearray(text.encode()))
    assert told.shape.startswith(shape) and told.good == good and told.count == len(text)


def test_a_token_is_not_a_share_nor_a_sentence() -> None:
    assert form("token", bytearray(b"hvs.CAESIJ")).shape == "10, a token"
    assert not form("token", bytearray(b"two words")).good
    assert "share" in form("token", bytearray(HEX.encode())).shape


@given(
    st.binary(min_size=32, max_size=33), st.sampled_from(["{}", "--gpg={}", "Key 1: {}", "{},x"])
)
def test_a_share_that_slipped_in_is_noticed(raw: bytes, around: str) -> None:
    for text in (raw.hex(), base64.b64encode(raw).decode()):
        assert slipped(around.format(text)) == "share"
        assert slipped(around.format(base64.b64encode(text.encode()).decode())) == "share"


@pytest.mark.parametrize(
    "text",
    ["", "truenas", "--gpg", "hvs.asc", "~/shares/truenas-share-1-1F39DDFB.asc", "AB" * 20,
     "s.token-of-cleo-for-truenas.asc", "secret/data/ngc", f"{HEX}.asc", "1007daf7"],
)  # fmt: skip
def test_what_names_something_is_no_secret(text: str) -> None:
    assert slipped(text) == ""


def test_a_file_that_is_there_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / RAW[:32].hex()
    path.touch()
    assert slipped(path.name) == "share"
    with contextlib.chdir(tmp_path):
        assert slipped(path.name) == ""


def test_a_value_keeps_all_but_the_last_lines_end() -> None:
    assert trimmed("value", bytearray(b" a b \n")) == b" a b "
    assert trimmed("value", bytearray(b"one\ntwo\r\n")) == b"one\ntwo"
    assert trimmed("share", bytearray(b" \tx\n\n")) == b"x"


def test_the_same_share_has_one_digest_however_it_is_written() -> None:
    salt = b"0" * 16
    one = digest(bytearray(HEX.encode()), salt)
    assert one == digest(bytearray(B64.encode()), salt)
    assert one != digest(bytearray(B64.encode()), b"1" * 16)


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_no_input_breaks_the_form(data: bytes) -> None:
    for kind in ("share", "token", "value", "passphrase"):
        told = form(kind, bytearray(data))
        assert told.good is False or data


# Typing


def typed(data: bytes, line: Line | None = None, alone: bool = True) -> tuple[str, list[str]]:
    line = line or Line()
    keys = [key for byte in data if (key := line.feed(byte, alone)) not in ("", "changed")]
    return line.text.decode("utf-8", "replace"), keys


@pytest.mark.parametrize(
    ("data", "text", "keys"),
    [
        (b"ab\x7fc", "ac", []),
        ("aü\x7f".encode(), "a", []),
        (b"abc\x15d", "d", []),
        (b"a\r", "a", ["enter"]),
        (b"a\x1b[Ab\x1bOPc\x1b[1;5Cd", "abcd", []),
        (b"a\x1b]52;c;aGk=\x07b\x1bP+q\x1b\\c", "abc", []),
        (b"a\x1b[97;1:1ub", "ab", []),
        (b"\x12", "", ["reset"]),
        (b"\t\x06", "", ["gpg", "gpg"]),
        (b"a\x03", "a", ["leave"]),
        (b"\x04", "", ["leave"]),
        (b"a\x04", "a", []),
        (b"\x1b\x1b", "", ["leave"]),
        (b"\x1b[200~ab\n\x1b[201~", "ab", []),
        (b"\x1b[200~\x12\x03ab\x1b[201~", "ab", []),
    ],
)
def test_what_is_text_and_what_is_a_key(data: bytes, text: str, keys: list[str]) -> None:
    assert typed(data) == (text, keys)


def test_a_paste_of_several_lines_keeps_nothing() -> None:
    line = Line()
    assert typed(b"\x1b[200~one\ntwo\n\x1b[201~", line) == ("", [])
    assert line.notice == MORE_LINES
    typed(b"x", line)
    assert line.notice == ""


def test_what_is_too_long_keeps_nothing() -> None:
    line = Line()
    assert typed(b"x" * (LIMIT + 1), line)[0] == ""
    assert line.notice == TOO_LONG


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_no_bytes_break_the_line(data: bytes) -> None:
    line = Line()
    typed(data, line)
    line.wipe()
    assert line.text == b""


def test_wiping_overwrites_the_buffer() -> None:
    text = bytearray(b"secret")
    view = memoryview(text)
    text[:] = bytes(6)
    assert bytes(view) == bytes(6)
    view.release()
    wipe(text)
    assert not text


# Faults


def test_no_spelling_of_a_secret_is_in_a_message() -> None:
    mask = masker([bytearray(HEX.encode()), bytearray(b"hvs.secret-token")])
    said = mask(f"{HEX} {HEX.upper()} {B64} hvs.secret-token")
    assert said == " ".join([HIDDEN] * 4)
    assert masked({"a": [f"x{B64}", 1]}, mask) == {"a": [f"x{HIDDEN}", 1]}


WRITE = Operation("x.write", (), lambda d, s, p: {})
READ = Operation("x.read", (), lambda d, s, p: {}, writes=False)


def ask(door: Door) -> Exception:
    with pytest.raises(Exception) as raised:
        request(door, "put", "sys/unseal", {"key": B64})
    return raised.value


@pytest.mark.parametrize(
    ("behaviour", "write", "read"),
    [
        (answer(400, b'{"errors":["no"]}'), "denied", "denied"),
        (answer(403, b'{"errors":["permission denied"]}'), "denied", "denied"),
        (answer(404, b'{"errors":[]}'), "denied", "denied"),
        (answer(429, b'{"errors":["quota"]}'), "denied", "denied"),
        (answer(500, b'{"errors":["boom"]}'), "denied", "denied"),
        (answer(501, b'{"errors":["x"]}'), "denied", "denied"),
        (answer(503, b'{"errors":["Vault is sealed"]}'), "denied", "denied"),
        (answer(502, b"<html>a proxy's page"), "unknown", "protocol"),
        (answer(504, b"<html>a proxy's page"), "unknown", "timeout"),
        (answer(307, b"", Location="https://elsewhere/"), "denied", "denied"),
        (answer(200, b"<html>"), "unknown", "protocol"),
        (answer(200, b"[]"), "unknown", "protocol"),
        (cut_short, "unknown", "protocol"),
        (hang, "unknown", "timeout"),
    ],
)
def test_what_went_wrong_has_a_kind(behaviour: Any, write: str, read: str) -> None:
    with standing_in(behaviour) as there:
        door = Door("truenas", there.url, timeout=0.5)
        error = ask(door)
        assert fault(error, WRITE, door)[0] == write
        kind, words = fault(error, READ, door)
        assert kind == read and B64 not in words
        assert "truenas" in words or there.url in words


def test_what_was_never_sent_is_known_to_be_undone() -> None:
    door = Door("n", "http://127.0.0.1:9", timeout=0.5)
    kind, words = fault(ask(door), WRITE, door)
    assert kind == "refused" and words == "Vault on n: connection refused"
    assert fault(Refused("no"), WRITE, door) == ("denied", "no")


def test_nothing_goes_to_another_machine_in_clear(tmp_path: Path) -> None:
    """Whatever let such an address through."""
    door = Door("n", "http://truenas.lab:8200", timeout=0.5)
    secrets = {"share": bytearray(B64.encode()), "token": bytearray(b"hvs.x")}
    for id, params in (("unseal.share", {}), ("raft.save", {"path": str(tmp_path / "x")})):
        with pytest.raises(Refused, match="https"):
            operation(id).run(door, secrets, params)


# The process


class Pty:
    """A keyboard whose other end the test has."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.path = os.ttyname(self.theirs)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[str]:
        yield self.path

    def press(self, data: bytes) -> None:
        os.write(self.ours, data)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def pty() -> Iterator[Pty]:
    found = Pty()
    yield found
    found.close()


async def until(test: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not test():
            await asyncio.sleep(0.01)


async def test_it_reads_the_terminal_in_no_time_and_tells_only_how_much(pty: Pty) -> None:
    seen: list[Typed] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, seen.append))
        await until(lambda: seen)
        assert loop.time() - began < 1.5  # 0.08 s where nothing else runs
        assert not pty.echoes
        pty.press(B64[:10].encode())
        await until(lambda: seen[-1].count == 10)
        pty.press(B64[10:].encode() + b"\r")
        assert await asking == "given"
        assert pty.echoes
        assert seen[-1] == Typed(44, "44, base64", True)
        assert holder.digest and holder.has == {"share"}
        os.set_blocking(pty.ours, False)
        with pytest.raises(BlockingIOError):
            os.read(pty.ours, 100)


@pytest.mark.parametrize(
    ("keys", "ended"),
    [(b"\x1b", "left"), (b"\x03", "left"), (b"\x12", "reset")],
)
async def test_its_keys(pty: Pty, keys: bytes, ended: str) -> None:
    seen: list[Typed] = []
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, seen.append))
        await until(lambda: seen)
        pty.press(keys)
        assert await asking == ended
        assert holder.has == set()


@pytest.mark.parametrize("size", [40, 9000])
async def test_what_comes_after_the_end_reaches_nobody(pty: Pty, size: int) -> None:
    """More than the terminal's queue holds, in one paste behind the key that leaves."""
    seen: list[Typed] = []
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, seen.append))
        await until(lambda: seen)
        pty.press(b"\x03" + b"x" * size)
        assert await asking == "left"
    before = termios.tcgetattr(pty.theirs)
    before[3] &= ~termios.ICANON
    termios.tcsetattr(pty.theirs, termios.TCSANOW, before)
    await asyncio.sleep(0.3)
    assert not select.select([pty.theirs], [], [], 0)[0]


async def test_pasted_lines_are_refused_whole_without_brackets_too(pty: Pty) -> None:
    seen: list[Typed] = []
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, seen.append))
        await until(lambda: seen)
        pty.press(f"{B64}\r{HEX}\r".encode())
        await until(lambda: seen[-1].shape == MORE_LINES)
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_share_that_was_given_is_not_taken_again(pty: Pty) -> None:
    given = Given()
    async with Keyholder.start(given) as first:
        pty.press(f"{B64}\r".encode())
        assert await first.ask(SHARE, pty, lambda _: None) == "given"
        given.digests.add(first.digest)
    seen: list[Typed] = []
    async with Keyholder.start(given) as second:
        asking = asyncio.create_task(second.ask(SHARE, pty, seen.append))
        await until(lambda: seen)
        pty.press(f"{HEX}\r".encode())  # the other spelling
        await until(lambda: "already" in seen[-1].shape)
        assert not asking.done()
        pty.press(b"\x1b")
        assert await asking == "left"


@pytest.mark.parametrize("slip", [B64, HEX, "hvs.CAESIJ1x8k0Zq_a-3mD0v9yQKcW2eTnB5rLhU7sG"])
async def test_a_secret_in_the_place_of_a_files_name_stays_there(pty: Pty, slip: str) -> None:
    """Pasted, and byte by byte as a slow line brings it."""
    seen: list[Typed] = []
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, seen.append))
        for pieces in ([f"\x1b[200~{slip}\x1b[201~"], list(slip)):
            await until(lambda: seen and seen[-1].text is None)
            pty.press(b"\t")
            await until(lambda: seen[-1].text == "")
            seen.clear()
            for piece in pieces:
                pty.press(piece.encode())
                await asyncio.sleep(0.01)
            await until(
                lambda: any("not a file: esc goes" in s.shape and not s.count for s in seen)
            )
            assert not any(s.text for s in seen)
            pty.press(b"\x1b")
            await until(lambda: seen[-1].text is None)
        pty.press(b"\x1b")
        assert await asking == "left"


def test_a_files_name_is_shown_as_far_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ana-1.asc", "ana-2.asc", ".kept", "out/deep.gpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = Names(str(tmp_path))
    full = f"{tmp_path}/"
    for text, after in {
        "": "", "a": "ana-", "ana-1": "ana-1.asc", ".k": ".kept", "o": "out/", "out": "out/",
        "out/": "out/deep.gpg", "~/a": "~/ana-", "~": "~", f"{full}an": f"{full}ana-", "x": "x",
        "~nobody-here/": "~nobody-here/", "a" * 5000: "a" * 5000, "ana-1.asc/": "ana-1.asc/",
    }.items():  # fmt: skip
        assert names.completed(text) == after, text
    for text in ("a", "ana-", "out", "out/", "~", "~/out/deep", ".", full[:-3]):
        assert names.form(text) == Form(0, "tab completes it", False, text)
    for text in ("ana-1.asc", "~/.kept", f"{full}out/deep.gpg"):
        assert names.form(text) == Form(0, "enter opens it", True, text)
    for text in ("x", "ana-3", "~nobody-here/", "a" * 5000, "ü"):
        told = names.form(text)
        assert told == Form(len(text), "no file begins so", False, "")


@given(st.text(max_size=30))
def test_no_text_breaks_the_naming_of_files(text: str) -> None:
    names = Names("/")
    assert names.form(text).text in (text, "")
    assert names.completed(text).startswith(text)


async def test_a_lone_key_is_an_answer_and_a_burst_is_none(pty: Pty) -> None:
    async with Keyholder.start() as holder:
        waiting = asyncio.create_task(holder.key(pty, ("y", "esc")))
        await asyncio.sleep(0.3)
        pty.press(b"yyy\r")
        await asyncio.sleep(0.5)
        assert not waiting.done()
        pty.press(b"y")
        assert await waiting == "y"


async def test_when_it_is_killed_the_console_knows(pty: Pty) -> None:
    async with Keyholder.start() as holder:
        asking = asyncio.create_task(holder.ask(SHARE, pty, lambda _: None))
        await asyncio.sleep(0.2)
        assert holder.pid
        os.kill(holder.pid, signal.SIGKILL)
        with pytest.raises(HolderError) as raised:
            await asking
    assert raised.value.kind == "gone"


async def test_it_has_no_core_no_token_and_no_proxy(
    monkeypatch: pytest.MonkeyPatch, pty: Pty
) -> None:
    for name in ("VAULT_TOKEN", "HTTPS_PROXY", "LD_AUDIT", "PYTHONFAULTHANDLER", "NGC_API_KEY"):
        monkeypatch.setenv(name, "1")
    async with Keyholder.start() as holder:
        pid = holder.pid
        assert pid
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        assert environment(pid) <= {"PATH", "HOME", "GNUPGHOME", "USER", "LOGNAME", "LANG",
                                    "LC_ALL", "LC_CTYPE", "TERM"}  # fmt: skip
        proc = Path("/proc") / str(pid)
        assert "NoNewPrivs:\t1" in (proc / "status").read_text()
        assert str((proc / "cwd").readlink()) == "/"
        opened = sorted(str(d.readlink()).partition(":")[0] for d in (proc / "fd").iterdir())
        assert opened == ["/dev/null", "/dev/null", "/dev/null", "socket"]
    assert not proc.exists()


def environment(pid: int) -> set[str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {entry.partition(b"=")[0].decode() for entry in entries if entry}


READABLE = """
import asyncio, subprocess, sys
from labtui.keyholder.holder import Keyholder
def opens(pid):
    code = f"import os; os.close(os.open('/proc/{pid}/mem', os.O_RDONLY))"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
async def main():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with Keyholder.start() as holder:
        print(opens(other.pid), opens(holder.pid), holder.locked)
    other.kill()
asyncio.run(main())
"""


def test_nobody_of_the_same_user_may_read_its_memory() -> None:
    """Without capabilities, as any user: a plain process can be read, the keyholder cannot. And
    where memory may not be locked, it says so."""
    drop = [program("setpriv"), "--bounding-set", "-all", "--inh-caps", "-all"]
    done = subprocess.run(
        [*(drop if os.getuid() == 0 else []), sys.executable, "-c", READABLE],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "False", "False"], done


def test_it_dies_with_the_console() -> None:
    code = """
import asyncio, os, signal
from labtui.keyholder.holder import Keyholder
async def main():
    async with Keyholder.start() as holder:
        print(holder.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    pid = int(done.stdout)
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return
        subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError("the keyholder outlived its console")


# gpg


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Path]:
    """A key without a passphrase (ana) and one with (bo: `open sesame`)."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))
    for name, phrase in (("ana", ""), ("bo", "open sesame")):
        loopback = ("--pinentry-mode", "loopback", "--passphrase", phrase)
        make = ("--quick-generate-key", f"{name}@lab", "future-default", "default", "never")
        gpg(home, *loopback, *make)
    yield home
    stop_agent(home)
    shutil.rmtree(home, ignore_errors=True)


def gpg(home: Path, *argv: str, data: bytes = b"") -> bytes:
    call = [program("gpg"), "--homedir", str(home), "--batch", "--quiet", *argv]
    done = subprocess.run(call, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sealed_for(home: Path, who: str, text: str) -> bytes:
    return gpg(home, "--trust-model", "always", "-e", "-r", f"{who}@lab", data=text.encode())


def stop_agent(home: Path) -> None:
    argv = [program("gpgconf"), "--homedir", str(home), "--kill", "all"]
    subprocess.run(argv, check=False)


def forget(home: Path) -> None:
    """The agent has no passphrase any more."""
    subprocess.run(["gpgconf", "--homedir", str(home), "--reload", "gpg-agent"], check=True)


@pytest.mark.parametrize("wrapping", ["binary", "armour", "base64", "hex"])
async def test_a_file_that_gpg_opens(
    gnupg: Path, tmp_path: Path, pty: Pty, monkeypatch: pytest.MonkeyPatch, wrapping: str
) -> None:
    data = sealed_for(gnupg, "ana", HEX + "\n")
    if wrapping == "armour":
        data = gpg(gnupg, "--enarmor", data=data).replace(b"ARMORED FILE", b"MESSAGE")
    elif wrapping == "base64":
        data = base64.encodebytes(data)
    elif wrapping == "hex":
        data = data.hex().encode() + b"\n"
    (tmp_path / "share").write_bytes(data)
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    async with Keyholder.start() as holder:
        seen: list[Typed] = []
        assert await holder.gpg(SHARE, str(tmp_path / "share"), pty, seen.append) == "given"
        assert seen[-1] == Typed(66, "66, hex", True)
        assert holder.digest


async def test_a_passphrase_is_asked_by_the_keyholder(
    gnupg: Path, tmp_path: Path, pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share").write_bytes(sealed_for(gnupg, "bo", HEX))
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    forget(gnupg)
    seen: list[Typed] = []
    async with Keyholder.start() as holder:
        opening = asyncio.create_task(holder.gpg(SHARE, str(tmp_path / "share"), pty, seen.append))
        await until(lambda: seen and seen[-1].shape == "the passphrase for share")
        pty.press(b"wrong\r")
        await until(lambda: seen[-1].shape.startswith("wrong; once more"))
        pty.press(b"open sesame\r")
        assert await opening == "given"
        assert seen[-1] == Typed(66, "66, hex", True)
    assert "sesame" not in repr(seen)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda home: b"not a message at all!", "share is not a PGP message"),
        (lambda home: b"\x99" + b"x" * 50, "share is not a PGP message"),
        (lambda home: sealed_for(home, "ana", "hello"), "what share holds is 5, a share has"),
    ],
)
async def test_what_gpg_cannot_open_is_told_in_one_sentence(
    gnupg: Path, tmp_path: Path, pty: Pty, monkeypatch: pytest.MonkeyPatch, make: Any, words: str
) -> None:
    (tmp_path / "share").write_bytes(make(gnupg))
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    async with Keyholder.start() as holder:
        with pytest.raises(HolderError) as raised:
            await holder.gpg(SHARE, str(tmp_path / "share"), pty, lambda _: None)
        assert raised.value.message.startswith(words)
        with pytest.raises(HolderError) as raised:
            await holder.gpg(SHARE, str(tmp_path / "absent"), pty, lambda _: None)
        assert "no such file" in raised.value.message


async def test_without_the_key_or_without_gpg(
    gnupg: Path, tmp_path: Path, pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share").write_bytes(sealed_for(gnupg, "ana", HEX))
    empty = Path(tempfile.mkdtemp(prefix="lt-"))
    monkeypatch.setenv("GNUPGHOME", str(empty))
    for path, words in ((os.environ["PATH"], "there is no secret key here"), ("/x", "gpg is not")):
        monkeypatch.setenv("PATH", path)
        async with Keyholder.start() as holder:
            with pytest.raises(HolderError) as raised:
                await holder.gpg(SHARE, str(tmp_path / "share"), pty, lambda _: None)
            assert raised.value.message.startswith(words)
    monkeypatch.undo()
    stop_agent(empty)
    shutil.rmtree(empty, ignore_errors=True)


def test_a_share_decodes_as_vault_decodes_it() -> None:
    assert decoded(bytearray(HEX.encode())) == decoded(bytearray(B64.encode())) == RAW
    assert decoded(bytearray(b"A" * 45)) is None
