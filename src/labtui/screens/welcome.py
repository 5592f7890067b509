"""The first run: no config. Start the lab, write a config, or look at this machine alone."""

from __future__ import annotations

from typing import cast

from textual.app import ComposeResult
from textual.events import Key

from labtui.config import ConfigError, local_config, user_config_path, write_example
from labtui.screens.console import Console
from labtui.text import inert
from labtui.widgets.exact import ExactScreen
from labtui.widgets.lines import LineLike, Lines


class Welcome(ExactScreen[None]):
    """Three ways on, each one key."""

    def __init__(self) -> None:
        super().__init__()
        self._said: str = ""

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield Lines(id="welcome-text", wrap=True)
        yield Lines(id="foot")

    def on_mount(self) -> None:
        self.query_one("#top", Lines).set_lines([[(" labtui ", "accent"), ("no config yet", "")]])
        self.query_one("#welcome-text").styles.height = "1fr"
        foot = " l start the lab  w write a config  m this machine  q quit"
        self.query_one("#foot", Lines).set_lines([[(foot, "accent")]])
        self._draw()

    def _draw(self) -> None:
        path = str(user_config_path())
        lines: list[LineLike] = [
            "",
            "  labtui shows and runs a lab of Slurm, shared GPUs, Vault and MLflow.",
            f"  It looked for a config in $LABTUI_CONFIG and {path}.",
            "",
            [
                ("   l  ", "accent"),
                ("start the lab: four real machines on this one (Debian, root).", ""),
            ],
            "      Minutes the first time, then seconds; `labtui lab down` ends it.",
            "",
            [("   w  ", "accent"), (f"write a commented config to {path}", "")],
            "      for machines of your own; `labtui config check` tells what is wrong in it.",
            "",
            [("   m  ", "accent"), ("look at this machine alone, now, without a config.", "")],
            "",
            [(f"  {self._said}", "warn")],
        ]
        self.query_one("#welcome-text", Lines).set_lines(lines)

    def on_key(self, event: Key) -> None:
        app = cast("Console", self.app)
        if event.key == "q":
            app.exit(None)
        elif event.key == "l":
            app.exit("lab up")
        elif event.key == "m":
            app.start(local_config())
        elif event.key == "w":
            path = user_config_path()
            try:
                write_example(path)
                self._said = f"written: {path}. Edit it, then start labtui again."
            except ConfigError as error:
                self._said = inert(error)
            self._draw()
