"""One command on a session that is made up: no config, no lab."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from labtui.commands import common


def run(
    command: click.Command, words: list[str], session: Any, monkeypatch: pytest.MonkeyPatch,
    stdin: str = "",
) -> Result:  # fmt: skip
    async def close() -> None:
        pass

    session.close = close
    monkeypatch.setattr(common, "Session", lambda config, read_only: session)
    monkeypatch.setattr(common, "need_config", lambda context: None)
    return CliRunner().invoke(command, words, input=stdin, obj={"read_only": False})
