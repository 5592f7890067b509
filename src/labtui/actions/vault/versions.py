"""A new version of a secret: rotated or rolled back, then watched until every node has it."""

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.actions.vault.arrival import EVERY, LONGEST, WAIT, Arrival, Reporter, named, short
from labtui.actions.vault.asking import called
from labtui.actions.vault.serving import serving
from labtui.config import SecretConfig, VaultConfig
from labtui.keyholder.operation import Door
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

HIDDEN = "(the value, not shown)"


class Chosen(msgspec.Struct, frozen=True):
    """The secret that is meant."""

    name: str
    """In [vault.secrets]; empty where it is not one of them."""
    path: str
    field: str
    file: str = ""

    @property
    def words(self) -> str:
        return inert(self.name or self.path, 80)


def chosen(config: VaultConfig, text: str, field: str = "") -> Chosen:
    """By its name in [vault.secrets] or by its path in Vault. Raises ActionError."""
    text = text.strip()
    if text in config.secrets:
        return _of(text, config.secrets[text], field)
    path = text.strip("/")
    named = [(n, s) for n, s in config.secrets.items() if s.path.strip("/") == path]
    if field:
        named = [(n, s) for n, s in named if s.field == field]
    if len(named) == 1:
        return _of(*named[0], field)
    if len(named) > 1:
        there = ", ".join(f"{inert(n, 40)} ({inert(s.field, 40)})" for n, s in named)
        raise ActionError(f"several secrets are at {inert(path, 80)}: {there}: name one of them")
    if "/" not in path:
        known = ", ".join(inert(n, 40) for n in config.secrets) or "none is configured"
        raise ActionError(f"no secret is called {inert(text, 60)!r} in [vault.secrets]: {known}; "
                          "or give its path, as secret/ngc")  # fmt: skip
    if not field:
        raise ActionError(f"{inert(path, 80)} is not in [vault.secrets]: say which field of it "
                          "(--field)")  # fmt: skip
    return Chosen("", path, field)


def _of(name: str, secret: SecretConfig, field: str) -> Chosen:
    if not secret.path:
        raise ActionError(f"[vault.secrets.{inert(name, 40)}] has no path")
    if field and field != secret.field:
        raise ActionError(f"{inert(name, 40)} is the field {inert(secret.field, 40)} of "
                          f"{inert(secret.path, 80)}, not {inert(field, 40)}")  # fmt: skip
    return Chosen(name, secret.path.strip("/"), secret.field, secret.file or f"/run/secrets/{name}")


def wait_of(text: str) -> float:
    """Seconds to watch. Raises ActionError."""
    if not text:
        return WAIT
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST:
        raise ActionError(f"{inert(text, 20)} s to wait: 0 to {LONGEST:.0f}")
    return seconds


