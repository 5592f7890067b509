"""The one place where text from outside is made inert.

Job names, log lines, hostnames and API errors may hold escape sequences, control characters,
bidirectional overrides, newlines, lone surrogates or a megabyte in one line. `inert` keeps what a
person can read and shows the rest as visible marks; nothing of it can move a cursor or be taken
for markup, because every widget draws it as plain text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

MAX_FIELD = 4096
"""Characters of one field that are kept; the rest is cut with a mark."""

# ECMA-48: CSI, OSC/DCS/SOS/PM/APC strings up to BEL or ST, and two-character escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
# Controls (C0, DEL, C1), bidi embeddings/overrides/isolates and marks, zero-width and line
# separators, surrogates, private use, tags: nothing that a terminal may act on or hide behind.
_PLAIN = re.compile(r"[ -~]*\Z")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _visible(char: str) -> str:
    if char in "\n\r\t\v\f":
        return " "
    category = unicodedata.category(char)
    if category in _HIDDEN:
        return "\N{REPLACEMENT CHARACTER}" if category != "Cf" else ""
    return char


class _Seen(dict[int, str]):
    """What each character becomes, found out once: logs are long, and this is in their way."""

    def __missing__(self, code: int) -> str:
        shown = self[code] = _visible(chr(code))
        return shown


_SEEN = _Seen()


def inert(value: object, limit: int = MAX_FIELD) -> str:
    """One line of harmless text. Newlines become spaces; escape sequences disappear."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if _PLAIN.match(text):
        return text
    text = _ESCAPES.sub("", text)
    return text.translate(_SEEN)


def inert_lines(value: object, limit: int = 65536, width: int = MAX_FIELD) -> list[str]:
    """Many lines of harmless text: the shape of logs, scripts and error bodies."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > limit:
        text = text[:limit] + "…"
    text = _ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text else text
    return [inert(line, width) for line in re.split(r"\r\n|\n|\r", text.expandtabs(4))]


@lru_cache(maxsize=16384)
def cut(text: str, width: int) -> str:
    """`text` padded or cut to exactly `width` terminal cells, with a mark where it was cut."""
    if width <= 0:
        return ""
    if text.isascii():
        size = len(text)
        if size <= width:
            return text + " " * (width - size)
        return text[: width - 1] + "…"
    size = cell_len(text)
    if size <= width:
        return text + " " * (width - size)
    return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)


def right(text: str, width: int) -> str:
    """Like `cut`, aligned right; too long a text keeps its left end."""
    size = cell_len(text)
    return " " * (width - size) + text if size <= width else cut(text, width)


_ASCII = {"▌": ">", "•": "*", "·": "-", "…": "~", "─": "-", "│": "|", "└": "`", "✗": "x", "●": "o",
          "○": ".", "↑": "^", "↓": "v", "→": ">", "é": "e"}  # fmt: skip
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_TABLE = {ord(k): v for k, v in _ASCII.items()} | {
    ord(c): "_.-=+*#@"[i] for i, c in enumerate(_BLOCKS)
}


def ascii_only(text: str) -> str:
    """`--ascii`: our own marks by their stand-ins, anything else beyond ASCII as `?`."""
    return text.translate(_ASCII_TABLE).encode("ascii", "replace").decode()


def spark(values: list[float | None], width: int) -> str:
    """A sparkline of the last `width` values; a gap where there was no value."""
    tail = values[-width:]
    known = [v for v in tail if v is not None]
    if not known:
        return ""
    top, low = max(known), min(0.0, *known)
    span = (top - low) or 1.0
    return "".join(
        " " if v is None else _BLOCKS[min(7, int((v - low) / span * 7.999))] for v in tail
    )


def age(seconds: float) -> str:
    """`41s`, `6m`, `2h10`, `3d`: at most five cells."""
    s = max(0, int(seconds))
    if s < 100:
        return f"{s}s"
    if s < 6000:
        return f"{s // 60}m"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02d}"
    return f"{s // 86400}d"


def clock(seconds: float | None) -> str:
    """A Slurm duration: `0:41`, `2:10:33`, `3-04:00:00`; `-` when unknown."""
    if seconds is None:
        return "-"
    s = max(0, int(seconds))
    days, s = divmod(s, 86400)
    hours, s = divmod(s, 3600)
    minutes, s = divmod(s, 60)
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{s:02d}"
    if hours:
        return f"{hours}:{minutes:02d}:{s:02d}"
    return f"{minutes}:{s:02d}"


def mib(value: float | None) -> str:
    """MiB as a person reads them: `512M`, `17.9G`, `2.0T`; `-` when unknown."""
    if value is None:
        return "-"
    if value < 1024:
        return f"{value:.0f}M"
    if value < 1024 * 1024:
        return f"{value / 1024:.1f}G"
    return f"{value / 1024 / 1024:.1f}T"
