"""Vault: snapshots and their restore. Raft's through its API; file storage is copied cold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import asked, called
from labtui.actions.vault.coldcopy import ColdCopy, ColdRestore
from labtui.actions.vault.serving import fresh
from labtui.actions.vault.wrapping import FieldError, absent, folder, full
from labtui.keyholder.operations.request import request
from labtui.model import VaultNode
from labtui.sources.raftfile import Snapshot, SnapshotError, inspect
from labtui.spec import Wanted
from labtui.text import age, inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors
    from labtui.keyholder.operation import Door, Params, Result, Secrets

SETTLED = 30.0
"""Seconds that a server is given to come to rest after a restore; it took 9 s here."""
SAVES = Wanted("token", "token", "a token that may read sys/storage/raft/snapshot")
RESTORES = Wanted("token", "token", "a token that may update sys/storage/raft/snapshot")


async def active_of(doors: Doors, node: str) -> tuple[str, VaultNode]:
    """The server that answers for raft: this one, or the active one of its set. Raises
    ActionError where it is sealed, or the active one is not in [vault.nodes]."""
    now = await fresh(doors.config, node)
    if now.state == "active":
        return node, now
    if now.state != "standby":
        raise ActionError(f"{node} is {now.state}: only an unsealed server has a snapshot")
    for name, address in doors.config.vault.nodes.items():
        if name != node and now.leader and address.rstrip("/") == now.leader.rstrip("/"):
            return name, await fresh(doors.config, name)
    for name in doors.config.vault.nodes:
        try:
            other = await fresh(doors.config, name)
        except ActionError:
            continue
        if other.state == "active" and other.cluster_id == now.cluster_id:
            return name, other
    raise ActionError(f"{node} is a standby, and its active server is not in [vault.nodes]")


def proposed(node: str, now: float | None = None) -> str:
    return f"{node}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}.snap"


def leader(door: Door, secrets: Secrets, params: Params) -> Result:
    """sys/leader, which tells raft's index without a token."""
    return request(door, "get", "sys/leader")


class SaveSnapshot(Action):
    id = "vault.snapshot"
    run_timeout = 700.0

    def __init__(self, doors: Doors, node: str, file: str) -> None:
        self._doors, self._node, self._file = doors, node, file
        self._holder = doors.need_holder()
        self._path = Path()
        self._from = node

    async def plan(self) -> Plan:
        self._from, now = await active_of(self._doors, self._node)
        needs_raft(now)
        self._path = await new_file(self._file, proposed(self._node))
        goes = () if self._from == self._node else (
            f"{self._node} is a standby: the active one, {self._from}, is asked",)  # fmt: skip
        return Plan(
            title=f"Save a snapshot of {self._from}",
            targets=(self._from,),
            steps=(
                Step(self._from, "GET /v1/sys/storage/raft/snapshot"),
                Step("this machine", f"write {self._path} (0600), check its SHA256SUMS"),
            ),
            risks=(
                *goes,
                "it opens only with the shares that are valid today: keep those of today as long",
                "who has it and enough shares has every secret: keep the two apart",
            ),
            undo=f"delete {self._path.name}",
        )

    async def run(self, progress: Progress) -> None:
        try:
            door = self._doors.door(self._from)
            await called(self._holder, "raft.save", door, path=str(self._path))
        finally:
            for part in self._path.parent.glob(f".{self._path.name}.part-*"):
                part.unlink(missing_ok=True)  # of a keyholder that was ended half way

    async def verify(self) -> Outcome:
        kept = await look_into(self._path)
        return Outcome(
            "done",
            f"{self._from}: snapshot in {inert(self._path, 120)}: {described(kept)}",
            {"path": str(self._path), "index": str(kept.index), "sha256": kept.sha256},
        )


