"""Draw docs/img/*.svg: the console, without a terminal, over the tests' recorded lab."""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from rich.cells import cell_len

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "img"
sys.path.insert(0, str(ROOT / "tests"))

from sample_lab import EVIL, NOW, READINGS, gpu_app, sample_app  # noqa: E402 - its folder is found above

SIZE = (120, 20)
PICTURES = {
    "queue": ("jobs", ["down"] * 8),
    "nodes": ("nodes", []),
    "gpus": ("gpus", []),
    "vault": ("vault", []),
}
"""File name -> the screen it opens on and the keys pressed there."""


def calm() -> dict[str, object]:
    """The recorded lab without the rows that are there to attack a terminal."""
    return {
        feed: [item for item in value if getattr(item, "name", "") != EVIL]
        if isinstance(value, list)
        else value
        for feed, value in READINGS.items()
    }


async def draw(screen: str, keys: list[str]) -> str:
    app = gpu_app(screen=screen) if screen == "gpus" else sample_app(calm(), screen=screen)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        for _ in range(5):
            await pilot.pause(0.1)
        shown: str = app.export_screenshot(title=f"labtui --screen {screen}")
        return shown


def plain(svg: str) -> str:
    """For every viewer: no font from elsewhere, each word at its own place.

    Some drop the no-break spaces that a text begins with, or ignore textLength.
    """
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(
        r'<text ([^>]*?)x="([\d.]+)"([^>]*?) textLength="([\d.]+)"([^>]*)>(.*?)</text>', _words, svg
    )


def _words(found: re.Match[str]) -> str:
    before, x, middle, length, after, body = found.groups()
    text = html.unescape(body)
    cell = float(length) / max(1, cell_len(text))
    return "".join(
        f'<text {before}x="{float(x) + cell * cell_len(text[: word.start()]):g}"{middle}'
        f' textLength="{cell * cell_len(word[0]):g}"{after}>{html.escape(word[0])}</text>'
        for word in re.finditer(r"[^\s\xa0]+", text)
    )


def main() -> None:
    localtime = time.localtime
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(TZ="UTC", XDG_STATE_HOME=home, HOME="/home/ana")
        os.environ.pop("NO_COLOR", None)
        time.tzset()
        TARGET.mkdir(parents=True, exist_ok=True)
        with (
            mock.patch("time.time", lambda: NOW),
            mock.patch("time.localtime", lambda s=None: localtime(NOW if s is None else s)),
        ):
            for name, (screen, keys) in PICTURES.items():
                path = TARGET / f"{name}.svg"
                path.write_text(plain(asyncio.run(draw(screen, keys))), encoding="utf-8")
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
