"""What is left of shares after an unseal: the console's whole memory, every file, every process.

The real console in tmux, on a real Vault whose shares are wrapped for a PGP key; one share is
typed, one pasted, one comes out of gpg.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memoryimage import Watch, in_files, in_process
from pgpkeys import Holder, holders
from test_terminal_vault import config_of
from tmux import terminal
from vaultset import THRESHOLD, vault_set

pytestmark = [pytest.mark.terminal, pytest.mark.slow]
REST = 3.0
"""Seconds after the unseal until the search."""


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    share = base64.b64encode(bytes(range(100, 133))).decode()
    program = "import sys; kept = sys.stdin.readline(); print('ready', flush=True); input()"
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(share + "\n")
        process.stdin.flush()
        process.stdout.readline()
        assert in_process(process.pid, [share])
        process.kill()
    (tmp_path / "cut").write_text(f"... {bytes(range(100, 133)).hex()[20:40]} ...")
    assert in_files(tmp_path, [share])


def test_nothing_is_left_of_three_shares(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (
        holders("ana") as (ana,),
        vault_set(tmp_path / "vault", initialise=False) as found,
    ):
        key = base64.b64encode(ana.gpg("--export")).decode()
        made = found.client("", "").sys.initialize(5, THRESHOLD, pgp_keys=[key] * 5)
        wrapped = made["keys_base64"]
        shares = [_opened(ana, base64.b64decode(one), tmp_path) for one in wrapped[:THRESHOLD]]
        (tmp_path / "share-3.b64").write_text(wrapped[2])  # as Vault gives it
        argv = [
            "env", "-C", str(home), sys.executable, "-m", "labtui",
            "--config", str(config_of(found, tmp_path)), "--screen", "vault",
        ]  # fmt: skip
        env = {
            "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"), "GNUPGHOME": str(ana.home),
        }  # fmt: skip
        with (
            terminal(*argv, **env) as t,
            Watch(shares) as watch,
        ):
            t.wait("truenas +sealed")
            t.keys("u")
            t.wait("share 1 of 3 .*_")
            t.type(shares[0])
            t.wait("66, hex")
            t.keys("Enter")
            t.wait("share 2 of 3 .*_")
            t.paste(base64.b64encode(bytes.fromhex(shares[1])).decode())
            t.wait("44, base64")
            t.keys("Enter")
            t.wait("share 3 of 3 .*_")
            t.keys("C-f")
            t.wait("which file has it")
            t.paste(base64.b64encode(bytes.fromhex(shares[2])).decode())  # by slip
            t.wait("this is a share, not a file")
            t.type(str(tmp_path / "share-3.b64"))
            t.keys("Enter")
            t.wait("truenas is unsealed: active", 30)
            time.sleep(REST)
            pids = t.pids
            assert pids
            agents = _of_home(str(ana.home))
            left = [said for pid in (*pids, *agents) for said in in_process(pid, shares)]
            history = t.scrollback
            assert watch.looks > 10
        left += watch.found
        left += [f"scrollback: {share[:0]}" for share in shares if share[:12] in history]
        left += in_files(home, shares)
        left += in_files(tmp_path / "vault", shares)
        audit = subprocess.run(
            [*argv[:3], *argv[3:8], "audit", "--json"], env=env | {"PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip
        left += [f"audit: share {n}" for n, share in enumerate(shares, 1) if share[:12] in audit]
        print(f"searched {len(pids)} processes of the console, {len(agents)} of gpg: {left}")
        assert left == []
        lines = json.loads(audit)["items"]
        done = [line["action"] for line in lines]
        assert done.count("vault.share") == 3 and done.count("vault.verify") == 1
        assert re.search(r"unseal .*not shown", json.dumps(lines))


def _opened(holder: Holder, message: bytes, folder: Path) -> str:
    path = folder / "once"
    path.write_bytes(message)
    return holder.opens(path).strip()


def _of_home(home: str) -> list[int]:
    """gpg-agent and what else gpg left running."""
    done = subprocess.run(
        ["pgrep", "-f", f"^(gpg|scdaemon|keyboxd).*{home}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in done.stdout.split()]


def test_it_stays_with_what_a_console_writes_when_it_crashes(tmp_path: Path) -> None:
    """The keyholder's end on an exception that nobody expected: its name, and no frame."""
    script = tmp_path / "crash.py"
    script.write_text(CRASH)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True
    )
    assert "ZeroDivisionError" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


SECRET = "4hVZ0c1PJkXo8oTzqk9s2dFvB7mYwLQeUaRiNxGtH3Kp"
CRASH = f"""
import sys
from labtui.keyholder import operations
from labtui.keyholder.faults import fault, masker
from labtui.keyholder.hardening import quiet
from labtui.keyholder.operation import Door, Operation

def run(door, secrets, params):
    share = secrets["share"].decode()
    return {{"x": 1 / 0, "share": share}}

found = Operation("x.y", ("share",), run)
secrets = {{"share": bytearray({SECRET!r}.encode())}}
try:
    found.run(Door("n", "https://127.0.0.1:1"), secrets, {{}})
except Exception as error:
    print(masker(secrets.values())(repr(fault(error, found, Door("n", "https://127.0.0.1:1")))))
def leave(kind):
    print("ended with", kind, flush=True)
    import os
    os._exit(0)
quiet(leave)
found.run(Door("n", "https://127.0.0.1:1"), secrets, {{}})
"""
