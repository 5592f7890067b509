"""What stands on the main screen when it is asked for: a row's detail, sources, help, menus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from labtui.keys import shown
from labtui.model import SourceState
from labtui.registry import COMMANDS, SUBJECT, SUBJECTS
from labtui.screens.help import HELP_INDENT, help_lines
from labtui.screens.menu import Entry, Menu
from labtui.screens.page import Page
from labtui.text import age, inert
from labtui.widgets.lines import LineLike

if TYPE_CHECKING:
    from labtui.screens.commands import Commands


class Lookups:
    """Part of Commands: pages and menus, of which none changes anything by itself."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._screen = commands.screen

    def detail(self) -> None:
        """Everything about the row under the cursor, as it changes."""
        item, screen = self._commands.item, self._screen
        if item is None:
            return
        if screen.current == "jobs":
            self._commands.queue.detail()
            return
        spec, store = screen.view.spec, screen.session.store
        key = spec.row_key(item)

        def lines() -> list[Any]:
            now = time.time()
            rows = spec.rows(store, screen.session.config, now)
            found = next((i for i in rows if spec.row_key(i) == key), item)
            return list(spec.detail(found, store, now))

        screen.app.push_screen(Page(f"{spec.title}: {inert(key, 60)}", lines))

    def sources(self) -> None:
        """Each source with its state, the age of its answer and why it has none."""
        store = self._screen.session.store

        def lines() -> list[LineLike]:
            heading = "SOURCE                   STATE    AGE     TOOK   WHY"
            return [heading, *(source_line(s) for s in store.sources(time.time()))]

        self._screen.app.push_screen(Page("Sources", lines))

    def help(self) -> None:
        lines = help_lines(self._screen.lab.keys, self._screen.view.spec)
        title = f"Help: {self._screen.view.spec.title}"
        self._screen.app.push_screen(Page(title, lambda: lines, indent=HELP_INDENT))

    def menu(self) -> None:
        """The actions on this row, with why one is not to be had."""
        commands, keys = self._commands, self._screen.lab.keys
        entries = [
            Entry(s.id, keys.key(s.id), s.words, s.help, commands.why_not(s))
            for s in commands.available()
        ]
        item = commands.item
        what = self._screen.view.spec.row_key(item) if item is not None else "no row"
        title = f"Actions on {inert(what, 40)}"
        self._screen.app.push_screen(Menu(title, entries), self._chosen)

    def palette(self) -> None:
        """Everything that has a name: actions, commands, screens, themes, rows."""
        screen = self._screen
        keys = screen.lab.keys
        entries = [
            Entry(s.id, shown(keys.keys[s.id]), s.words, s.help, None)
            for s in (*self._commands.available(), *COMMANDS)
        ]
        entries += [
            Entry(f"go {s.name}", "", s.title, s.words, None) for s in SUBJECTS if not s.key
        ]
        entries += [
            Entry(f"theme {name}", "", f"theme {name}", "Colours.", None)
            for name in sorted(screen.app.available_themes)
        ]
        entries += [
            Entry(f":{name} {key}", "", key, SUBJECT[name].title, None)
            for name, key in self._commands.going.names()
        ]
        screen.app.push_screen(Menu("Palette", entries, typing=True), self._chosen)

    def _chosen(self, id: str | None) -> None:
        if id is None:
            return
        if id.startswith(("theme ", "go ")):
            self._commands.going.go(id.removeprefix("go "))
        elif id.startswith(":"):
            name, _, key = id[1:].partition(" ")
            self._screen.goto(name, key)
        else:
            self._commands.run(id)


_TONES: dict[str, Any] = {"ok": "ok", "failed": "crit", "stale": "warn", "waiting": "dim"}


def source_line(source: SourceState) -> LineLike:
    old = "-" if source.age_s is None else age(source.age_s)
    took = "-" if source.took_ms is None else f"{source.took_ms:.0f} ms"
    return [
        (f"{inert(source.name, 24):<24} ", ""),
        (f"{source.state:<8}", _TONES[source.state]),
        (f"{old:<6}{took:>8}  {inert(source.error or '')}", ""),
    ]
