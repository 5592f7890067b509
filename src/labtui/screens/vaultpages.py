"""What the main screen can be told to do with Vault's token, audit devices and secrets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace
from textual.binding import Binding, BindingType

from labtui.actions.base import ActionError
from labtui.actions.vault import Doors
from labtui.actions.vault.rotation import WRITER, value_of
from labtui.actions.vault.serving import serving
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.screens.menu import Entry, Menu
from labtui.screens.page import Page
from labtui.screens.plan import PlanDialog
from labtui.screens.prompt import Prompt
from labtui.text import inert
from labtui.views import vaultpages
from labtui.widgets.lines import LineLike

if TYPE_CHECKING:
    from labtui.screens.commands import Commands

EXAMPLE = "/var/log/vault/audit.log"


class VaultCommands:
    """Part of Commands; made when the first of these is used."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._screen = commands.screen

    def secret(self, id: str) -> None:
        """Rotate or roll back: which one is chosen from a list where there are several."""
        self._screen.run_worker(self._secret(id), exit_on_error=False, group="act")

    async def _secret(self, id: str) -> None:
        screen = self._screen
        spec = screen.lab.keys.specs[id]
        secrets = screen.session.config.vault.secrets
        if not secrets:
            screen.say("[vault.secrets] names none: see docs/vault.md", "warn")
            return
        entries = [
            Entry(name, "", inert(name, 18), inert(f"{s.path} {s.field}", 80), None)
            for name, s in secrets.items()
        ]
        name: str | None = entries[0].id
        if len(entries) > 1:
            title = f"{spec.words[:1].upper()}{spec.words[1:]} which secret?"
            name = await screen.app.push_screen_wait(Menu(title, entries))
        if name is None:
            return
        if id == "vault.rotate":
            wanted = (value_of(name), WRITER)
            spec = replace(spec, secrets=lambda item, store: wanted)
        await self._commands.acting.act(spec, self._commands.targets(spec), name)

    def page(self, id: str) -> None:
        """The token or the audit devices, asked with a token that is given now."""
        self._screen.run_worker(self._page(id), exit_on_error=False, group="act")

    async def _page(self, id: str) -> None:
        screen = self._screen
        spec = screen.lab.keys.specs[id]
        item = self._commands.item
        wanted = spec.secrets(item, screen.session.store) if spec.secrets else ()
        try:
            async with Keyholder.start() as holder:
                if not await self._commands.acting.asked(holder, wanted):
                    return
                if id == "vault.token":
                    lines = await self._token(holder)
                    screen.app.push_screen(Page("Vault: the token that was given", lambda: lines))
                    return
                session = screen.session
                doors = Doors(session.config, session.store, session.hosts, holder)
                page = AuditPage(doors)
                await page.ask()
                await screen.app.push_screen_wait(page)
        except HolderError as error:
            screen.say(error.message, "crit")
        except ActionError as error:
            screen.say(inert(error), "warn")

    async def _token(self, holder: Keyholder) -> list[Any]:
        session = self._screen.session
        door = await serving(Doors(session.config, session.store, session.hosts, holder))
        told = await holder.call("token.lookup", door)
        lines: list[Any] = list(vaultpages.token(told, time.time()))
        try:
            count = await holder.call("token.accessors", door)
            lines += ["", *vaultpages.tokens(count, time.time())]
        except HolderError as error:
            lines += ["", f"how many tokens there are: {error.message}"]
        return lines


class AuditPage(Page):
    """The list, and the two actions on it while the keyholder has the token."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "enable", show=False),
        Binding("x", "disable", show=False),
    ]
    FOOT = " e enable one  x disable one  j k space scroll  esc back"

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._told: dict[str, Any] = {"devices": [], "findings": []}
        super().__init__("Vault: audit devices", self._now)

    def _now(self) -> Sequence[LineLike]:
        return vaultpages.audit(self._told)

    async def ask(self) -> None:
        """Raises ActionError, HolderError."""
        door = await serving(self._doors)
        self._told = await self._doors.need_holder().call("audit.list", door)

    def action_enable(self) -> None:
        self.run_worker(self._change("write to which file on the server?", "path", EXAMPLE))

    def action_disable(self) -> None:
        names = [d["name"] for d in self._told["devices"]]
        if names:
            self.run_worker(self._change("disable which device?", "name", names[0]))

    async def _change(self, question: str, what: str, example: str) -> None:
        answer = await self.app.push_screen_wait(Prompt(question, example))
        if not answer:
            return
        from labtui.actions.vault import make

        try:
            action = make("vault.audit", [], "", {what: answer}, self._doors)
        except ActionError as error:
            self._told = {**self._told, "findings": [inert(error), *self._told["findings"]]}
            return
        await self.app.push_screen_wait(PlanDialog(action, ""))
        try:
            await self.ask()
        except (ActionError, HolderError) as error:
            self._told = {"devices": [], "findings": [inert(error)]}
        self._draw()
