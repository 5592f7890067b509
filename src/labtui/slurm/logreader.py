"""Reading a log file that goes on growing: follow it, stand still, go anywhere, search.

It polls: a file's size costs one `stat`, and what came is read only as far as a person can see it.
A job that writes 50 MB/s is therefore skipped through, and what was skipped is said.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right

import msgspec

from labtui.hosts.base import HostError
from labtui.slurm.log import FileState, LogFile, Matches, TextFile
from labtui.slurm.logtext import MAX_LINE, LogText, Pattern, size_words

WINDOW = 256 << 10
"""Bytes that are read at once."""
LITTLE = 8 << 10
"""Bytes that are read at once over a link on which more takes too long."""
SKIP = 1 << 20
"""Bytes that may have come between two looks; of more only the last window is read."""
SCAN = 32 << 20
"""Bytes that are looked through for the next match, where matches are too many to list."""
LEAST = 250
"""Lines around a place that are read at once, where they are not very long: more than a screen."""
SEAM = 64
"""Bytes read once more: they tell whether the file still is what it was."""
OVERLAP = 4096


class Hit(msgspec.Struct, frozen=True):
    """One match of a search."""

    offset: int
    line: int | None = None
    """Counted from 1; None where it is not known."""
    number: int | None = None
    """It is the how-manieth match, from 1."""


class LogReader:
    """One file, and the stretch of it that is in memory. Its methods raise HostError."""

    def __init__(self, file: LogFile | TextFile) -> None:
        self.file = file
        self.grows = isinstance(file, LogFile)
        self.text = LogText()
        self.size = 0
        self.following = self.grows
        self.came_lines = 0
        """Newlines written since it stands still; at least that many where `came_more`."""
        self.came_more = False
        self.skipped = 0
        """Bytes that went by unread while it was followed."""
        self.rate = 0.0
        """Bytes a second, lately."""
        self.note = ""
        """What became of the file, in words: `replaced by a new file at 12:03:11`."""
        self.matches: Matches | None = None
        self._pattern: Pattern | None = None
        self._identity = ""
        self._window = WINDOW
        self._seam = b""
        self._gone = False
        self._counted = 0
        self._stood_at = 0
        self._looked = 0.0
        self._lock = asyncio.Lock()

    @property
    def came_bytes(self) -> int:
        """Bytes written since it stands still."""
        return 0 if self.following else max(0, self.size - self._stood_at)

    async def open(self) -> None:
        """Read the end of the file. HostError "not-found" while there is none."""
        async with self._lock:
            self._take(await self.file.state())
            await self._load_end()

    async def poll(self) -> bool:
        """Look once more; whether there is something new to show."""
        async with self._lock:
            state = await self.file.state()
            before, rate = self.size, self.rate
            if state.identity != self._identity:
                return await self._another(f"replaced by a new file at {_now()}", state)
            if state.size < before:
                words = f"cut from {size_words(before)} to {size_words(state.size)} at {_now()}"
                return await self._another(words, state)
            now = time.monotonic()
            self.rate = (state.size - before) / max(0.05, now - self._looked)
            self._looked, self.size = now, state.size
            if self._gone:
                return state.size != before
            if self.following:
                moved = self.text.end < self.size
                await self._catch_up(skipping=True)
                return moved or self.rate != rate
            await self._count()
            return state.size != before

    def stand_still(self) -> None:
        """What is shown stays as it is; what comes is only counted."""
        if self.following:
            self.following = False
            self._stood_at = self._counted = self.text.end
            self.came_lines, self.came_more = 0, False

    async def follow(self) -> None:
        """Go on at the end."""
        async with self._lock:
            self.following = True
            self.skipped = 0
            if self._gone or self.size - self.text.end > SKIP:
                await self._load_end()
            else:
                await self._catch_up(skipping=False)

    async def before(self) -> int:
        """Read what comes before the stretch in memory; how many lines that adds."""
        async with self._lock:
            if self.text.start == 0 or self._gone:
                return 0
            end = self.text.end
            _, data = await self._lines_before(self.text.start, self._window)
            added = self.text.prepend(data)
            if self.text.end != end:
                self._seam = b""
            return added

    async def after(self) -> bool:
        """Read what comes after the stretch in memory; whether there was something."""
        async with self._lock:
            return not self._gone and await self._read_on()

    async def goto(self, offset: int) -> int:
        """Have the line with this byte in memory; the offset where that line begins."""
        async with self._lock:
            offset = max(0, min(offset, self.size))
            if self._gone or self.text.start <= offset < self.text.end:
                return self.text.lines[self.text.index(offset)].start
            start = await self._line_start(offset)
            self.text, self._seam = LogText(start), b""
            while await self._read_on() and self._is_short:
                pass
            if start:
                _, data = await self._lines_before(start, self._window)
                self.text.prepend(data)
            return start

    async def side(self, line_start: int, at: int, size: int) -> bytes:
        """A piece of a long line, `at` bytes from its beginning."""
        return b"" if self._gone else await self.file.window(line_start + at, size)

    # -- search ----------------------------------------------------------------------------

    async def search(self, wanted: Pattern) -> Matches:
        """Search the whole file, as it is now."""
        self._pattern = wanted
        self.matches = await self.file.search(wanted, self.size)
        if self.matches.found:  # the file may have grown while it was searched
            self.size = max(self.size, self.matches.found[-1][0] + 1)
        return self.matches

    async def next(self, offset: int, direction: int) -> Hit | None:
        """The nearest match after (1) or before (-1) a byte; None where there is none."""
        if self._pattern is None or self.matches is None:
            return None
        hit = self._listed(self.matches, offset, direction)
        if hit is None and direction > 0 and self.size > self.matches.size:
            hit = self._listed(await self.search(self._pattern), offset, direction)
        if hit is not None or self.matches.found is not None:
            return hit
        return await self._scan(self._pattern, offset, direction)

    def _listed(self, matches: Matches, offset: int, direction: int) -> Hit | None:
        found = matches.found or ()
        if direction > 0:
            index = bisect_right(found, offset, key=lambda hit: hit[0])
        else:
            index = bisect_left(found, offset, key=lambda hit: hit[0]) - 1
        if not 0 <= index < len(found):
            return None
        return Hit(found[index][0], found[index][1], index + 1)

    async def _scan(self, wanted: Pattern, offset: int, direction: int) -> Hit | None:
        """Window by window, as far as `SCAN`."""
        at = offset + 1 if direction > 0 else min(offset, self.size)
        for _ in range(SCAN // SKIP):
            if direction > 0:
                data = await self.file.window(at, SKIP)
                found = wanted.in_bytes.search(data)
                if found:
                    return Hit(at + found.start())
                if len(data) <= OVERLAP:
                    return None
                at += len(data) - OVERLAP
            else:
                start = max(0, at - SKIP)
                data = await self.file.window(start, at - start)
                hits = [m.start() for m in wanted.in_bytes.finditer(data) if m.end() > m.start()]
                if hits:
                    return Hit(start + hits[-1])
                if start == 0:
                    return None
                at = start + OVERLAP
        return None

    # -- the file --------------------------------------------------------------------------

    def _take(self, state: FileState) -> None:
        self.size, self._identity = state.size, state.identity
        self._looked = time.monotonic()

    async def _another(self, words: str, state: FileState) -> bool:
        """It is not the file it was. A view that stands still keeps what it shows."""
        self.note = words
        self.matches, self.skipped, self.rate = None, 0, 0.0
        self._take(state)
        self._gone = not self.following
        if self.following:
            await self._load_end()
        return True

    async def _catch_up(self, *, skipping: bool) -> None:
        behind = self.size - self.text.end
        if skipping and behind > min(SKIP, 4 * self._window):
            end = self.text.end
            await self._load_end()
            self.skipped += max(0, self.text.start - end)
            return
        while self.text.end < self.size and await self._read_on():
            pass

    async def _count(self) -> None:
        behind = self.size - self._counted
        if behind > SKIP:
            self.came_more = True
        elif behind:
            self.came_lines += (await self.file.window(self._counted, behind)).count(b"\n")
        self._counted = self.size

    async def _load_end(self) -> None:
        try:
            start, data = await self._lines_before(self.size, self._window)
        except HostError as error:
            if error.kind == "timeout":  # the next try asks for less
                self._window = max(LITTLE, self._window // 8)
            raise
        self._gone = False
        self.text = LogText(start)
        self.text.append(data)
        self._seam = data[-SEAM:]
        while self.text.start and self._is_short and self._window == WINDOW:
            _, data = await self._lines_before(self.text.start, self._window)
            self.text.prepend(data)

    @property
    def _is_short(self) -> bool:
        text = self.text
        return len(text.lines) < LEAST and text.end - text.start < MAX_LINE

    async def _read_on(self) -> bool:
        """Append the next window; False at the end of the file."""
        end, seam = self.text.end, self._seam
        data = await self.file.window(end - len(seam), self._window + len(seam))
        if not data.startswith(seam):
            if not data and seam:
                return False  # it has just been cut: the next look will tell
            self.note = f"written anew at {_now()}"
            await self._load_end()
            return False
        data = data[len(seam) :]
        self.text.append(data)
        self._seam = (seam + data)[-SEAM:]
        self.size = max(self.size, self.text.end)
        return bool(data)

    async def _lines_before(self, end: int, least: int) -> tuple[int, bytes]:
        """Whole lines up to `end`, at least one, some `least` bytes; where they begin."""
        size = least
        while True:
            start = max(0, end - size)
            data = await self.file.window(start, end - start)
            if start == 0:
                return 0, data
            cut = data.find(b"\n", 0, max(0, len(data) - 1)) + 1
            if cut or size >= MAX_LINE:
                return start + cut, data[cut:]
            size = min(4 * size, MAX_LINE)

    async def _line_start(self, offset: int) -> int:
        size = min(WINDOW // 4, self._window)
        while True:
            start = max(0, offset - size)
            cut = (await self.file.window(start, offset - start)).rfind(b"\n") + 1
            if cut or start == 0 or size >= MAX_LINE:
                return start + cut
            size = min(4 * size, MAX_LINE)


def _now() -> str:
    return time.strftime("%H:%M:%S")
