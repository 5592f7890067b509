"""Settings of a card by nvidia-smi on its own machine: power limit, persistence, clocks.

What the tool prints and how it exits is in its manual: 2 a wrong argument, 3 the card cannot do
it, 4 no permission, 6 no such card, 9 no driver, 15 off the bus. "Not supported ... moving on"
exits with 0, so only the reading afterwards counts.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time

import msgspec

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.earlier import described
from labtui.hosts.base import Completed, Host, HostError
from labtui.hosts.command import as_user
from labtui.model import Gpu
from labtui.sources.base import number
from labtui.text import inert

ANSWER = 10.0
"""Seconds that nvidia-smi may take: the first call after a boot loads the driver."""
SETTLE = 5.0
STEP = 0.5
SLACK_W = 0.5
"""What a driver may round a limit by."""
FIELDS = (
    "uuid", "power.limit", "power.min_limit", "power.max_limit", "power.default_limit",
    "persistence_mode", "clocks.sm", "clocks.max.sm",
)  # fmt: skip
_UUID = re.compile(r"GPU-[0-9A-Za-z-]{1,60}")
_RC = {
    3: "this card cannot do it",
    6: "there is no such card",
    9: "the driver is not loaded",
    12: "the driver's library is not there",
    15: "the card has fallen off the bus",
    18: "the driver was upgraded under its library: restart the machine",
}


class Reading(msgspec.Struct, frozen=True):
    """A card's settings now. None: the driver does not tell."""

    uuid: str
    power_w: float | None
    power_min_w: float | None
    power_max_w: float | None
    power_default_w: float | None
    persistence: bool | None
    clock_mhz: float | None
    clock_max_mhz: float | None


async def read(host: Host, card: str) -> Reading:
    """`card`: UUID or index. Raises ActionError, HostError."""
    query = f"--query-gpu={','.join(FIELDS)}"
    argv = ["nvidia-smi", "-i", card, query, "--format=csv,noheader,nounits"]
    done = await host.run(argv, timeout=ANSWER)
    parts = [part.strip() for part in done.stdout.strip().split(",")]
    if done.rc or len(parts) != len(FIELDS) or not _UUID.fullmatch(parts[0]):
        raise ActionError(f"{host.name}: {_why(done)}")
    known = dict(zip(FIELDS, parts, strict=True))
    mode = known["persistence_mode"].lower()
    return Reading(
        uuid=parts[0],
        power_w=number(known["power.limit"]),
        power_min_w=number(known["power.min_limit"]),
        power_max_w=number(known["power.max_limit"]),
        power_default_w=number(known["power.default_limit"]),
        persistence={"enabled": True, "disabled": False}.get(mode),
        clock_mhz=number(known["clocks.sm"]),
        clock_max_mhz=number(known["clocks.max.sm"]),
    )


def _why(done: Completed) -> str:
    """What nvidia-smi said, in one sentence; it says it on stdout."""
    if done.rc == 127:
        return "there is no nvidia-smi"
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    said = inert(lines[0].strip(), 160) if lines else ""
    why = _RC.get(done.rc, "")
    return f"nvidia-smi: {'; '.join(filter(None, (why, said))) or f'ended with {done.rc}'}"


class CardAction(Action):
    """One setting of one card."""

    setting: str
    """`power limit`: what the audit calls it, and undo finds it by."""

    def __init__(self, host: Host, gpu: Gpu, *, user: str = "", settle: float = SETTLE) -> None:
        if gpu.index is None:
            raise ActionError("choose a card: this is what is booked on the node")
        self.host = host
        self.gpu = gpu
        self.card = f"{gpu.node}:{gpu.index}"
        self.user = user or "USER"
        self.settle = settle
        self.before = ""
        self._uuid = ""
        self._as_root = False
        self._said = ""

    # What each setting knows

    def check(self, now: Reading) -> None:
        """ActionError where it cannot be."""

    def words(self) -> str:
        """`300 W`: what is asked, as `value` tells what is."""
        raise NotImplementedError

    def value(self, now: Reading) -> str:
        raise NotImplementedError

    def options(self) -> list[str]:
        """nvidia-smi's."""
        raise NotImplementedError

    def settled(self, now: Reading) -> bool:
        raise NotImplementedError

    def risks(self, now: Reading) -> tuple[str, ...]:
        return ()

    def outcome(self, now: Reading) -> str:
        return f"{self.card}: {self.setting} is {self.value(now)}, was {self.before}"

    # What all do

    async def plan(self) -> Plan:
        known = self.gpu.uuid if _UUID.fullmatch(self.gpu.uuid or "") else None
        now = await read(self.host, known or str(self.gpu.index))
        self._uuid = now.uuid
        self.check(now)
        self.before = await self.was(now)
        self._as_root = (await self.host.run(["id", "-u"], timeout=ANSWER)).stdout.strip() != "0"
        argv = as_user(self._argv(), "root" if self._as_root else None)
        return Plan(
            title=f"Set {self.card}'s {self.setting} to {self.words()}",
            targets=(described(self.card, now.uuid, self.setting, self.before),),
            steps=(Step(self.host.name, shlex.join(argv)),),
            risks=self.risks(now),
            undo=f"it is {self.before} now: u on the card, or `labtui gpu undo {self.card}`",
        )

    async def was(self, now: Reading) -> str:
        return self.value(now)

    def _argv(self) -> list[str]:
        return ["nvidia-smi", "-i", self._uuid, *self.options()]

    async def run(self, progress: Progress) -> None:
        try:
            done = await self.host.run(
                self._argv(), timeout=ANSWER, user="root" if self._as_root else None
            )
        except HostError as error:
            if error.kind == "timeout":
                raise Unknown(f"{self.host.name}: nvidia-smi: no answer in time") from None
            if error.kind == "permission":
                raise ActionError(self._needs_root()) from None
            raise
        self._said = inert(" ".join(done.stdout.split()), 200)
        if done.rc == 4 or (done.rc and "ermission" in done.stdout + done.stderr):
            raise ActionError(self._needs_root())
        if done.rc:
            raise ActionError(f"{self.host.name}: {_why(done)}")
        progress("sent; reading the card again")

    def _needs_root(self) -> str:
        line = f"{self.user} ALL=(root) NOPASSWD: /usr/bin/nvidia-smi"
        return (
            f"{self.host.name}: only root may change a card, and sudo does not let this account: "
            f'put "{line}" into /etc/sudoers.d/labtui there'
        )

    async def verify(self) -> Outcome:
        deadline = time.monotonic() + self.settle
        while True:
            now = await read(self.host, self._uuid)
            if self.settled(now):
                return Outcome("done", self.outcome(now), self._details(now))
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(STEP)
        said = f": nvidia-smi said: {self._said}" if self._said else ""
        text = f"{self.card}: {self.setting} is {self.value(now)}, not {self.words()}{said}"
        return Outcome("failed", text, self._details(now))

    def _details(self, now: Reading) -> dict[str, str]:
        return {"card": self.card, "uuid": self._uuid, "before": self.before,
                "now": self.value(now)}  # fmt: skip


