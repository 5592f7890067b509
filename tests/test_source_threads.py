"""A hung source neither starves another nor delays the exit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from labtui.sources.base import SourceError
from labtui.sources.threads import Lane


async def test_result_and_error_come_back() -> None:
    lane = Lane("x")
    assert await lane.call(1.0, lambda a, b: a + b, 1, b=2) == 3
    with pytest.raises(ZeroDivisionError):
        await lane.call(1.0, lambda: 1 / 0)
    assert await lane.call(1.0, int, "7") == 7


async def test_a_hung_call_times_out_and_never_gets_a_second_thread() -> None:
    lane, release = Lane("slow thing"), threading.Event()
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"slow thing: no answer within 0\.1 s") as caught:
        await lane.call(0.1, release.wait, 20)
    assert caught.value.fault.kind == "timeout"
    assert time.monotonic() - began < 1.0
    threads = threading.active_count()
    for _ in range(20):
        with pytest.raises(SourceError, match="still waiting for the last answer"):
            await lane.call(0.1, release.wait, 20)
    assert threading.active_count() == threads
    release.set()
    for _ in range(100):  # and it comes back by itself
        await asyncio.sleep(0.01)
        try:
            assert await lane.call(1.0, int, "1") == 1
            break
        except SourceError:
            continue
    else:
        pytest.fail("the lane stayed busy")


async def test_hung_sources_do_not_starve_another() -> None:
    release = threading.Event()
    hung = [asyncio.create_task(Lane(f"hung {i}").call(20.0, release.wait, 20)) for i in range(40)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    assert await Lane("well").call(1.0, int, "1") == 1
    assert time.monotonic() - began < 0.5
    release.set()
    await asyncio.gather(*hung)


async def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    lane, release = Lane("x"), threading.Event()
    task = asyncio.create_task(lane.call(20.0, release.wait, 20))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.sleep(0.05)
    assert await lane.call(1.0, int, "1") == 1


EXIT = """
import asyncio, time
from labtui.sources.base import SourceError
from labtui.sources.threads import Lane

async def main():
    try:
        await Lane("hung").call(0.1, time.sleep, 60)
    except SourceError as error:
        print(error)

asyncio.run(main())
print(time.time())
"""


def test_a_hung_call_does_not_delay_the_exit() -> None:
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=30)
    gone = time.time()
    assert (done.returncode, done.stderr) == (0, "")
    said, last = done.stdout.splitlines()
    assert "no answer within 0.1 s" in said
    assert gone - float(last) < 1.0, "the hung thread is waited for"
