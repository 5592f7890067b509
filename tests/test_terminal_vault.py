"""A sealed Vault, by keyboard at 80x24: the real console in tmux, real servers on loopback."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from test_keyholder import gnupg, sealed_for
from tmux import PATIENCE, Terminal, terminal
from vaultset import VaultSet, vault_set

__all__ = ["gnupg"]  # a fixture
pytestmark = [pytest.mark.terminal, pytest.mark.slow]


def config_of(found: VaultSet, folder: Path) -> Path:
    nodes = "".join(f'{name} = "{url}"\n' for name, url in found.urls.items())
    path = folder / "labtui.toml"
    path.write_text(
        f'[cluster]\nname = "loop"\n\n[vault]\nca_file = "{found.ca}"\n\n[vault.nodes]\n{nodes}'
    )
    return path


@contextmanager
def console(found: VaultSet, folder: Path, *more: str, **env: str) -> Iterator[Terminal]:
    """The vault screen, once it has the first server's row."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    argv = (sys.executable, "-m", "labtui", "--config", str(config_of(found, folder)))
    settings = {
        "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"), "VAULT_TOKEN": "", **env,
    }  # fmt: skip
    with terminal(*argv, "--screen", "vault", *more, **settings) as t:
        t.wait(f"{found.first} +(sealed|unsealing|active)")
        yield t


@pytest.fixture
def one(tmp_path: Path) -> Iterator[VaultSet]:
    with vault_set(tmp_path / "vault") as found:
        yield found


def said(t: Terminal, words: str, timeout: float = 20.0) -> None:
    """`words` in a dialog, wherever its lines are broken."""
    timeout *= PATIENCE
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        screen = t.screen
        text = " ".join(" ".join(line.strip(" │") for line in screen.splitlines()).split())
        if re.search(words, text):
            return
        time.sleep(0.05)
    raise AssertionError(f"{words!r} was not said within {timeout} s; the screen:\n{screen}")


def give(t: Terminal, share: str, number: int, of: int = 3) -> None:
    t.wait(f"share {number} of {of} .*_")
    t.type(share)
    t.wait("44, base64")
    t.keys("Enter")


