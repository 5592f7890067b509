"""Opens the console: the config, the lab's namespace, the terminal, then Textual."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from labtui.commands.basics import OK, START_LAB, USAGE, enter_lab, fail, load_config


def open_console(config_path: Path | None, **options: Any) -> int:
    """The full-screen console; the exit status of the process."""
    config = load_config(str(config_path) if config_path else None)
    if config is not None:
        enter_lab(config)
    prepare_terminal(bool(options.get("ascii_mode")))
    from labtui.app import LabApp
    from labtui.keys import KeyMapError

    try:
        app = LabApp(config, **options)
    except KeyMapError as error:
        fail(str(error), USAGE)
        raise
    mouse = bool(config and config.ui.mouse)
    answer = app.run(mouse=mouse)
    return START_LAB if answer == "lab up" else app.return_code or OK


def prepare_terminal(ascii_mode: bool) -> None:
    """Textual reads these at import: fewer frames and no animation on a slow link."""
    import os

    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # A key is answered at once unless the last repaint is younger than one frame.
    os.environ.setdefault("TEXTUAL_FPS", "30" if "SSH_CONNECTION" in os.environ else "60")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    os.environ.setdefault("ESCDELAY", "50")
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        fail("the console needs a terminal; `labtui status` and `labtui get` do not", USAGE)