class RestoreSnapshot(Action):
    """What Vault stores now is replaced, its keys and policies and tokens with it."""

    id = "vault.restore"
    run_timeout = 700.0

    def __init__(self, doors: Doors, node: str, file: str, force: bool) -> None:
        self._doors, self._node, self._force = doors, node, force
        self._path = full(file) if file.strip() else Path()
        self._holder = doors.need_holder()
        self._on = node
        self._answered = False

    async def plan(self) -> Plan:
        if self._path == Path():
            raise FieldError("file", "which snapshot is to be restored: a file")
        self._on, now = await active_of(self._doors, self._node)
        needs_raft(now)
        try:
            kept = await look_into(self._path)
        except ActionError as error:
            raise FieldError("file", str(error)) from None
        index = (await asked(self._doors.door(self._on), leader)).get("raft_committed_index")
        goes = () if self._on == self._node else (
            f"{self._node} is a standby: the active one, {self._on}, takes it",)  # fmt: skip
        call = "snapshot-force" if self._force else "snapshot"
        return Plan(
            title=f"Restore {self._path.name} on {self._on}",
            targets=(self._on,),
            steps=(Step(self._on, f"POST /v1/sys/storage/raft/{call} < {self._path}"),),
            risks=(
                f"everything written since is lost: {lost(kept, index)}",
                "tokens, leases, policies and secrets are those of that time; a token made since "
                "is gone, this one too if it was",
                *goes,
                *(_FORCE if self._force else ()),
            ),
            undo="none: save a snapshot of what is there now first (labtui vault snapshot)",
            dangerous=True,
            confirm_word=self._on,
            preview=described(kept),
        )

    async def run(self, progress: Progress) -> None:
        progress("sending; the server answers when it has taken it")
        try:
            await called(
                self._holder, "raft.restore", self._doors.door(self._on),
                path=str(self._path), force=self._force,
            )  # fmt: skip
        except ActionError as error:
            if "snapshot-force" in str(error):
                raise ActionError(
                    f"{self._on} has other shares than this snapshot: another init, or a rekey "
                    "since. Nothing was changed. --force restores it all the same; then it opens "
                    "with the shares of the snapshot's time, and may be sealed at once"
                ) from None
            raise
        self._answered = True

    async def verify(self) -> Outcome:
        now = await self._rest()
        node = self._on
        taken = f"{node}: restored" if self._answered else (
            f"{node}: no answer came, so it is not known whether it was restored")  # fmt: skip
        kind: Any = "done" if self._answered else "unknown"
        if now is None:
            return Outcome("unknown", f"{taken}; it is not at rest yet: look at it again")
        shares = f"the shares that were valid then, {now.threshold} of {now.shares}"
        if now.sealed:
            others = [name for name in self._doors.config.vault.nodes if name != node]
            too = f"; then each of {', '.join(others)}, which have it too" if others else ""
            return Outcome(
                kind,
                f"{taken}, and sealed: it opens with {shares} (labtui vault unseal {node}){too}",
            )
        return Outcome(
            kind,
            f"{taken}, and {now.state}: it goes on without a break; when it is sealed it opens "
            f"with {shares}. Tokens made since are gone: agents log in again",
        )

    async def _rest(self) -> VaultNode | None:
        """Once it says the same sealed or active twice, a second apart."""
        end, before = time.monotonic() + SETTLED, None
        while time.monotonic() < end:
            try:
                now: VaultNode | None = await fresh(self._doors.config, self._on)
            except ActionError:
                now = None
            rests = now is not None and now.state in ("sealed", "active", "standby")
            if rests and before is not None and now is not None and now.state == before.state:
                return now
            before = now if rests else None
            await asyncio.sleep(1.0)
        return None


_FORCE = (
    "force: the server's keys are not compared with the snapshot's; where they differ it may be "
    "sealed at once, today's shares open nothing more, and those of the snapshot's time are needed",
)


async def new_file(text: str, name: str) -> Path:
    """Where a copy goes: a file that is not there, or a folder, in which it gets `name`. Raises
    FieldError."""
    path = full(text or ".")
    if await asyncio.to_thread(path.is_dir):
        path = path / name
    await folder(str(path.parent), "file")
    absent(path.parent, [path.name], "file")
    return path


async def look_into(path: Path) -> Snapshot:
    try:
        return await asyncio.to_thread(inspect, str(path))
    except SnapshotError as error:
        raise ActionError(str(error)) from None


def described(kept: Snapshot) -> str:
    old = "" if kept.taken_at is None else f", {age(max(0.0, time.time() - kept.taken_at))} old"
    servers = ", ".join(kept.servers) or "nobody"
    return (
        f"{kept.size:,} bytes{old}, index {kept.index}, term {kept.term}, of {servers}, "
        f"SHA-256 {kept.sha256[:12]}"
    )


def lost(kept: Snapshot, index: Any) -> str:
    """How much that is, as far as the numbers tell."""
    old = "" if kept.taken_at is None else f" {age(max(0.0, time.time() - kept.taken_at))} of it"
    if not isinstance(index, int) or isinstance(index, bool):
        return f"all since index {kept.index},{old or ' how long is not known'}"
    if index == kept.index:
        return f"nothing, both are at index {index}"
    if index < kept.index:
        return (
            f"this server is at index {index}, the snapshot at {kept.index}: it is of another "
            "Vault, or this one began anew"
        )
    return f"index {kept.index} to {index},{old or ' how long is not known'}"


def needs_raft(now: VaultNode) -> None:
    if now.storage not in (None, "raft"):
        raise ActionError(
            f"{now.node} keeps its data in {inert(now.storage, 20)} storage: only raft has "
            "snapshots; copy it with that storage's own means"
        )


def saves(node: VaultNode, store: object) -> tuple[Wanted, ...]:
    return () if node.storage == "file" else (SAVES,)


def restores(node: VaultNode, store: object) -> tuple[Wanted, ...]:
    return () if node.storage == "file" else (RESTORES,)


def cannot_save(node: VaultNode) -> str | None:
    if node.storage == "file":
        return None  # it is copied while it is stopped
    if node.state in ("sealed", "unsealing"):
        return "it is sealed: unseal it first"
    return "it is not initialised: init comes first" if node.state == "uninitialised" else None


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str], doors: Doors
) -> Action | None:
    """None where the id is not one of these. `changes`: file, force."""
    if id not in ("vault.snapshot", "vault.restore"):
        return None
    node, file = items[0].node, changes.get("file", answer)
    if items[0].storage == "file":
        if id == "vault.snapshot":
            return ColdCopy(doors, node, file)
        return ColdRestore(doors, node, file)
    if id == "vault.snapshot":
        return SaveSnapshot(doors, node, file)
    return RestoreSnapshot(doors, node, file, changes.get("force", "") in ("yes", "true", "1"))
