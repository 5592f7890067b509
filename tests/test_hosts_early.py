"""A command that begins before there is a loop: taken up once, by the one who asks the same."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from labtui.hosts.base import HostError
from labtui.hosts.command import read_all
from labtui.hosts.early import EarlyHost
from labtui.hosts.local import LocalHost


async def test_what_began_is_taken_up_and_only_once() -> None:
    host = EarlyHost("here")
    argv = ["sh", "-c", "echo $$; echo oh >&2; exit 3"]
    host.begin(argv)
    first = await host.run(argv, timeout=5.0)
    again = await host.run(argv, timeout=5.0)
    assert (first.rc, first.stderr) == (3, "oh\n") == (again.rc, again.stderr)
    assert first.stdout != again.stdout


async def test_a_large_output_goes_to_the_sink_in_pieces() -> None:
    host = EarlyHost("here")
    argv = ["seq", "300000"]
    host.begin(argv)
    pieces: list[bytes] = []
    done = await host.run(argv, timeout=5.0, sink=pieces.append)
    assert done.stdout == "" and len(pieces) > 3
    assert b"".join(pieces).split() == [str(n).encode() for n in range(1, 300001)]


async def test_another_command_is_simply_run() -> None:
    host = EarlyHost("here")
    host.begin(["sleep", "30"])
    assert (await host.run(["echo", "x"], timeout=5.0)).stdout == "x\n"
    began = time.monotonic()
    await host.close()
    assert time.monotonic() - began < 2.0


async def test_one_that_hangs_is_a_time_out_and_gone() -> None:
    host = EarlyHost("here")
    host.begin(["sleep", "30"])
    assert (await host.run(["sleep", "30"], timeout=0.2)).rc == 124
    host.begin(["/no/such/command"])
    assert (await host.run(["/no/such/command"], timeout=5.0)).rc == 127


async def test_a_time_out_ends_the_whole_family_and_does_not_wait_for_it() -> None:
    host = LocalHost("here")
    seconds = f"30.{time.monotonic_ns() % 10**9}"
    began = time.monotonic()
    with pytest.raises(HostError, match=r"no answer within 0\.3 s"):
        await host.run(["sh", "-c", f"sleep {seconds}; true"], timeout=0.3, sink=lambda piece: None)
    assert time.monotonic() - began < 2.0
    end = time.monotonic() + 5
    while time.monotonic() < end and _runs(seconds):
        await asyncio.sleep(0.05)
    assert not _runs(seconds)


def _runs(word: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if word.encode() in path.read_bytes():
                return True
    return False


async def test_others_have_their_turn_between_two_pieces() -> None:
    rest, turns = [b"x"] * 5, 0
    seen: list[int] = []

    async def read(size: int) -> bytes:
        return rest.pop() if rest else b""

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await read_all(read, "here", sink=lambda piece: seen.append(turns))
    task.cancel()
    assert len(set(seen)) == 5
