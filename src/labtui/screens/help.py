"""Help, made from the registry and the live key map: it cannot differ from what keys do."""

from __future__ import annotations

from labtui.keys import KeyMap
from labtui.registry import COMMANDS
from labtui.spec import SubjectSpec
from labtui.widgets.lines import LineLike

HELP_INDENT = 28
"""Cells before what a key does."""

_TABLE = (
    ("j k  up down", "one row"),
    ("g G  home end", "first, last row"),
    ("pgup pgdn", "one page"),
    ("esc", "back: the message, the marks, the filter; leaves a dialog without doing anything"),
)


def help_lines(keys: KeyMap, spec: SubjectSpec) -> list[LineLike]:
    lines: list[LineLike] = [spec.words, ""]
    actions = keys.of(spec.name)
    if actions:
        lines.append([(f"On {spec.title}", "accent")])
        for action in actions:
            marks = ("*" if action.changes and action.asks else "") + ("+" if action.many else "")
            words = f"{action.words} {marks}"
            lines.append(f"  {keys.key(action.id):<8} {words:<16} {action.help}")
        lines += ["", "  * asks before it is done   + takes all marked rows", ""]
    lines.append([("Everywhere", "accent")])
    for command in COMMANDS:
        lines.append(f"  {keys.key(command.id):<8} {command.words:<16} {command.help}")
    lines += ["", [("In a table", "accent")]]
    lines += [f"  {left:<15} {right}" for left, right in _TABLE]
    lines += [
        "",
        [("Filter", "accent")],
        "  word          rows that contain it      !word      rows that do not",
        "  /regex/       regular expression        field:value  user:ana state:pending",
        "  field:=value  this and nothing more, or one of these: user:=ana,ben",
        "",
        [("Top line", "accent")],
        "  Each source and how old its figures are at most. A source that is late or fails",
        "  shows the age of its last good answer; rows that rest on it are dimmed.",
    ]
    return lines
