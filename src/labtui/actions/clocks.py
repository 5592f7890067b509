"""Locking a card's clocks. How they are locked the driver tells nobody: the clock is looked at."""

from __future__ import annotations

import re

from labtui.actions.base import ActionError
from labtui.actions.card import SETTLE, CardAction, Reading
from labtui.actions.earlier import FREE
from labtui.hosts.base import Host
from labtui.model import Gpu
from labtui.text import inert

SLACK_MHZ = 15
"""Clocks go in steps of this."""


class ClockLock(CardAction):
    """`answer`: `210,1800` (MHz), one number for both, or off."""

    id = "gpus.clocks"
    setting = "clocks"

    def __init__(
        self,
        host: Host,
        gpu: Gpu,
        answer: str,
        *,
        earlier: str | None = None,
        user: str = "",
        settle: float = SETTLE,
    ) -> None:
        """`earlier`: how labtui last left them, from the audit."""
        super().__init__(host, gpu, user=user, settle=settle)
        self.earlier = earlier
        self.range: tuple[int, int] | None = None
        text = answer.strip().lower().removesuffix("mhz").strip()
        if text == "off":
            return
        found = re.fullmatch(r"([0-9]{1,5})(?:\s*[,-]\s*([0-9]{1,5}))?", text)
        if found is None:
            raise ActionError(
                f"clocks: {inert(answer, 30) or 'nothing'}: write 210,1800 (MHz), or off"
            )
        low, high = int(found[1]), int(found[2] or found[1])
        if not 0 < low <= high:
            raise ActionError(f"clocks: {low},{high}: write the lower one first, above 0")
        self.range = low, high

    def check(self, now: Reading) -> None:
        most = now.clock_max_mhz
        if self.range and most is not None and self.range[0] > most:
            raise ActionError(f"{self.card}: {self.words()}: it goes up to {most:.0f} MHz")

    async def was(self, now: Reading) -> str:
        return self.earlier or FREE

    def words(self) -> str:
        return FREE if self.range is None else f"{self.range[0]},{self.range[1]} MHz"

    def value(self, now: Reading) -> str:
        return "unknown" if now.clock_mhz is None else f"{now.clock_mhz:.0f} MHz"

    def options(self) -> list[str]:
        return ["-rgc"] if self.range is None else ["-lgc", f"{self.range[0]},{self.range[1]}"]

    def settled(self, now: Reading) -> bool:
        if self.range is None:
            return not self._said.lower().count("not supported")
        if now.clock_mhz is None:
            return False
        low, high = self.range
        return low - SLACK_MHZ <= now.clock_mhz <= high + SLACK_MHZ

    def outcome(self, now: Reading) -> str:
        return (
            f"{self.card}: clocks {self.words()}, were {self.before}; "
            f"the clock is {self.value(now)} now"
        )

    def risks(self, now: Reading) -> tuple[str, ...]:
        guess = "" if self.earlier else ", and labtui knows of no earlier lock"
        told = f"the driver does not tell a lock: what is so is seen by the clock{guess}"
        most = now.clock_max_mhz
        slower = self.range is not None and most is not None and self.range[1] < most
        return (("everything on the card runs no faster than that",) if slower else ()) + (told,)
