"""A secret out of a file that gpg decrypts, straight through a pipe.

Vault gives a share that is wrapped for its holder as base64 of a binary message, without armour.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from labtui.keyholder.shape import FILE_LIMIT, wipe

ENCRYPTED_LIMIT = 1 << 20
"""Bytes of an encrypted file that are read."""
TIMEOUT = 30.0
"""Seconds; a card that has to be touched takes some."""
_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_TEXT = re.compile(rb"[A-Za-z0-9+/=\s]+")
_HEX = re.compile(rb"[0-9a-fA-F\s]+")

Why = Literal["", "passphrase", "wrong"]
"""It is decrypted; it needs a passphrase; the one that was given is wrong."""


class GpgError(Exception):
    """One sentence."""


def message(path: str) -> bytes:
    """The file as gpg takes it: binary or armoured; base64 and hex around it are taken off."""
    name = Path(path).name
    try:
        with Path(path).open("rb") as file:
            data = file.read(ENCRYPTED_LIMIT + 1)
    except OSError as error:
        raise GpgError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    if len(data) > ENCRYPTED_LIMIT:
        raise GpgError(f"{name} is too large for an encrypted secret")
    if data[:1] >= b"\x80" or _ARMOUR in data:
        return data
    with contextlib.suppress(binascii.Error, ValueError):
        text = b"".join(data.split())
        inner = b""
        if _HEX.fullmatch(data):
            inner = binascii.unhexlify(text)
        elif _TEXT.fullmatch(data):
            inner = base64.b64decode(text, validate=True)
        if inner[:1] >= b"\x80":
            return inner
    raise GpgError(f"{name} is not a PGP message")


def decrypt(path: str, passphrase: bytearray | None = None) -> tuple[Why, bytearray]:
    """What the file says, or why it does not. Raises GpgError where asking again does not help.

    Without a passphrase only what the agent has already, or needs none, is used: nothing asks on
    the terminal or on a desktop behind our back.
    """
    program = shutil.which("gpg") or shutil.which("gpg2")
    if program is None:
        raise GpgError("gpg is not installed here")
    data = message(path)
    status_read, status_write = os.pipe()
    passed = [status_write]
    argv = [program, "--batch", "--no-tty", "--quiet", "--status-fd", str(status_write)]
    phrase_read = -1
    if passphrase is None:
        argv += ["--pinentry-mode", "error"]
    else:
        phrase_read, phrase_write = os.pipe()
        passed.append(phrase_read)
        os.write(phrase_write, passphrase + b"\n")
        os.close(phrase_write)
        argv += ["--pinentry-mode", "loopback", "--passphrase-fd", str(phrase_read)]
    try:
        plain, status, slow = _run([*argv, "--decrypt"], data, passed, status_read)
    finally:
        os.close(status_read)
        if phrase_read >= 0:
            os.close(phrase_read)
    name = Path(path).name
    if slow:
        wipe(plain)
        raise GpgError(f"gpg did not answer within {TIMEOUT:.0f} s for {name}")
    if "DECRYPTION_OKAY" in status:
        return "", plain
    wipe(plain)
    return _why(program, status, name, passphrase is not None), bytearray()


def _why(program: str, status: str, name: str, tried: bool) -> Why:
    """gpg's own words are few: what it looked for, and how far it came, tells the rest."""
    if "NEED_PASSPHRASE_SYM" in status:
        return "wrong" if tried else "passphrase"
    keys = re.findall(r"ENC_TO ([0-9A-F]{8,40})", status)
    if not keys:
        raise GpgError(f"{name} is not a PGP message")
    if "DECRYPTION_KEY" in status:
        raise GpgError(f"gpg could not decrypt {name}: it is damaged")
    named = [key for key in keys if key.strip("0")]
    if named and not any(_is_ours(program, key) for key in named):
        raise GpgError(f"there is no secret key here for {name} ({named[0]})")
    return "wrong" if tried else "passphrase"


def _is_ours(program: str, key: str) -> bool:
    argv = [program, "--batch", "--no-tty", "--quiet", "--with-colons", "--list-secret-keys", key]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return done.returncode == 0


def _run(
    argv: list[str], data: bytes, passed: list[int], status_read: int
) -> tuple[bytearray, str, bool]:
    """The decrypted text, gpg's status lines, and whether it took too long."""
    source = os.memfd_create("message")
    os.write(source, data)
    os.lseek(source, 0, os.SEEK_SET)
    with subprocess.Popen(
        argv, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=passed,
        bufsize=0,
    ) as process:  # fmt: skip
        os.close(source)
        os.close(passed[0])
        try:
            return _gather(process, status_read)
        finally:
            process.kill()


def _gather(process: subprocess.Popen[bytes], status_read: int) -> tuple[bytearray, str, bool]:
    import selectors
    import time

    assert process.stdout is not None
    plain, status = bytearray(), b""
    room = bytearray(4096)
    end = time.monotonic() + TIMEOUT
    with selectors.DefaultSelector() as waits:
        waits.register(process.stdout.fileno(), selectors.EVENT_READ)
        waits.register(status_read, selectors.EVENT_READ)
        while waits.get_map():
            ready = waits.select(max(0.0, end - time.monotonic()))
            if not ready:
                return plain, "", True
            for key, _ in ready:
                if key.fd == status_read:
                    got = os.read(status_read, 4096)
                    status += got[: ENCRYPTED_LIMIT - len(status)]
                    size = len(got)
                else:
                    size = os.readv(key.fd, [room])
                    plain += room[:size]
                    room[:size] = bytes(size)
                    if len(plain) > FILE_LIMIT:
                        wipe(plain)
                        raise GpgError("it decrypts to more than a secret can be")
                if not size:
                    waits.unregister(key.fd)
    return plain, status.decode("ascii", "replace"), False