def test_three_shares_unseal_and_the_result_is_checked(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.wait(r"truenas +sealed[\s\S]+ u unseal")
        t.keys("u")
        for number in (1, 2, 3):
            give(t, one.shares[number], number)
        t.wait("truenas is unsealed: active", 30)
        t.keys("Enter")
        t.wait(r"truenas +active[\s\S]+ u unseal")
        t.keys("?")  # the keyboard is the console's again
        t.wait("Help: Vault", 5)


def test_a_wrong_set_is_told_as_what_it_is(one: VaultSet, tmp_path: Path) -> None:
    wrong = base64.b64encode(os.urandom(32) + b"\x07").decode()
    with console(one, tmp_path) as t:
        t.keys("u")
        give(t, one.shares[0], 1)
        give(t, wrong, 2)
        t.wait("2 of 3 shares are in")
        give(t, one.shares[1], 3)
        said(t, "one of the 3 shares was wrong; which one cannot be known; progress is back at 0")
        t.wait("share 1 of 3 .*_")
        # The same shares again are no duplicates: nobody knows which was the wrong one.
        for number in (1, 2, 3):
            give(t, one.shares[number], number)
        t.wait("truenas is unsealed: active", 30)


def test_reset_asks_first(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.keys("C-r")
        t.wait("truenas: no share is in")
        give(t, one.shares[0], 1)
        t.wait("share 2 of 3 .*_")
        t.keys("C-r")
        t.wait("Drop the share that is in at truenas\\?")
        t.type("yyyy")  # a burst is no answer
        time.sleep(0.5)
        t.keys("Escape")
        t.wait("kept")
        assert one.client("truenas", "").sys.read_seal_status()["progress"] == 1
        t.wait("share 2 of 3 .*_")
        t.keys("C-r")
        t.wait("Drop the share that is in at truenas\\?")
        t.keys("y")
        t.wait("progress at truenas is back at 0")
        t.wait("share 1 of 3 .*_")
        give(t, one.shares[0], 1)  # given before, and again after the reset
        t.wait("1 of 3 shares are in")
        t.wait("share 2 of 3 .*_")
        t.type(one.shares[0])
        t.keys("Enter")
        t.wait("this share was given already; nothing was sent")
        t.keys("Escape")
        t.gone("Unseal truenas")
        t.keys("R")
        t.wait("Drop the share that is in at truenas")
        time.sleep(0.5)  # quicker keys are no answers to a plan
        t.keys("y")
        t.wait("progress at truenas is back at 0")


def test_pastes_of_more_than_a_share_are_refused_whole(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.paste("\n".join(one.shares[:3]) + "\n")
        t.wait("more than one line was pasted; nothing was sent")
        t.paste(one.shares[0] + "\n")  # one line with its end, as a mail has it
        t.wait("44, base64")
        t.keys("Enter")
        t.wait("1 of 3 shares are in")
        t.wait("share 2 of 3 .*_")
        t.keys("C-u")
        t.type("hvs.CAESIJ")
        t.wait("a token, not a share")
        t.keys("C-u", "Up", "F5", "Left")
        t.wait("share 2 of 3 .*_$|share 2 of 3 +_")
        t.keys("Escape")
        t.wait(r"truenas +unsealing[\s\S]+ u unseal")
        assert one.client("truenas", "").sys.read_seal_status()["progress"] == 1


def test_somebody_else_adds_and_begins_anew(one: VaultSet, tmp_path: Path) -> None:
    server = one.client("truenas", "").sys
    with console(one, tmp_path) as t:
        t.keys("u")
        give(t, one.shares[0], 1)
        t.wait("share 2 of 3 .*_")
        server.submit_unseal_key(one.shares[4])  # another console
        t.wait("share 3 of 3")
        said(t, "2 shares are in, 1 given here: somebody else is adding; nonce")
        server.submit_unseal_key(reset=True)
        server.submit_unseal_key(one.shares[4])
        nonce = server.read_seal_status()["nonce"][:8]
        t.type(one.shares[1])
        t.wait("44, base64")
        t.keys("Enter")
        said(
            t, f"the nonce changed from [0-9a-f]{{8}} to {nonce}: somebody began anew; nothing was"
        )
        assert server.read_seal_status()["progress"] == 1
        t.wait("enter sends it all the same")
        t.keys("Enter")
        t.wait("2 of 3 shares are in")
        t.wait("share 3 of 3 .*_")
        t.type(one.shares[4])
        t.keys("Enter")
        said(t, "the server had this share already: somebody else gave it")
        t.wait("share 3 of 3 .*_")
        server.submit_unseal_key(one.shares[2])  # somebody else gives the last one
        t.wait("truenas is unsealed: active", 30)


def test_a_set_is_unsealed_node_by_node(tmp_path: Path) -> None:
    names = ("truenas", "xps15-cpu", "desktop-gpu")
    with vault_set(tmp_path / "vault", *names) as found, console(found, tmp_path) as t:
        t.wait(r"truenas +sealed[\s\S]+ u unseal")
        t.keys("u")
        for number in (1, 2, 3):
            give(t, found.shares[number], number)
        t.wait("truenas is unsealed: active", 30)
        left = set(names[1:])
        while left:  # whichever has joined its leader first
            screen = t.wait("next: (\\S+), the same shares", 30)
            name = re.findall("next: ([^ ,]+)", screen)[-1]
            left.remove(name)
            t.keys("Enter")
            t.wait(f"Unseal {name}")
            for number in (1, 2, 3):
                give(t, found.shares[number], number)
            said(t, f"{name} is unsealed: standby", 60)
        t.wait("enter or esc closes")
        t.keys("Enter")
        t.wait("desktop-gpu +standby")


def test_two_people_at_two_consoles(one: VaultSet, tmp_path: Path) -> None:
    """One gives a share, the other the next, the first the last: it ends well for both."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with console(one, tmp_path / "a") as ana, console(one, tmp_path / "b") as bo:
        ana.keys("u")
        bo.keys("u")
        give(ana, one.shares[0], 1)
        ana.wait("share 2 of 3 .*_")
        bo.wait("share 2 of 3 .*_")
        said(bo, "1 share is in already \\(somebody else may be adding: nonce")
        give(bo, one.shares[0], 2)
        said(bo, "the server had this share already: somebody else gave it")
        give(bo, one.shares[1], 2)
        said(ana, "2 shares are in, 1 given here: somebody else is adding")
        give(ana, one.shares[2], 3)
        said(ana, "truenas is unsealed: active", 30)
        said(bo, "truenas is unsealed: active", 30)


def test_a_race_for_the_last_share(one: VaultSet, tmp_path: Path) -> None:
    server = one.client("truenas", "").sys
    for share in one.shares[:2]:
        server.submit_unseal_key(share)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with console(one, tmp_path / "a") as ana, console(one, tmp_path / "b") as bo:
        for t, share in ((ana, one.shares[2]), (bo, one.shares[3])):
            t.keys("u")
            t.wait("share 3 of 3 .*_")
            t.type(share)
            t.wait("44, base64")
        for t in (ana, bo):
            t.press("Enter")
        for t in (ana, bo):
            said(t, "truenas is unsealed: active", 30)


def keyholder(t: Terminal) -> int:
    """The pid of the one that reads the keyboard."""
    for pid in t.pids:
        if b"labtui.keyholder" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no keyholder runs")


def gone(pid: int, timeout: float = 5.0) -> bool:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def test_the_keyboard_comes_back_when_the_keyholder_is_killed(
    one: VaultSet, tmp_path: Path
) -> None:
    with console(one, tmp_path) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.type(one.shares[0][:20])
        t.wait("share 1 of 3 .*20,")
        os.kill(keyholder(t), signal.SIGKILL)
        said(t, "the keyholder was ended; nothing of what it had is left")
        t.keys("Enter")
        give(t, one.shares[0], 1)
        t.wait("share 2 of 3 .*_")
        os.kill(keyholder(t), signal.SIGKILL)
        said(t, "enter begins this share anew")
        t.keys("Escape")
        t.gone("Unseal truenas")
        t.wait(r"truenas +unsealing[\s\S]+ u unseal")
        t.keys("?")
        t.wait("Help: Vault")
        assert one.client("truenas", "").sys.read_seal_status()["progress"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_keyholder_outlives_its_console(
    one: VaultSet, tmp_path: Path, number: signal.Signals
) -> None:
    with console(one, tmp_path) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.type(one.shares[0][:20])
        t.wait("share 1 of 3 .*20,")
        holder, pids = keyholder(t), t.pids
        os.kill(pids[0], number)
        assert gone(holder)
        if number != signal.SIGKILL:
            t.wait(f"ended with {128 + number}")
            t.wait("^icanon")
        assert all(gone(pid) for pid in pids)
        assert one.shares[0][:12] not in t.scrollback


def test_the_terminal_tells_its_size_and_not_the_environment(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path, COLUMNS="100", LINES="30") as t:
        screen = t.wait("q quit")
        assert len(screen.splitlines()[0]) <= 80 and "q quit" in screen.splitlines()[23]
        t.resize(120, 30)
        t.wait("q quit")
        t.wait("^.{81,}sort: severity")


def test_a_resize_while_a_share_is_typed(one: VaultSet, tmp_path: Path) -> None:
    with console(one, tmp_path) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.resize(100, 30)
        t.wait("^ {10,}┌.*┐")
        give(t, one.shares[0], 1)
        t.wait("share 2 of 3 .*_")
        t.resize(80, 24)
        t.keys("Escape")
        t.wait(r"truenas +unsealing[\s\S]+ u unseal")
        t.resize(100, 30)
        t.wait(".{90}", 10)


def test_a_gpg_file_with_a_passphrase(one: VaultSet, tmp_path: Path, gnupg: Path) -> None:
    (tmp_path / "share.gpg").write_bytes(sealed_for(gnupg, "bo", one.shares[0]))
    (tmp_path / "other.gpg").write_bytes(b"nothing of the kind\n")
    with console(one, tmp_path, GNUPGHOME=str(gnupg)) as t:
        t.keys("u")
        t.wait("share 1 of 3 .*_")
        t.keys("Tab")
        t.wait("which file has it")
        t.type(str(tmp_path / "other.gpg"))
        t.wait("enter opens it   tab completes")
        t.keys("Enter")
        said(t, "other.gpg is not a PGP message")
        t.keys("Escape")
        t.wait("share 1 of 3 .*_")
        t.wait("ctrl\\+f from a gpg file")
        t.keys("C-f")
        said(t, "other.gpg_")  # still there
        t.keys("C-u")
        t.wait("which file has it")
        t.paste(one.shares[0])
        said(t, "this is a share, not a file: esc goes back, give it there")
        t.type(str(tmp_path / "sha"))
        t.wait("tab completes it")
        t.keys("Tab")
        said(t, "share.gpg_ enter opens it")
        t.keys("Enter")
        said(t, "the passphrase for share.gpg")
        t.type("open sesame")
        t.wait("●●●●●●●●●●●")
        t.keys("Enter")
        t.wait("1 of 3 shares are in")
        t.wait("share 2 of 3 .*_")
        assert one.shares[0][:12] not in t.scrollback


def test_from_the_shell(one: VaultSet, tmp_path: Path, gnupg: Path) -> None:
    config = config_of(one, tmp_path)
    argv = [sys.executable, "-m", "labtui", "--config", str(config), "vault", "unseal"]
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "GNUPGHOME": str(gnupg)}
    (tmp_path / "share.gpg").write_bytes(sealed_for(gnupg, "ana", one.shares[0]))
    done = subprocess.run(
        [*argv, "--gpg", str(tmp_path / "share.gpg")], env=os.environ | env, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "2 more shares are needed: 1 of 3 are in" in done.stderr
    with terminal(*argv, **env) as t:
        t.wait("share 2 of 3:")
        t.type(base64.b64encode(base64.b64decode(one.shares[1]).hex().encode()).decode())
        t.wait("88, base64 of a share: decode it once, base64 -d")
        t.keys("C-u", "C-f")
        t.wait("which file has it")
        t.paste(one.shares[1])
        t.wait("this is a share, not a file: esc goes back")
        t.keys("Escape")
        for number, share in ((2, one.shares[1]), (3, one.shares[2])):
            t.wait(f"share {number} of 3:")
            t.type(share)
            t.wait("44, base64")
            t.keys("Enter")
        screen = t.wait("ended with 0", 30)
        assert "truenas is unsealed: active" in screen
        assert not any(share[:12] in t.scrollback for share in one.shares)
    one.seal()
    with terminal(*argv, **env) as t:
        t.wait("share 1 of 3:")
        t.type(one.shares[1])
        t.wait("44, base64")
        os.kill(t.pids[0], signal.SIGTERM)
        t.wait("ended with 143")
        t.wait("^icanon")
        assert one.client("truenas", "").sys.read_seal_status()["progress"] == 0


def test_every_server_of_a_set_by_gpg_files_from_the_shell(tmp_path: Path, gnupg: Path) -> None:
    with vault_set(tmp_path / "vault", "truenas", "xps15-cpu") as found:
        files: list[str] = []
        for number, share in enumerate(found.shares[:3]):
            path = tmp_path / f"share-{number}.gpg"
            path.write_bytes(sealed_for(gnupg, "ana", share))
            files += ["--gpg", str(path)]
        config = config_of(found, tmp_path)
        argv = [sys.executable, "-m", "labtui", "--config", str(config), "vault", "unseal"]
        done = subprocess.run(
            [*argv, "--all", *files], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
            env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "s"), "GNUPGHOME": str(gnupg)},
        )  # fmt: skip
        assert done.returncode == 0, done
        assert "truenas is unsealed: active" in done.stderr
        assert "xps15-cpu is unsealed: standby" in done.stdout
        assert not any(share[:12] in done.stdout + done.stderr for share in found.shares)
