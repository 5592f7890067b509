"""Opens the console: the config, the lab's namespace, the terminal, then Textual."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtui.commands.basics import OK, START_LAB, USAGE, enter_lab, fail, load_config

if TYPE_CHECKING:
    from labtui.config import Config
    from labtui.slurm.client import SlurmClient


SWITCH = 0.0005
"""Seconds that a thread may hold the interpreter while another wants it."""


def open_console(config_path: Path | None, **options: Any) -> int:
    """The full-screen console; the exit status of the process."""
    gc.disable()  # until the first frame: nothing that is imported is garbage
    config = load_config(str(config_path) if config_path else None)
    if config is not None:
        enter_lab(config)
    prepare_terminal(bool(options.get("ascii_mode")))
    begun = _begin(config) if config is not None else None
    from labtui.app import LabApp
    from labtui.keys import KeyMapError

    try:
        app = LabApp(config, begun=begun, **options)
    except KeyMapError as error:
        fail(str(error), USAGE)
        raise
    # What a lane computes in Python must not keep a key waiting: the default is 5 ms a turn.
    sys.setswitchinterval(SWITCH)
    mouse = bool(config and config.ui.mouse)
    answer = app.run(mouse=mouse)
    return START_LAB if answer == "lab up" else app.return_code or OK


def _begin(config: Config) -> SlurmClient | None:
    """Ask the queue now where that is a local command: the screen takes longer than the answer."""
    login = config.nodes.get(config.slurm.login)
    if login is None or login.transport != "local":
        return None
    from labtui.hosts.early import EarlyHost
    from labtui.slurm.client import SlurmClient

    host = EarlyHost(config.slurm.login)
    client = SlurmClient(host, timeout=config.slurm.timeout_s, tasks_apart=config.slurm.tasks)
    client.begin(host)
    return client


def prepare_terminal(ascii_mode: bool) -> None:
    """Textual reads these at import: fewer frames and no animation on a slow link."""
    import os

    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # Textual believes these more than the terminal, and then sees no change of its size.
    for stale in ("COLUMNS", "LINES"):
        os.environ.pop(stale, None)
    # A key is answered at once unless the last repaint is younger than one frame.
    os.environ.setdefault("TEXTUAL_FPS", "30" if "SSH_CONNECTION" in os.environ else "60")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    os.environ.setdefault("ESCDELAY", "50")
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        fail("the console needs a terminal; `labtui status` and `labtui get` do not", USAGE)
