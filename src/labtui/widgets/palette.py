"""Tones -> terminal styles. The word in a cell says the same, so colour may be missing."""

from __future__ import annotations

from typing import Any

from rich.style import Style
from textual.app import App as TextualApp

from labtui.spec import Tone

Palette = dict[Tone, Style]

ANSI: Palette = {
    "": Style(),
    "ok": Style(color="green"),
    "warn": Style(color="yellow"),
    "crit": Style(color="red", bold=True),
    "dim": Style(dim=True),
    "accent": Style(color="cyan", bold=True),
    "match": Style(reverse=True),
}
"""The sixteen colours of the person's own terminal: five bytes a change instead of nineteen."""

MONO: Palette = {
    "": Style(),
    "ok": Style(),
    "warn": Style(bold=True),
    "crit": Style(bold=True, underline=True),
    "dim": Style(),
    "accent": Style(bold=True),
    "match": Style(reverse=True),
}
"""NO_COLOR: attributes only."""


def palette(app: TextualApp[Any]) -> Palette:
    """The palette of the running app: its own attribute, else the sixteen colours."""
    chosen = getattr(app, "palette", None)
    return chosen if isinstance(chosen, dict) else ANSI


def themed(app: TextualApp[Any]) -> Palette:
    """A palette from the theme's variables, for themes with colours of their own."""
    theme = app.current_theme
    plain = ANSI["dim"]
    return {
        "": Style(),
        "ok": Style(color=theme.success or "green"),
        "warn": Style(color=theme.warning or "yellow"),
        "crit": Style(color=theme.error or "red", bold=True),
        "dim": plain,
        "accent": Style(color=theme.accent or theme.primary, bold=True),
        "match": Style(reverse=True),
    }
