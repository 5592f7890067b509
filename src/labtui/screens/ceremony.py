"""What has to be known before a ceremony or a snapshot: a form; and which course each key takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from labtui.actions.base import ActionError
from labtui.actions.vault import Doors, coldcopy, rekeyrounds, rekeystate, rooting, snapshots
from labtui.actions.vault.rounds import nonce8
from labtui.actions.vault.wrapping import FieldError, folder, full, root_key, wrapping
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.model import VaultNode
from labtui.screens.page import Page
from labtui.screens.plan import PlanDialog
from labtui.spec import ActionSpec
from labtui.text import inert
from labtui.widgets.lines import Lines

if TYPE_CHECKING:
    from labtui.screens.commands import Commands

FOOT = "enter goes on   tab next field   esc leaves"
Check = Callable[[Mapping[str, str]], Awaitable[object]]


class Field(msgspec.Struct, frozen=True):
    name: str
    label: str
    value: str = ""
    hint: str = ""
    """What stands in the box while nothing is typed."""


SHARES = Field("shares", "shares", "5", "how many are made")
THRESHOLD = Field("threshold", "needed", "3", "how many of them open it")
KEYS = Field("pgp", "holders' keys", "", "public key files, or their folder: one a share")
ROOT_KEY = Field("root_pgp", "root token for", "", "a public key file")
OWNER = Field("pgp", "for", "", "public key file of the one who gets it")
OUT = Field("out", "into folder", "~", "where the wrapped files go")
TO = Field("file", "to", "~", "a new file, or a folder")
FROM = Field("file", "from", "", "a snapshot file")
FORCE = Field("force", "force", "", "yes: though the server has other keys by now")


class Row(Horizontal):
    DEFAULT_CLASSES = "field"

    def __init__(self, field: Field, value: str) -> None:
        super().__init__()
        self._label = field.label
        self.box = Input(value, placeholder=field.hint, select_on_focus=False)
        self.box.cursor_blink = False

    def compose(self) -> ComposeResult:
        label = Lines(classes="label")
        label.set_lines([self._label])
        yield label
        yield self.box


class CeremonyForm(ModalScreen["dict[str, str] | None"]):
    """Ends with what was typed, once it was found good, or None. What is wrong is told below its
    field, and nothing that was typed is lost."""

    DEFAULT_CLASSES = "dialog ceremony"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("down", "app.focus_next", show=False, priority=True),
        Binding("up", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        check: Check,
        kept: dict[str, str],
        words: Sequence[str] = (),
    ) -> None:
        """`kept`: what was typed earlier; what is typed now is put into it. `words`: above it."""
        super().__init__()
        self._title, self._fields, self._check, self._kept = title, fields, check, kept
        self._words = words
        self._busy = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Lines(id="form-title", wrap=True)
            for field in self._fields:
                yield Row(field, self._kept.get(field.name, field.value))
                wrong = Lines(id=f"wrong-{field.name}", wrap=True)
                wrong.display = False
                yield wrong
            yield Lines(id="form-foot", wrap=True)

    def on_mount(self) -> None:
        above = [inert(word, 200) for word in self._words]
        self.query_one("#form-title", Lines).set_lines([[(self._title, "accent")], *above, ""])
        self._foot(FOOT)
        self.set_focus(self.query(Row).first().box)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._busy:
            self._busy = True
            self.run_worker(self._submit(), exit_on_error=False)

    async def _submit(self) -> None:
        rows = zip(self._fields, self.query(Row), strict=True)
        typed = {field.name: row.box.value.strip() for field, row in rows}
        self._kept.update(typed)
        self._foot("looking at it ...")
        self._tell("", "")
        try:
            await self._check(typed)
        except FieldError as error:
            self._tell(error.field, str(error))
        except ActionError as error:
            self._tell(self._fields[-1].name, str(error))
        else:
            self.dismiss(typed)
            return
        finally:
            self._busy = False
        self._foot(FOOT)

    def _tell(self, name: str, text: str) -> None:
        """Below its field, where the cursor goes; the others say nothing."""
        for field, row in zip(self._fields, self.query(Row), strict=True):
            wrong = self.query_one(f"#wrong-{field.name}", Lines)
            wrong.display = field.name == name
            if field.name == name:
                self.set_focus(row.box)  # at once: what is typed next is meant for it
                wrong.set_lines([[(inert(text, 300), "warn")]])

    def _foot(self, text: str) -> None:
        self.query_one("#form-foot", Lines).set_lines(["", [(text, "dim")]])

    def action_leave(self) -> None:
        self.dismiss(None)


class CeremonyCommands:
    """Part of Commands; made when the first of these is used."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._screen = commands.screen
        self._kept: dict[str, dict[str, str]] = {}

    def run(self, id: str) -> None:
        item = self._commands.item
        if not isinstance(item, VaultNode):
            self._screen.say("no row is chosen", "warn")
            return
        course = {
            "vault.init": self._init,
            "vault.rekey": self._rekey,
            "vault.generate-root": self._root,
            "vault.snapshot": self._save,
            "vault.restore": self._restore,
        }[id]
        spec = self._screen.lab.keys.specs[id]
        self._screen.run_worker(self._course(course, spec, item), exit_on_error=False, group="act")

    async def _course(
        self,
        course: Callable[[ActionSpec, VaultNode], Awaitable[None]],
        spec: ActionSpec,
        item: VaultNode,
    ) -> None:
        try:
            await course(spec, item)
        except (ActionError, HolderError) as error:
            self._screen.say(inert(error), "crit")

    @property
    def _doors(self) -> Doors:
        session = self._screen.session
        return Doors(session.config, session.store, session.hosts)

    async def _form(
        self, id: str, title: str, fields: Sequence[Field], check: Check, words: Sequence[str] = ()
    ) -> dict[str, str] | None:
        kept = self._kept.setdefault(id, {})
        form = CeremonyForm(title, fields, check, kept, words)
        return await self._screen.app.push_screen_wait(form)

    async def _init(self, spec: ActionSpec, item: VaultNode) -> None:
        fields = (SHARES, THRESHOLD, KEYS, ROOT_KEY, OUT)
        title = f"Initialise {inert(item.node, 40)}"
        changes = await self._form(spec.id, title, fields, lambda typed: wrapping(typed, root=True))
        if changes is not None:
            await self._plan(spec, item, changes)

    async def _rekey(self, spec: ActionSpec, item: VaultNode) -> None:
        doors, node = self._doors, item.node
        now = await rekeystate.state(doors.door(node))
        if now.get("verifying"):
            await self._commands.acting.give(rekeyrounds.VerifyCeremony(doors, node))
            return
        title = f"Rekey {inert(node, 40)}"
        if not now.get("started"):
            fields = (SHARES, THRESHOLD, KEYS, OUT)
            changes = await self._form(
                spec.id, title, fields, lambda typed: wrapping(typed, root=False)
            )
            if changes is not None:
                await self._plan(spec, item, changes)
            return
        words = [f"one is under way, nonce {nonce8(now['nonce'])}:", *rekeystate.owners(now)]
        chosen = await self._form("vault.rekey.out", title, (OUT,), _folder, words)
        if chosen is not None:
            ceremony = rekeyrounds.RekeyCeremony(doors, node, await folder(chosen["out"]))
            await self._commands.acting.give(ceremony)

    async def _root(self, spec: ActionSpec, item: VaultNode) -> None:
        doors, node = self._doors, item.node
        now = await rooting.state(doors.door(node))
        title = f"Make a root token of {inert(node, 40)}"
        if not now.get("started"):
            changes = await self._form(spec.id, title, (OWNER, OUT), _owner)
            if changes is not None:
                await self._plan(spec, item, changes)
            return
        owner = rooting.owner(now) or "nobody's: it is hidden by a password"
        words = [f"one is being made, nonce {nonce8(now['nonce'])}, for the key", owner]
        chosen = await self._form("vault.generate-root.out", title, (OUT,), _folder, words)
        if chosen is not None:
            ceremony = rooting.RootCeremony(doors, node, await folder(chosen["out"]))
            await self._commands.acting.give(ceremony)

    async def _save(self, spec: ActionSpec, item: VaultNode) -> None:
        item = self._with_storage(item)

        async def check(typed: Mapping[str, str]) -> object:
            return await snapshots.new_file(typed["file"], snapshots.proposed(item.node))

        title = f"Save what {inert(item.node, 40)} stores"
        await self._copy(spec, item, await self._form(spec.id, title, (TO,), check))

    async def _restore(self, spec: ActionSpec, item: VaultNode) -> None:
        item = self._with_storage(item)
        cold = item.storage == "file"

        async def check(typed: Mapping[str, str]) -> None:
            if not typed["file"]:
                raise FieldError("file", "which one: a file")
            path = full(typed["file"])
            try:
                if cold:
                    await asyncio.to_thread(coldcopy.whole, path)
                else:
                    await snapshots.look_into(path)
            except ActionError as error:
                raise FieldError("file", str(error)) from None
            if typed.get("force", "") not in ("", "yes", "no"):
                raise FieldError("force", "yes, or nothing")

        fields = (FROM,) if cold else (FROM, FORCE)
        title = f"Restore what {inert(item.node, 40)} stores"
        await self._copy(spec, item, await self._form(spec.id, title, fields, check))

    def _with_storage(self, item: VaultNode) -> VaultNode:
        """A server that is down does not say; the configuration does."""
        if item.storage is None and item.node in self._screen.session.config.vault.storage:
            return msgspec.structs.replace(item, storage="file")
        return item

    async def _copy(
        self, spec: ActionSpec, item: VaultNode, changes: dict[str, str] | None
    ) -> None:
        if changes is None:
            return
        wanted = spec.secrets(item, self._screen.session.store) if spec.secrets else ()
        if not wanted:
            await self._plan(spec, item, changes)
            return
        async with Keyholder.start() as holder:
            if await self._commands.acting.asked(holder, wanted):
                await self._plan(spec, item, changes, holder)

    async def _plan(
        self,
        spec: ActionSpec,
        item: VaultNode,
        changes: Mapping[str, str],
        holder: Keyholder | None = None,
    ) -> None:
        """The plan; afterwards the shares, or a page with what came of it and what comes next."""
        screen = self._screen
        action = screen.session.action(spec.id, [item], "", changes, holder)
        outcome = await screen.app.push_screen_wait(PlanDialog(action, spec.key))
        if outcome is None:
            return
        screen.say(outcome.message, "ok" if outcome.ok else "crit")
        begun = getattr(action, "ceremony", None)
        if not outcome.ok:
            return
        if begun is not None:
            await self._commands.acting.give(begun)
            return
        said = [inert(line, 400) for line in re.split(r"(?<=[.;]) ", outcome.message)]
        title = f"{spec.words[:1].upper()}{spec.words[1:]}: {inert(item.node, 40)}"
        screen.app.push_screen(Page(title, lambda: ["", *said]))


async def _folder(typed: Mapping[str, str]) -> Any:
    return await folder(typed["out"])


async def _owner(typed: Mapping[str, str]) -> None:
    await root_key(typed, "pgp")
    await folder(typed["out"])
