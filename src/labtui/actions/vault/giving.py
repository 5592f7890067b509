"""How shares are given: look, ask, look again, send, look again, until there are enough.

One course for the screen and the command line. What the server says counts: somebody else may be
adding shares, may have begun anew, or may have given the last one meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from labtui.actions.base import ActionError, Outcome
from labtui.actions.runner import Runner
from labtui.actions.vault.ceremony import Ceremony, OneOfSet, Standing
from labtui.keyholder.holder import Ended, Given, HolderError, Keyboard, Keyholder, Typed
from labtui.spec import Tone, Wanted

LOOK = 1.0
"""Seconds between two looks at the server while a share is being typed."""
NONCE = 8
"""Characters of a nonce that people compare."""


class Person(Protocol):
    """Whoever gives the shares: a dialog or a plain terminal."""

    def begins(self, ceremony: Ceremony) -> None: ...

    def stands(self, standing: Standing, mine: int) -> None:
        """`mine`: shares of those that are in that were given here."""
        ...

    def holds(self, holder: Keyholder | None) -> None:
        """A keyholder reads the keyboard, or none does any more."""
        ...

    def typed(self, typed: Typed) -> None: ...

    def say(self, words: str, tone: Tone = "") -> None: ...

    def waits(self, keys: str) -> None:
        """Which keys the keyholder waits for now, other than those of the prompt."""
        ...

    async def go_on(self, words: str) -> bool:
        """A question that enter says yes to. The keyboard is theirs."""
        ...


class Left(Exception):
    """The person left, or there is nothing that could go on: a sentence, or none."""


class Giving:
    """One person's part in a ceremony."""

    def __init__(
        self,
        ceremony: Ceremony,
        runner: Runner,
        keyboard: Keyboard,
        person: Person,
        files: Sequence[str] | None = None,
    ) -> None:
        """`files`: shares come out of these, by gpg, and from nowhere else."""
        self._ceremony, self._runner, self._person = ceremony, runner, person
        self._keyboard = keyboard
        self._all_files = None if files is None else list(files)
        self._files = list(files or ())
        self._loan = AsyncExitStack()
        self._loan_is_open = False
        self._given = Given()
        self._last: Standing | None = None
        self._changed = ""
        """What was found changed since the person was last told, and has not been accepted."""

    async def run(self) -> Outcome:
        """To the end of it, the next servers of a set included. Raises HolderError."""
        try:
            self._runner.allow("vault.share")
        except ActionError as error:
            return Outcome("refused", str(error))
        outcome = Outcome("cancelled", "left; nothing more was sent")
        try:
            while True:
                outcome = await self._one_server()
                following = await self._next() if outcome.ok else None
                if following is None:
                    return outcome
                self._ceremony = following
                self._files = list(self._all_files or ())
                self._given, self._last = Given(), None
        except Left as left:
            return Outcome("cancelled", str(left)) if str(left) else outcome
        finally:
            await self._loan.aclose()

    async def _next(self) -> Ceremony | None:
        if not isinstance(self._ceremony, OneOfSet):
            return None
        try:
            following = await self._ceremony.following()
        except ActionError:
            return None
        if following is None:
            return None
        words = f"next: {following.node}, the same shares   enter goes on   esc leaves"
        return following if await self._person.go_on(words) else None

    async def _one_server(self) -> Outcome:
        self._person.begins(self._ceremony)
        while True:
            standing = await self._first_look()
            if standing.done:
                return await self._finish()
            if standing.words:
                return Outcome("refused", standing.words)
            if standing.waiting:
                await self._loan.aclose()
                await asyncio.sleep(LOOK)
                continue
            await self._one_share(standing)

    # Looking

    async def _look(self) -> Standing:
        """Asked anew, shown, and compared with the last look. Raises ActionError."""
        standing = await self._ceremony.standing()
        before, self._last = self._last, standing
        if not standing.progress:
            self._given.digests.clear()
        self._person.stands(standing, len(self._given.digests))
        if before is not None and before.nonce and not (standing.done or standing.waiting):
            self._compare(before, standing)
        return standing

    def _compare(self, before: Standing, now: Standing) -> None:
        if now.nonce == before.nonce:
            return
        self._given.digests.clear()
        old = before.nonce[:NONCE]
        if now.nonce:
            self._changed = (
                f"the nonce changed from {old} to {now.nonce[:NONCE]}: somebody began anew"
            )
        else:
            self._changed = f"the shares under nonce {old} are gone: somebody dropped them"

    async def _first_look(self) -> Standing:
        while True:
            try:
                return await self._look()
            except ActionError as error:
                await self._loan.aclose()
                self._person.say(str(error), "crit")
                if self._all_files is not None:
                    raise Left(str(error)) from None
                if not await self._person.go_on("enter looks again   esc leaves"):
                    raise Left(f"{error}") from None

    # One share

    async def _one_share(self, standing: Standing) -> None:
        async with Keyholder.start(self._given) as holder:
            self._person.holds(holder)
            try:
                ended, standing = await self._have(holder, standing)
                if ended == "given" and not standing.done:
                    await self._send(holder, standing)
                elif ended == "reset":
                    await self._reset(holder)
                elif ended == "left" and not standing.done:
                    raise Left
            except HolderError as error:
                if error.kind != "gone" or self._all_files is not None:
                    raise
                await self._loan.aclose()
                self._person.say(error.message, "crit")
                if not await self._person.go_on("enter begins this share anew   esc leaves"):
                    raise Left(error.message) from None
            finally:
                self._person.holds(None)

    async def _have(self, holder: Keyholder, standing: Standing) -> tuple[Ended, Standing]:
        """The holder has a share, and how the server stands then."""
        wanted = Wanted("share", "share", f"share {standing.progress + 1} of {standing.required}")
        if self._all_files is not None:
            if not self._files:
                need = standing.required - standing.progress
                more = f"{need} more share{'s are' if need > 1 else ' is'} needed"
                raise Left(f"{more}: {standing.progress} of {standing.required} are in")
            path = self._files.pop(0)
            try:
                return await holder.gpg(wanted, path, self._keyboard, self._person.typed), standing
            except HolderError as error:
                raise Left(error.message) from None
        await self._borrow()
        return await self._typed(holder, wanted, standing)

    async def _borrow(self) -> None:
        """The keyboard is the keyholders' from here to the last share: between two of them nobody
        reads it, so that a share which is pasted early reaches the next one and never us."""
        if self._loan_is_open:
            return
        await self._loan.enter_async_context(self._keyboard.lend())
        self._loan.callback(self._returned)
        self._loan_is_open = True

    def _returned(self) -> None:
        self._loan_is_open = False

    async def _typed(
        self, holder: Keyholder, wanted: Wanted, standing: Standing
    ) -> tuple[Ended, Standing]:
        """What the person does, while the server is looked at each second."""
        told = self._changed
        asking = asyncio.create_task(holder.ask(wanted, self._keyboard, self._person.typed))
        try:
            while True:
                done, _ = await asyncio.wait({asking}, timeout=LOOK)
                if done:
                    return asking.result(), standing
                try:
                    standing = await self._look()
                except ActionError as error:
                    self._person.say(str(error), "crit")
                    continue
                if self._changed != told:
                    told = self._changed
                    self._person.say(f"{told}; look before you send", "warn")
                if standing.done or standing.words:
                    return "left", Standing(
                        standing.progress, standing.required, standing.nonce, done=True
                    )
        finally:
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    async def _send(self, holder: Keyholder, standing: Standing) -> None:
        """After a last look. What changed has to be seen and accepted first, with another enter."""
        while True:
            try:
                standing = await self._look()
            except ActionError as error:
                self._person.say(f"{error}; nothing was sent", "crit")
                if not await self._again(holder, "enter tries again   esc leaves"):
                    raise Left("left; nothing more was sent") from None
                continue
            if standing.done or standing.words:
                self._person.say("this share was not sent: there were enough without it", "ok")
                return
            if self._changed:
                self._person.say(f"{self._changed}; nothing was sent", "warn")
                if not await self._again(holder, "enter sends it all the same   esc leaves"):
                    raise Left("left; nothing more was sent")
                self._changed = ""
                continue
            break
        action = self._ceremony.give(holder, standing.progress + 1)
        try:
            plan = await self._runner.plan(action)
        except ActionError as error:
            raise Left(str(error)) from None
        self._person.say("sending", "dim")
        outcome = await self._runner.perform(action, plan, lambda line: self._person.say(line))
        if outcome.ok:
            self._given.digests.add(holder.digest)
        await holder.close()
        self._person.say(outcome.message, "ok" if outcome.ok else "crit")
        # What it moved itself is no change by somebody else.
        nonce = outcome.details.get("nonce", "")
        self._last = Standing(standing.progress, standing.required, nonce) if nonce else None
        if outcome.details.get("began_anew"):
            self._given.digests.clear()

    async def _again(self, holder: Keyholder, words: str) -> bool:
        """A deliberate enter, read by the keyholder: the keyboard stays lent."""
        if self._all_files is not None:
            raise Left("stopped before the next share: look at the server")
        self._person.waits(words)
        return await holder.key(self._keyboard, ("enter", "esc")) == "enter"

    async def _reset(self, holder: Keyholder) -> None:
        """What the ceremony drops may be all of it: the action's own plan says so first."""
        action = self._ceremony.reset()
        try:
            plan = await self._runner.plan(action)
        except ActionError as error:
            self._person.say(str(error), "warn")
            return
        self._person.say(f"{plan.title}?", "warn")
        for risk in plan.risks:
            self._person.say(risk, "warn")
        self._person.waits("y does it   esc keeps")
        if await holder.key(self._keyboard, ("y", "esc")) != "y":
            self._person.say("kept", "dim")
            return
        outcome = await self._runner.perform(action, plan, lambda line: self._person.say(line))
        self._person.say(outcome.message, "ok" if outcome.ok else "crit")
        self._last = None
        self._given.digests.clear()

    # The end

    async def _finish(self) -> Outcome:
        await self._loan.aclose()
        action = self._ceremony.afterwards()
        if action is None:
            return Outcome("done", f"{self._ceremony.title}: done")
        try:
            plan = await self._runner.plan(action)
        except ActionError as error:
            return Outcome("failed", str(error))
        outcome = await self._runner.perform(action, plan, lambda line: self._person.say(line))
        self._person.say(outcome.message, "ok" if outcome.ok else "crit")
        return outcome
