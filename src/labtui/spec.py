"""What a subject and an action are, as data. `registry.py` holds the entries.

Adding a subject: a feed in collectors/, a view in views/, an entry in the registry, a snapshot.
Adding an action: a class in actions/ and an entry in actions/offered.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal

import msgspec

Tone = Literal["", "ok", "warn", "crit", "dim", "accent", "match"]
"""How a cell is coloured; the word in it says the same."""


class Cell(msgspec.Struct, frozen=True):
    text: str
    tone: Tone = ""


class Column(msgspec.Struct, frozen=True):
    """One column as data. `text` makes the inert cell text; `sort` a comparable key."""

    id: str
    title: str
    width: int
    """Terminal cells; fixed. The last column with `grow` takes what is left."""
    text: Callable[[Any], Cell | str]
    sort: Callable[[Any], Any] | None = None
    align: Literal["left", "right"] = "left"
    min_total: int = 0
    """Shown only when the table is at least this wide (cells)."""
    grow: bool = False
    wide: int | None = None
    """Width to use instead where the table is at least 120 cells wide."""
    help: str = ""
    """What it says, in a few words, where the title does not."""
    lead: bool = False
    """What marks a row's place (the branch of a tree, a fold) stands before its text."""


class Wanted(msgspec.Struct, frozen=True):
    """One secret that has to be typed, pasted, or opened by gpg: never by the console itself."""

    name: str
    """What operations call it: `share`, `token`, `value`."""
    kind: Literal["share", "token", "value"]
    """A share is checked for its form before it is sent."""
    words: str
    """What to ask for: `a token that may seal`."""


class ActionSpec(msgspec.Struct, frozen=True):
    """One action that a person can choose: what the keys, menus and docs are made of."""

    id: str
    key: str
    words: str
    """What the footer and menus call it, one to four words, imperative."""
    help: str
    subjects: tuple[str, ...] = ()
    """Where it applies; empty: everywhere."""
    changes: bool = True
    """It changes the world: gone under --read-only."""
    asks: bool = True
    """It shows a plan and asks before it changes anything."""
    dangerous: bool = False
    many: bool = False
    """It can take all marked rows."""
    disabled: Callable[[Any], str | None] | None = None
    """Why it cannot be done to this row right now; None when it can."""
    question: Callable[[Any, Any], tuple[str, str]] | None = None
    """`question(item, store)`: what has to be asked first, and an example of an answer."""
    secrets: Callable[[Any, Any], tuple[Wanted, ...]] | None = None
    """`secrets(item, store)`: what the keyholder has to be given before the plan is made."""
    footer: bool = True


class SubjectSpec(msgspec.Struct, frozen=True):
    """One screen's worth of the lab."""

    name: str
    """Also the noun of `labtui get`."""
    key: str
    title: str
    words: str
    """One sentence for help and palette."""
    feeds: tuple[str, ...]
    """Feeds (or prefixes ending in `.`) that its rows are made from."""
    columns: tuple[Column, ...]
    row_key: Callable[[Any], str]
    severity: Callable[[Any], int]
    """0 fine, 1 worth knowing, 2 warn, 3 critical: the default order, worst first."""
    rows: Callable[..., Sequence[Any]]
    """`rows(store, config, now)` -> items of model/: pure, no I/O."""
    detail: Callable[..., Sequence[str | Cell]]
    """`detail(item, store, now)` -> lines of inert text."""
    searchable: Callable[[Any], str]
    """The text that `/` searches."""
    heading: Callable[[Any], str] | None = None
    """Counts for the title line, from all rows: `running 6  pending 14`."""
    heading_counts: bool = False
    """The heading says how many there are; the number of rows would be another."""
    arrange: Callable[..., Any] | None = None
    """`arrange(items, spec, how)` instead of views/arrange.py's, for tables without a limit."""
    counted: bool = True
    """Its severities are part of the top line's counts; not where there may be 100,000 rows."""
    counted_by: tuple[str, ...] = ()
    """The feeds that its severities rest on, where that is not all of `feeds`."""
    pieces: Callable[..., Generator[None, None, object]] | None = None
    """`pieces(store, config, now)`: where making the rows anew takes long, the same bit by bit:
    each yield is a moment at which something else may run, and `rows` is quick afterwards."""
    default_sort: str = "severity"
    """A column's id, or `severity`."""
    also: tuple[str, ...] = ()
    """Feeds asked while it is shown, that its rows do without: their failure is told elsewhere."""
    missing: Callable[[Any], str] | None = None
    """`missing(store)`: why there may be more than its rows, where a source that answers may not
    tell all; empty where there may not."""
    parent: str = ""
    """The subject that it is a closer look at; esc goes back there. It has no key of its own."""
    alarm: Callable[..., str] | None = None
    """`alarm(store, config, now)`: what has to be seen on every screen, in a few words; empty
    where nothing has."""
    roomy: bool = False
    """Its rows are few: the detail gets the lines that they leave."""
