"""One line that a person types or pastes, byte by byte: what is a key and what is text. Pure.

Terminals send arrow keys, focus and pastes as escape sequences; none of them may end up in a
share, and a share may not be taken for keys. Time comes in from outside.
"""

from __future__ import annotations

from typing import Literal

from labtui.keyholder.shape import LIMIT, wipe

Key = Literal["", "enter", "leave", "gpg", "reset", "changed"]
"""What a byte made of the line; empty: nothing yet."""
ESCAPE_ALONE = 0.05
"""Seconds after which an esc is the key, not the begin of a sequence."""
PASTE_GOES_ON = 0.03
"""Seconds after an enter within which more text belongs to the same paste."""
MORE_LINES = "more than one line was pasted; nothing was sent"
TOO_LONG = "too long; nothing of it was kept"
_CONTROL: dict[int, Key] = {0x03: "leave", 0x06: "gpg", 0x09: "gpg", 0x12: "reset"}
"""ctrl+c, ctrl+f, tab, ctrl+r."""


class Line:
    """What was typed so far. `wipe` overwrites it."""

    def __init__(self) -> None:
        # Of its full size from the start: a buffer that grows leaves copies behind.
        self._room = bytearray(LIMIT)
        self._size = 0
        self._state: Literal["", "esc", "csi", "ss3", "string", "string-esc"] = ""
        self._sequence = bytearray()
        self._pasting = False
        self._newline = False
        """A line ended within what is being pasted."""
        self._more = False
        """And more text came after it."""
        self.notice = ""
        """What went wrong with the last input, until the next one."""

    @property
    def text(self) -> bytearray:
        """A copy; to be wiped."""
        return self._room[: self._size]

    @property
    def escape_pending(self) -> bool:
        """An esc came and nothing after it yet."""
        return self._state == "esc"

    def wipe(self) -> None:
        self._room[:] = bytes(LIMIT)
        self._size = 0

    def put(self, text: bytes) -> None:
        """This instead of what was typed."""
        self.wipe()
        for byte in text:
            self._add(byte)

    def refuse(self, notice: str) -> Key:
        """Nothing that came is kept."""
        self.wipe()
        self.notice = notice
        return "changed"

    def escape_alone(self) -> Key:
        """Nothing followed the esc."""
        self._state = ""
        return "leave"

    def feed(self, byte: int, alone: bool) -> Key:
        """`alone`: it did not come in one piece with others, as pasted text does."""
        if self._state:
            return self._in_sequence(byte)
        if byte == 0x1B:
            self._state = "esc"
            return ""
        if self._pasting:
            return self._paste(byte)
        if byte in (0x0A, 0x0D):
            return "enter"
        if byte in (0x7F, 0x08):
            return self._backspace()
        if byte == 0x15:
            self.notice = ""
            self.wipe()
            return "changed"
        if byte == 0x04:
            return "leave" if not self._size else ""
        if byte == 0x03 or (alone and byte in _CONTROL):
            return _CONTROL[byte]
        if byte == 0x09 or byte >= 0x20:
            return self._add(byte)
        return ""

    def _add(self, byte: int) -> Key:
        self.notice = ""
        if self._size == LIMIT:
            return self.refuse(TOO_LONG)
        self._room[self._size] = byte
        self._size += 1
        return "changed"

    def _backspace(self) -> Key:
        self.notice = ""
        while self._size:
            self._size -= 1
            byte, self._room[self._size] = self._room[self._size], 0
            if byte & 0xC0 != 0x80:  # the first byte of a character
                break
        return "changed"

    def _paste(self, byte: int) -> Key:
        if byte in (0x0A, 0x0D):
            self._newline = self._size > 0
            return ""
        if self._newline:
            if byte in (0x20, 0x09):
                return ""
            self._more = True  # told at the paste's end
        return self._add(byte) if byte >= 0x20 or byte == 0x09 else ""

    def _in_sequence(self, byte: int) -> Key:
        match self._state:
            case "esc":
                if byte == 0x5B:
                    self._state = "csi"
                    wipe(self._sequence)
                elif byte == 0x4F:
                    self._state = "ss3"
                elif byte in b"]P_^X":
                    self._state = "string"
                elif byte == 0x1B:
                    self._state = ""
                    return "leave"
                else:
                    self._state = ""
            case "csi":
                if 0x40 <= byte <= 0x7E:
                    self._state = ""
                    return self._csi(byte)
                if len(self._sequence) < 16:
                    self._sequence.append(byte)
            case "ss3":
                self._state = ""
            case "string" if byte == 0x1B:
                self._state = "string-esc"
            case "string" if byte == 0x07:
                self._state = ""
            case "string-esc":
                self._state = "" if byte == 0x5C else "string"
            case _:
                pass
        return ""

    def _csi(self, final: int) -> Key:
        if final != 0x7E or bytes(self._sequence) not in (b"200", b"201"):
            return ""
        begins = self._sequence == b"200"
        more = self._more and not begins
        self._pasting, self._newline, self._more = begins, False, False
        return self.refuse(MORE_LINES) if more else "changed"
