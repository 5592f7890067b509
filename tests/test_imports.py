"""What each door loads: the command line is quick because it imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("textual", "rich", "asyncssh", "hvac", "httpx", "prometheus_api_client", "pynvml",
         "msgspec", "asyncio", "rapidfuzz", "sqlite3")  # fmt: skip
"""What `labtui --help` has no use for."""


def loaded(code: str, argv: list[str]) -> set[str]:
    """The top-level modules that are loaded after running `code`."""
    script = (
        f"import sys; sys.argv = {['labtui', *argv]!r}\n"
        f"try:\n    exec({code!r})\nexcept SystemExit: pass\n"
        "print('@@', *sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert last.startswith("@@"), done.stderr
    return set(last.split()[1:])


MAIN = "from labtui.cli import main; main()"


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["nonsense"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    assert loaded(MAIN, argv).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "argv",
    [
        ["get", "--help"],
        ["get", "nodes"],
        ["status"],
        ["submit", "--help"],
        ["job", "cancel", "--help"],
        ["audit"],
        ["config", "keys"],
        ["lab", "status", "--help"],
    ],
    ids=" ".join,
)
def test_no_command_loads_textual(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABTUI_CONFIG", "/does/not/exist.toml")
    assert "textual" not in loaded(MAIN, argv)


def test_the_first_frame_comes_before_what_connects() -> None:
    """The console's own modules load none of the clients: collectors do, when they connect."""
    code = "import labtui.app, labtui.session"
    assert loaded(code, []).isdisjoint({"asyncssh", "hvac", "prometheus_api_client", "pynvml"})


def test_slurm_is_usable_without_the_console() -> None:
    found = loaded("import labtui.slurm as pyslurm", [])
    assert found.isdisjoint({"textual", "asyncssh", "hvac"})
