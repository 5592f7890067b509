"""An action of the main screen from its key on: what it asks, secrets, plan, outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labtui.actions.base import ActionError
from labtui.screens.plan import PlanDialog
from labtui.screens.prompt import Prompt
from labtui.spec import ActionSpec, Wanted
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault.ceremony import Ceremony
    from labtui.keyholder.holder import Keyholder
    from labtui.screens.lab import LabScreen


class Acting:
    """Each step is a dialog; who leaves one has done nothing."""

    def __init__(self, screen: LabScreen) -> None:
        self._screen = screen

    async def act(self, spec: ActionSpec, items: list[Any], answer: str = "") -> None:
        """`answer`: to what it asks first, where that was asked already."""
        screen = self._screen
        if not items:
            screen.say(f"{spec.words}: no row is chosen", "warn")
            return
        if spec.question is not None and not answer:
            title, example = spec.question(items[0], screen.session.store)
            given = await screen.app.push_screen_wait(Prompt(title, example))
            if not given:
                return
            answer = given
        changes: dict[str, str] | None = None
        if spec.id == "queue.modify":
            changes = await self._modified(items)
            if changes is None:
                return
        ceremony = screen.session.ceremony(spec.id, items)
        if ceremony is not None:
            await self.give(ceremony)
            return
        wanted = spec.secrets(items[0], screen.session.store) if spec.secrets else ()
        if not wanted:
            await self._plan(spec, items, answer, changes)
            return
        from labtui.keyholder.holder import HolderError, Keyholder

        try:
            async with Keyholder.start() as holder:
                if await self.asked(holder, wanted):
                    await self._plan(spec, items, answer, changes, holder)
        except HolderError as error:
            screen.say(error.message, "crit")

    async def asked(self, holder: Keyholder, wanted: Sequence[Wanted]) -> bool:
        """The keyholder has all of them; False where the person left."""
        from labtui.screens.secret import SecretDialog

        screen = self._screen
        for one in wanted:
            file = screen.session.config.vault.token_gpg if one.kind == "token" else ""
            dialog = SecretDialog(holder, one, file)
            if not await screen.app.push_screen_wait(dialog):
                if dialog.failure:
                    screen.say(dialog.failure, "crit")
                return False
        return True

    async def give(self, ceremony: Ceremony) -> None:
        """The dialog in which shares are given."""
        from labtui.screens.shares import SharesDialog

        outcome = await self._screen.app.push_screen_wait(SharesDialog(ceremony))
        if outcome is not None:
            self._screen.say(outcome.message, "ok" if outcome.ok else "warn")

    async def _modified(self, jobs: Sequence[Any]) -> dict[str, str] | None:
        """What a form changes of these jobs; None where the person left it."""
        from labtui.screens.modify import ModifyForm
        from labtui.slurm.usage import Context

        form = ModifyForm(jobs, Context.of(self._screen.session.store))
        return await self._screen.app.push_screen_wait(form)

    async def _plan(
        self,
        spec: ActionSpec,
        items: list[Any],
        answer: str,
        changes: dict[str, str] | None,
        holder: Keyholder | None = None,
    ) -> None:
        """The plan, and after a yes what it says; a ceremony where that begins one."""
        screen = self._screen
        try:
            action = screen.session.action(spec.id, items, answer, changes, holder)
        except ActionError as error:
            screen.say(inert(error), "warn")
            return
        outcome = await screen.app.push_screen_wait(PlanDialog(action, spec.key))
        if outcome is not None:
            screen.table.clear_marks()
            screen.say(outcome.message, "ok" if outcome.ok else "crit")
            begun = getattr(action, "ceremony", None)
            if outcome.ok and begun is not None:
                await self.give(begun)
