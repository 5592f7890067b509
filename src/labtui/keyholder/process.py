"""The keyholder's own side: one loop that reads orders, the terminal, and acts with what it has.

It ends when the console closes the socket, dies, or asks it to: and what it knew goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from msgspec.structs import replace

from labtui.keyholder import gnupg
from labtui.keyholder.hardening import harden, quiet
from labtui.keyholder.operation import Door, Operation
from labtui.keyholder.shape import Form, digest, form, trimmed, wipe
from labtui.keyholder.terminal import Prompt, Terminal

ALREADY = "this share was given already; nothing was sent"
TRIES = 3
"""Passphrases for one file."""
ORDER_LIMIT = 1 << 20
"""Bytes of one order."""


class Process:
    """One console's."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._secrets: dict[str, bytearray] = {}
        self._terminal: Terminal | None = None
        self._pending = bytearray()

    def run(self) -> None:
        while True:
            order = self._order()
            try:
                self._obey(order)
            except (OSError, termios.error) as error:
                number = error.args[0] if error.args else 0
                said = os.strerror(number).lower() if isinstance(number, int) else "closed"
                self._tell({"failed": "config", "message": f"the terminal cannot be read: {said}"})

    def _obey(self, order: dict[str, Any]) -> None:
        match order.get("do"):
            case "ask":
                self._ask(order)
            case "gpg":
                self._gpg(order)
            case "key":
                self._key(order)
            case "call":
                self._call(order)
            case "stop":
                pass  # what it was meant to stop has ended by itself
            case _:
                self.leave()

    # The socket

    def _order(self) -> dict[str, Any]:
        while b"\n" not in self._pending:
            got = self._control.recv(65536)
            if not got or len(self._pending) > ORDER_LIMIT:
                self.leave()
            self._pending += got
        line, _, rest = self._pending.partition(b"\n")
        self._pending = rest
        found: dict[str, Any] = json.loads(line)
        return found

    def _tell(self, said: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(said).encode() + b"\n")
        except OSError:
            self.leave()

    def leave(self) -> NoReturn:
        """At once, without the interpreter's own end: which could still print something."""
        if self._terminal is not None:
            self._terminal.close()
        for secret in self._secrets.values():
            wipe(secret)
        os._exit(0)

    def crashed(self, kind: str) -> None:
        with contextlib.suppress(OSError):
            said = {"failed": "protocol", "message": f"the keyholder ended with {kind}"}
            self._control.sendall(json.dumps(said).encode() + b"\n")
        self.leave()

    # Asking

    def _ask(self, order: dict[str, Any]) -> None:
        salt = bytes.fromhex(order["salt"])
        given = frozenset(order["given"])

        def refused(text: bytearray) -> str:
            return ALREADY if given and digest(text, salt) in given else ""

        while True:
            ended, text = self._prompt(order["tty"], order["kind"], "", refused)
            if ended != "gpg":
                break
            ended, text = self._named(order)
            if ended != "left":
                break
        self._ended(ended, text, order, salt)

    def _named(self, order: dict[str, Any]) -> tuple[str, bytearray]:
        """Out of a file that the person names here: `left` where they thought better of it."""
        from labtui.keyholder.naming import NamePrompt, Names

        names, why = Names(order["folder"]), ""
        while True:
            with self._terminal_of(order["tty"]) as terminal:
                prompt = NamePrompt(terminal, self._control, names, self._typed, order["file"], why)
                named, name = prompt.run()
            if named != "given":
                return named, name
            order["file"] = os.fsdecode(bytes(name))
            try:
                path = str(names.path(order["file"]))
                ended, text = self._out_of(path, order, lambda: str(order["tty"]))
            except gnupg.GpgError as error:
                why = str(error)
                continue
            if ended != "left":
                return ended, text
            why = ""

    def _ended(self, ended: str, text: bytearray, order: dict[str, Any], salt: bytes) -> None:
        said = {"ended": ended}
        if ended == "given":
            wipe(self._secrets.get(order["name"]))
            self._secrets[order["name"]] = text
            if order["kind"] == "share":
                said["digest"] = digest(text, salt)
        self._tell(said)

    def _prompt(self, path: str, kind: str, words: str, refused: Any) -> tuple[str, bytearray]:
        def typed(told: Form) -> None:
            self._typed(told if kind != "passphrase" else replace(told, shape=words))

        with self._terminal_of(path) as terminal:
            return Prompt(terminal, self._control, kind, typed, refused).run()

    def _typed(self, told: Form) -> None:
        self._tell({"typed": [told.count, told.shape, told.good, told.text]})

    @contextlib.contextmanager
    def _terminal_of(self, path: str) -> Iterator[Terminal]:
        self._terminal = Terminal(path)
        try:
            yield self._terminal
        finally:
            self._terminal.close()
            self._terminal = None

    def _key(self, order: dict[str, Any]) -> None:
        """One key out of a few, pressed by itself."""
        with self._terminal_of(order["tty"]) as terminal:
            self._tell({"ended": self._one_key(terminal, set(order["keys"]))})

    def _one_key(self, terminal: Terminal, keys: set[str]) -> str:
        names = {0x0D: "enter", 0x0A: "enter", 0x1B: "esc", 0x03: "esc"}
        while True:
            if (
                self._control.fileno()
                in select.select([terminal.fd, self._control.fileno()], [], [])[0]
            ):
                return "stopped"
            chunk = terminal.read()
            if not chunk:
                return "esc"
            lone = len(chunk) == 1 and not terminal.ready(0.05)
            name = names.get(chunk[0], chr(chunk[0])) if lone else ""
            if not lone:
                terminal.drain()
            wipe(chunk)
            if name and name in keys:
                return name

    # gpg

    def _gpg(self, order: dict[str, Any]) -> None:
        try:
            ended, text = self._out_of(order["path"], order, self._lent)
        except gnupg.GpgError as error:
            self._tell({"failed": "denied", "message": str(error)})
            return
        self._ended(ended, text, order, bytes.fromhex(order["salt"]))

    def _lent(self) -> str:
        """The terminal, which is asked for only where a passphrase is needed; empty: not lent."""
        self._tell({"needs": "tty"})
        return str(self._order().get("tty", ""))

    def _out_of(
        self, path: str, order: dict[str, Any], tty: Callable[[], str]
    ) -> tuple[str, bytearray]:
        """What gpg decrypts, where it is what is wanted. Raises GpgError."""
        ended, text = self._opened(path, tty)
        if ended != "given":
            return ended, text
        kind = order["kind"]
        plain = trimmed(kind, text)
        wipe(text)
        told = form(kind, plain)
        why = "" if told.good else f"what {Path(path).name} holds is {told.shape}"
        if told.good and digest(plain, bytes.fromhex(order["salt"])) in order["given"]:
            why = ALREADY
        if why:
            wipe(plain)
            raise gnupg.GpgError(why)
        self._typed(told)
        return ended, plain

    def _opened(self, path: str, tty: Callable[[], str]) -> tuple[str, bytearray]:
        why, text = gnupg.decrypt(path)
        name = Path(path).name
        words = f"the passphrase for {name}"
        for _ in range(TRIES):
            if not why:
                return "given", text
            terminal = tty()
            if not terminal:
                return "left", bytearray()
            ended, phrase = self._prompt(terminal, "passphrase", words, lambda _: "")
            if ended != "given":
                return "left" if ended in ("gpg", "reset") else ended, bytearray()
            self._typed(Form(0, "gpg opens it", False))
            try:
                why, text = gnupg.decrypt(path, phrase)
            finally:
                wipe(phrase)
            words = f"wrong; once more, the passphrase for {name}"
        if why:
            raise gnupg.GpgError(f"the passphrase for {name} was wrong")
        return "given", text

    # Acting

    def _call(self, order: dict[str, Any]) -> None:
        from labtui.keyholder.operations import operation

        door = Door(**order["door"])
        try:
            found = operation(order["op"])
        except (KeyError, ImportError):
            self._tell({"failed": "config", "message": f"no operation {order['op']!r}"})
            return
        lacking = [name for name in found.needs if not self._secrets.get(name)]
        if lacking:
            self._tell({"failed": "denied", "message": f"no {lacking[0]} was given"})
            return
        self._tell({"began": found.timeout})
        done = threading.Event()
        wake, woken = socket.socketpair()
        said: list[dict[str, Any]] = []

        def work() -> None:
            said.append(self._perform(found, door, order["params"]))
            done.set()
            wake.send(b".")

        threading.Thread(target=work, name="operation", daemon=True).start()
        ready = select.select([woken, self._control], [], [], found.timeout)[0]
        while self._control in ready and not done.is_set():
            if self._order().get("do") != "stop":
                self.leave()
            ready = select.select([woken, self._control], [], [], found.timeout)[0]
        if not done.is_set():
            kind = "unknown" if found.writes else "timeout"
            said.append({"failed": kind, "message": f"no answer within {found.timeout:.0f} s"})
        self._tell(said[0])
        if done.is_set():
            wake.close()
            woken.close()

    def _perform(self, found: Operation, door: Door, params: dict[str, Any]) -> dict[str, Any]:
        from labtui.keyholder.faults import fault, masked, masker

        mask = masker(self._secrets.values())
        try:
            result = masked(dict(found.run(door, self._secrets, params)), mask)
            json.dumps(result)
        except Exception as error:  # noqa: BLE001 - whatever an operation raises is told in words
            kind, message = fault(error, found, door)
            return {"failed": kind, "message": mask(message)}
        return {"result": result}


def warm() -> None:
    """Imports what an operation needs, while the person types."""
    with contextlib.suppress(Exception):
        import hvac  # noqa: F401

        import labtui.sources.http
        import labtui.text  # noqa: F401


def main() -> None:
    """`python -I -m labtui.keyholder FD PPID`."""
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    hardened = harden(parent)
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    process = Process(control)
    quiet(process.crashed)
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.leave())
    process._tell({"ready": {"dumpable": hardened.dumpable, "locked": hardened.locked}})
    threading.Thread(target=warm, name="warm", daemon=True).start()
    process.run()