class NewVersion(Action):
    """What both have in common. The salt is new with each, so hashes tell nothing elsewhere."""

    evidence = True

    def __init__(
        self,
        doors: Doors,
        secret: Chosen,
        reporter: Reporter | None,
        *,
        wait: float = WAIT,
        every: float = EVERY,
        grace: float | None = None,
        exact: bool = False,
    ) -> None:
        """`exact`: white space at the value's ends is a part of it."""
        self.doors, self.secret = doors, secret
        self.salt = secrets.token_hex(32)
        self.exact = exact
        nodes = doors.config.vault.agents if secret.name and reporter else ()
        more = {} if grace is None else {"grace": grace}
        self.arrival = Arrival(
            reporter, nodes, secret.name, self.salt, wait=wait, every=every, **more
        ) if reporter else None  # fmt: skip
        self.run_timeout = min(wait, LONGEST) + 90.0
        self.door: Door | None = None
        self.seen: Mapping[str, Any] = {}
        """What `secret.look` told for the plan."""
        self.written: Mapping[str, Any] | None = None
        """What the write told, or what was found of it afterwards."""

    # What the two do differently

    @abstractmethod
    def expected(self) -> Plan:
        """The plan, from `seen`; risks and undo are added to it."""

    @abstractmethod
    async def write(self) -> Mapping[str, Any]:
        """Raises ActionError, Unknown."""

    @abstractmethod
    def is_there(self, now: Mapping[str, Any]) -> bool:
        """What `secret.look` tells now is what was to be written."""

    def more(self) -> dict[str, Any]:
        """Parameters of `secret.look` for the plan."""
        return {}

    # The action

    def at(self, **more: Any) -> dict[str, Any]:
        return {"path": self.secret.path, "field": self.secret.field, "salt": self.salt,
                "exact": self.exact, **more}  # fmt: skip

    async def plan(self) -> Plan:
        holder = self.doors.need_holder()
        self.door = await serving(self.doors)
        try:
            self.seen = await called(holder, "secret.look", self.door, **self.at(**self.more()))
        except Unknown as error:
            raise ActionError(f"{error}; nothing was sent", "timeout") from None
        if self.arrival:
            await self.arrival.before()
        plan = self.expected()
        return Plan(
            title=plan.title,
            targets=plan.targets,
            steps=(*plan.steps, *self._watching()),
            risks=(*self._nodes_risks(), *plan.risks, *self._holders()),
            undo=plan.undo,
        )

    def _watching(self) -> tuple[Step, ...]:
        if not self.arrival or not self.arrival.nodes:
            return ()
        nodes = named(n.node for n in self.arrival.nodes)
        what = f"look at the salted hash of {inert(self.secret.file, 100)} until it is the new one"
        return (Step(nodes, what),)

    def _nodes_risks(self) -> tuple[str, ...]:
        if not self.arrival or not self.arrival.nodes:
            why = ("it is not in [vault.secrets]" if not self.secret.name
                   else "[vault] agents names no node")  # fmt: skip
            return (f"no node's file is watched: {why}",)
        return tuple(
            f"{inert(n.node, 60)} will not have it until that is mended: {n.words}"
            for n in self.arrival.nodes
            if n.hopeless
        )

    def _holders(self) -> tuple[str, ...]:
        return (
            "what was started or logged in with the value of now keeps it: containers, jobs, "
            "registries; they are named afterwards",
        )

    async def run(self, progress: Progress) -> None:
        try:
            self.written = await self.write()
        except Unknown as error:
            progress(f"{inert(error)}: reading the secret again")
            now = await self._look()
            if not self.is_there(now):
                raise Unknown(str(error)) from None
            self.written = {"version": now["version"], "before": self.seen["version"],
                            "digest": now["digest"],
                            "digest_before": self.seen["digest"]}  # fmt: skip
        version = self.written["version"]
        progress(f"version {version} of {self.place} is written")
        if self.arrival and self.arrival.nodes:
            await self.arrival.watch(self.written["digest"], time.monotonic(), progress)

    async def _look(self) -> Mapping[str, Any]:
        if self.door is None:
            raise ActionError("there is no plan yet")
        try:
            return await called(self.doors.need_holder(), "secret.look", self.door, **self.at())
        except ActionError as error:
            raise Unknown(str(error)) from None

    async def verify(self) -> Outcome:
        try:
            now = await self._look()
        except Unknown as error:
            raise ActionError(str(error)) from None
        details = {
            "secret": self.secret.name, "path": self.place, "field": self.secret.field,
            "version": str(now["version"]), "before": str(self.seen["version"]),
            "hash_before": short(self.seen["digest"]), "hash": short(now["digest"]),
        }  # fmt: skip
        if self.written is None and not self.is_there(now):
            text = f"{self.place} is at version {now['version']} still: nothing was written"
            return Outcome("failed", text, details)
        version = self.written["version"] if self.written else now["version"]
        digest = self.written["digest"] if self.written else now["digest"]
        if self.arrival:
            await self.arrival.again(digest)
            details |= self.arrival.evidence()
        said = [f"version {version} of {self.place} is written"]
        if now["version"] != version:
            said.append(f"but version {now['version']} is the newest: somebody wrote after it")
        said.append(self.arrival.summary() if self.arrival else "no node's file is watched")
        if self.arrival and (holders := self.arrival.holders()):
            said.append(holders)
        fine = now["version"] == version and not (self.arrival and self.arrival.without)
        return Outcome("done" if fine else "failed", "; ".join(said), details)

    def interrupted(self) -> str:
        if self.written is None:
            return super().interrupted()
        had = self.arrival.summary() if self.arrival else ""
        return f"broken off; version {self.written['version']} of {self.place} is written; {had}"

    @property
    def place(self) -> str:
        mount, path = self.seen.get("mount"), self.seen.get("path")
        return inert(f"{mount}/{path}" if path else self.secret.path, 100)

    def call_words(self, value: str) -> str:
        """The request as it will be sent, nothing secret in it."""
        mount, path, field = self.seen["mount"], self.seen["path"], self.secret.field
        others = "".join(f', "{name}": (as it is)' for name in self.seen["others"])
        return inert(
            f'POST /v1/{mount}/data/{path} {{"data": {{"{field}": {value}{others}}}, '
            f'"options": {{"cas": {self.seen["version"]}}}}}',
            400,
        )
