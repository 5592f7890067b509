"""How a blocking client is called from the event loop without ever holding it up.

asyncio's default pool is shared and joined at exit: one hung source starves the others there and
delays the end of the program. A lane belongs to one source and runs one call at a time in a
daemon thread, which nobody waits for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from labtui.sources.base import SourceError

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Single-flight calls for one source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._busy = threading.Lock()

    async def call(
        self, timeout: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`function(...)` in a thread of its own, for at most `timeout` seconds.

        Raises SourceError("timeout") when no answer came in time, and while the last call, given
        up long ago, still runs: there is never a second thread for a source that hangs.
        """
        if not self._busy.acquire(blocking=False):
            raise SourceError("timeout", f"{self.name}: still waiting for the last answer")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(value: T | None, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
                future.exception()  # the caller may have left: not "never retrieved"
            else:
                future.set_result(value)  # type: ignore[arg-type]

        def work() -> None:
            value, failure = None, None
            try:
                value = function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - handed to the caller
                failure = error
            finally:
                self._busy.release()
            try:
                loop.call_soon_threadsafe(deliver, value, failure)
            except RuntimeError:
                return  # the loop has closed meanwhile

        try:
            threading.Thread(target=work, name=f"lane {self.name}", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._busy.release()
            raise
        done, _ = await asyncio.wait([future], timeout=timeout)
        if not done:
            raise SourceError("timeout", f"{self.name}: no answer within {timeout:.1f} s")
        return future.result()
