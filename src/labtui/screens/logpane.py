"""A file to read on a screen: follow, stand still, go anywhere, search. Keys come from the screen.

It reads through a `LogReader`, one thing at a time in the background: no key waits for a machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from labtui.hosts.base import HostError
from labtui.screens.ask import Ask
from labtui.screens.page import Page
from labtui.slurm.logreader import LogReader
from labtui.slurm.logtext import LogText, pattern, size_words
from labtui.spec import Tone
from labtui.text import inert
from labtui.widgets.lines import Lines, Span
from labtui.widgets.log import LogView

SAY = 8.0
"""Seconds a message stays."""
SIDE = 16 << 10
"""Bytes of a long line that are read for sideways scrolling."""


HELP = (
    ("space p", "stand still; again: go on at the end"),
    ("G F end", "go to the end, and follow what comes"),
    ("g home", "to the beginning"),
    ("j k  pgup pgdn  f b", "up and down"),
    ("left right  0", "sideways, where lines are not wrapped; back to their beginning"),
    ("w", "wrap long lines, or not"),
    (":", "go to 50%, to a byte (1200000, 12MB), top or end"),
    ("/", "search the whole file: text, or /regex/; small letters find capitals too"),
    ("n N", "the next match below, above"),
    ("esc", "back: the message, the search, the screen"),
)
"""What its keys do, for the help page."""


class LogPane(Vertical):
    """Status line, the text, the line that asks."""

    class Said(Message):
        """There is something new for the bottom line."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.name_line = ""
        """What the status line calls the file."""
        self.note = ""
        """Why there is nothing to read, or nothing new."""
        self.is_over = False
        """Nothing more will be written to it."""
        self.reader: LogReader | None = None
        self._said: tuple[str, Tone, float] = ("", "", 0.0)
        self._busy: asyncio.Task[None] | None = None
        self._wanted = ""
        self.keys: dict[str, Callable[[], object]] = {
            "space": self.pause, "p": self.pause,
            "G": self.follow, "F": self.follow, "end": self.follow,
            "g": self.top, "home": self.top,
            "down": lambda: self.move(1), "j": lambda: self.move(1),
            "up": lambda: self.move(-1), "k": lambda: self.move(-1),
            "pagedown": lambda: self.page(1), "f": lambda: self.page(1),
            "ctrl+f": lambda: self.page(1),
            "pageup": lambda: self.page(-1), "b": lambda: self.page(-1),
            "ctrl+b": lambda: self.page(-1),
            "right": lambda: self.sideways(1), "left": lambda: self.sideways(-1),
            "0": lambda: self.sideways(0),
            "w": self.wrap,
            "slash": lambda: self.query_one(Ask).open("/"),
            "colon": lambda: self.query_one(Ask).open(":"),
            "n": lambda: self.next(1), "N": lambda: self.next(-1),
        }  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Lines(id="log-title", wrap=True, indent=0)
        yield LogView(id="log")
        yield Ask(self._asked, id="ask")

    def on_resize(self) -> None:
        self.draw()

    def on_unmount(self) -> None:
        if self._busy:
            self._busy.cancel()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def read(self, reader: LogReader | None) -> None:
        """Another file, or none."""
        self.reader = reader
        view = self.view
        view.hit, view.sides, view.following = None, {}, reader is None or reader.following
        self.draw()

    def draw(self) -> None:
        if not self.is_attached:
            return
        view, reader = self.view, self.reader
        view.text = reader.text if reader else LogText()
        view.following = reader is None or (reader.following and view.following)
        view.changed()
        self._draw_status()

    def _draw_status(self) -> None:
        self.query_one("#log-title", Lines).set_lines([self._status()])
        self.post_message(self.Said())

    def _status(self) -> list[Span]:
        """What the view does, the file's size and place, then its name: as much as fits."""
        reader = self.reader
        spans: list[Span] = []
        if self.note or reader is None:
            spans.append((self.note or "looking for it", "warn" if self.note else "dim"))
        elif reader.following:
            spans.append(("job over, at its end", "dim") if self.is_over else ("following", "ok"))
            if reader.skipped:
                fast = f" {size_words(int(reader.rate))}/s," if reader.rate > 1e6 else ""
                words = f"{fast} {size_words(reader.skipped)} went by unread (scroll up for it)"
                spans.append((words, "warn"))
        elif self.is_over and not reader.came_bytes:
            spans.append(("job over", "dim"))
        elif reader.grows:
            spans.append((_paused(reader), "accent"))
        if reader is not None:
            if reader.note:
                spans.append((f"  {reader.note}", "warn"))
            share = "" if reader.following or not reader.size else self._share(reader)
            spans.append((f"  {share}{size_words(reader.size)}", ""))
        room = self.screen.size.width - 4 - sum(len(text) for text, _ in spans)
        name = self.name_line
        if len(name) > room:
            name = "…" + name[len(name) - room + 1 :] if room > 12 else ""
        first, tone = spans[0]
        return [(first.lstrip(), tone), *spans[1:], (f"  {name}", "dim")]

    def _share(self, reader: LogReader) -> str:
        return f"{100 * min(self.view.bottom + 1, reader.size) // reader.size}% of "

    # What the bottom line says

    def say(self, words: str, tone: Tone = "") -> None:
        self._said = (f" {words}", tone, time.monotonic() + SAY)
        self.post_message(self.Said())

    def foot(self, more: list[str], width: int) -> list[Span]:
        """The message, or the keys that work here, as many as fit; `more` are the screen's own."""
        words, tone, until = self._said
        if words and time.monotonic() < until:
            return [(words, tone)]
        reader = self.reader
        parts = ["esc back"]
        if reader is not None:
            if reader.grows:
                parts.append("space pause" if reader.following else "space follow")
            parts += ["/ search"]
            parts += ["n N next"] if self.view.pattern else []
            parts += ["w unwrap" if self.view.wrap else "w wrap"]
        parts += ["? keys", *more]
        said = ""
        for part in parts:
            if len(said) + len(part) + 2 < width:
                said += f"  {part}" if said else f" {part}"
        return [(said, "dim")]

    def back(self) -> bool:
        """One step back: the message, the search. False: there is nothing to take back."""
        if self._said[0] and time.monotonic() < self._said[2]:
            self._said = ("", "", 0.0)
        elif self.view.pattern is not None:
            self.view.pattern = self.view.hit = None
        else:
            return False
        self.draw()
        return True

    # What a person does

    def move(self, rows: int) -> None:
        self._still()
        self.view.scroll_rows(rows)
        self._moved()

    def page(self, sign: int) -> None:
        self._still()
        self.view.page(sign)
        self._moved()

    def _still(self) -> None:
        if self.reader is not None:
            self.reader.stand_still()

    def _moved(self) -> None:
        self._draw_status()
        view, reader = self.view, self.reader
        if reader is None or (self._busy and not self._busy.done()):
            return
        if view.near_start and reader.text.start > 0:
            self._do(self._read_before)
        elif view.near_end and reader.text.end < reader.size:
            self._do(self._read_after)
        elif view.long_lines():
            self._do(self._read_sides)

    def _do(self, work: Callable[[LogReader], Awaitable[object]]) -> None:
        """Something that reads the file: one at a time, the newest wins."""
        reader = self.reader
        if reader is None:
            return

        async def run() -> None:
            try:
                await work(reader)
            except HostError as error:
                self.say(inert(error.message, 200), "warn")
            if reader is self.reader:
                self.draw()

        if self._busy:
            self._busy.cancel()
        self._busy = asyncio.create_task(run())

    async def _read_before(self, reader: LogReader) -> None:
        await reader.before()

    async def _read_after(self, reader: LogReader) -> None:
        await reader.after()

    async def _read_sides(self, reader: LogReader) -> None:
        view = self.view
        if len(view.sides) > 100:
            view.sides.clear()
        for line in view.long_lines():
            at = max(0, view.x - SIDE // 4)
            data = await reader.side(line.start, at, min(SIDE, line.size - at))
            text = data.decode(errors="replace").replace("\r", " ").replace("\t", " ")
            view.sides[line.start] = at, inert(text, 2 * SIDE)

    def pause(self) -> None:
        if self.reader is None or not self.reader.grows:
            return
        if self.reader.following:
            self.reader.stand_still()
            self.draw()
        else:
            self.follow()

    def follow(self) -> None:
        async def work(reader: LogReader) -> None:
            if reader.grows:
                await reader.follow()
                self.view.following = True
            else:
                await reader.goto(reader.size)
                self.view.text = reader.text
                self.view.to_end()

        self._do(work)

    def top(self) -> None:
        async def work(reader: LogReader) -> None:
            await reader.goto(0)
            self.view.text = reader.text
            self.view.to_top()

        self._still()
        self._do(work)

    def sideways(self, sign: int) -> None:
        view = self.view
        if view.wrap:
            self.say("lines are wrapped: w unwraps them", "warn")
            return
        view.x = max(0, view.x + sign * (view.size.width // 2)) if sign else 0
        view.changed()
        self._moved()

    def wrap(self) -> None:
        self.view.wrap = not self.view.wrap
        self.view.x = 0
        self.view.changed()
        self._moved()

    # Search and `:`

    def on_ask_edited(self, event: Ask.Edited) -> None:
        event.stop()

    def _asked(self, mode: str, text: str | None) -> None:
        if mode == ":" and text:
            self.goto(text.strip())
        elif mode == "/" and text:
            if text == self._wanted and self.view.pattern:
                self.next(1)
            else:
                self.search(text)

    def search(self, typed: str) -> None:
        """Find it in the whole file, and go to the nearest: above from the end, else below."""
        try:
            wanted = pattern(typed)
        except ValueError as error:
            self.say(str(error), "warn")
            return
        if self.reader is None:
            self.say("there is nothing to search yet", "warn")
            return

        async def work(reader: LogReader) -> None:
            from_end = reader.following and reader.grows
            found = await reader.search(wanted)
            if not found.lines:
                self.say(f"not in it: {inert(typed, 60)} ({size_words(found.size)})", "warn")
                return
            self._wanted, self.view.pattern = typed, wanted
            if from_end:
                await self._to_next(reader, reader.size, -1)
            elif not await self._to_next(reader, self.view.top - 1, 1):
                await self._to_next(reader, self.view.top, -1)

        self.say(f"searching {size_words(self.reader.size)} for {inert(typed, 60)}")
        self._do(work)

    def next(self, direction: int) -> None:
        if self.view.pattern is None:
            self.say("nothing is searched: / first", "warn")
            return
        at = self.view.hit
        if at is None:
            at = self.view.top - 1 if direction > 0 else self.view.top

        async def work(reader: LogReader) -> None:
            if not await self._to_next(reader, at, direction):
                self.say("no match " + ("below" if direction > 0 else "above"), "warn")

        self._do(work)

    async def _to_next(self, reader: LogReader, offset: int, direction: int) -> bool:
        hit = await reader.next(offset, direction)
        if hit is None:
            return False
        reader.stand_still()
        await reader.goto(hit.offset)
        view = self.view
        view.text, view.hit = reader.text, hit.offset
        view.show(hit.offset)
        await self._read_sides(reader)
        matches = reader.matches
        if matches and matches.found and hit.number is not None:
            words = f"match {hit.number} of {len(matches.found)}, line {hit.line}"
        else:
            words = f"a match; {matches.lines if matches else 0} lines have one"
        self.say(f"{words}   n N next  esc esc ends the search")
        return True

    def goto(self, typed: str) -> None:
        """`50%`, a byte (`1200000`, `12MB`), `top`, `end`."""
        if typed in ("end", "bottom"):
            self.follow()
            return
        at = offset_of(typed, self.reader.size if self.reader else 0)
        if at is None:
            self.say(f"{inert(typed, 40)}: write 50%, a byte such as 12MB, top or end", "warn")
            return

        async def work(reader: LogReader) -> None:
            reader.stand_still()
            start = await reader.goto(at)
            self.view.text = reader.text
            self.view.show(start)

        self._do(work)


def keys_page(title: str, own: Sequence[tuple[str, str]]) -> Page:
    """The keys of a screen with a LogPane; `own` are the screen's."""
    lines = [f"  {keys:<21} {words}" for keys, words in (*HELP, *own)]
    return Page(f"Keys: {title}", lambda: lines, indent=24)


def _paused(reader: LogReader) -> str:
    if not reader.came_bytes:
        return "paused"
    lines, size = reader.came_lines, size_words(reader.came_bytes)
    least = "more than " if reader.came_more else ""
    return f"paused: {least}{lines} line{'' if lines == 1 else 's'}, {size} came meanwhile"


def offset_of(typed: str, size: int) -> int | None:
    """`50%`, `1200000`, `12MB`, `1.5G`, `top` as a byte of a file; None for anything else."""
    if typed == "top":
        return 0
    unit = typed.lstrip("0123456789.")
    scale = {"": 1.0, "%": size / 100, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
    try:
        value = float(typed.removesuffix(unit)) * scale[unit.lower().removesuffix("b")]
    except (KeyError, ValueError):
        return None
    return int(min(max(0.0, value), size))