class PowerLimit(CardAction):
    id = "gpus.power"
    setting = "power limit"

    def __init__(
        self, host: Host, gpu: Gpu, watts: str, *, user: str = "", settle: float = SETTLE
    ) -> None:
        super().__init__(host, gpu, user=user, settle=settle)
        found = number(watts.strip().lower().removesuffix("w"))
        if found is None or found <= 0:
            raise ActionError(f"power limit: {inert(watts, 20) or 'nothing'}: write watts, as 300")
        self.watts = round(found, 2)
        self._slack_w = SLACK_W

    def check(self, now: Reading) -> None:
        if now.power_w is None:
            raise ActionError(f"{self.card}: the driver lets nobody limit this card's power")
        low, high = now.power_min_w, now.power_max_w
        if (low is not None and self.watts < low) or (high is not None and self.watts > high):
            raise ActionError(
                f"{self.card}: {self.watts:g} W cannot be: it takes {watt(low)} to {watt(high)}"
            )
        if round(now.power_w, 2) == self.watts:
            raise ActionError(f"{self.card}: its power limit is {self.value(now)} already")
        self._slack_w = min(SLACK_W, abs(now.power_w - self.watts) / 2)

    def words(self) -> str:
        return watt(self.watts)

    def value(self, now: Reading) -> str:
        return watt(now.power_w)

    def options(self) -> list[str]:
        return ["-pl", f"{self.watts:g}"]

    def settled(self, now: Reading) -> bool:
        return now.power_w is not None and abs(now.power_w - self.watts) < self._slack_w

    def risks(self, now: Reading) -> tuple[str, ...]:
        lower = now.power_w is not None and self.watts < now.power_w
        slower = ("everything on the card gets slower when it would draw more",) if lower else ()
        if self.watts == now.power_default_w:
            return slower
        keeps = "" if now.persistence else " and, without persistence, when nobody uses the card"
        back = f"it falls back to {watt(now.power_default_w)} at the next boot{keeps}"
        return (*slower, back)


def watt(value: float | None) -> str:
    return "an unknown limit" if value is None else f"{value:g} W"


class Persistence(CardAction):
    """`answer`: on, off, or nothing for the other one."""

    id = "gpus.persistence"
    setting = "persistence"

    def __init__(
        self, host: Host, gpu: Gpu, answer: str = "", *, user: str = "", settle: float = SETTLE
    ) -> None:
        super().__init__(host, gpu, user=user, settle=settle)
        if answer not in ("", "on", "off"):
            raise ActionError(f"persistence: {inert(answer, 20)}: write on or off")
        self.on = None if answer == "" else answer == "on"

    def check(self, now: Reading) -> None:
        if now.persistence is None:
            raise ActionError(f"{self.card}: the driver does not tell its persistence mode")
        if self.on is None:
            self.on = not now.persistence
        if self.settled(now):
            raise ActionError(f"{self.card}: persistence is {self.words()} already")

    def words(self) -> str:
        return "on" if self.on else "off"

    def value(self, now: Reading) -> str:
        return {True: "on", False: "off"}.get(now.persistence, "unknown")  # type: ignore[arg-type]

    def options(self) -> list[str]:
        return ["-pm", "1" if self.on else "0"]

    def settled(self, now: Reading) -> bool:
        return now.persistence == self.on

    def risks(self, now: Reading) -> tuple[str, ...]:
        if self.on:
            return ()
        return (
            "once nobody uses the card its driver is unloaded: limits are forgotten, and the "
            "next start takes seconds longer",
        )
