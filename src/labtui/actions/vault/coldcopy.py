"""File storage has no snapshots: its folder is copied, and put back, while Vault is stopped.

The guide's Vault is one container with file storage: Appendix D, scenario 1. A copy of a folder
that Vault still writes to may be none that it can open.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.wrapping import FieldError, absent, folder, full
from labtui.collectors.vault import standing
from labtui.hosts.base import Host, HostError
from labtui.model import VaultNode
from labtui.sources.base import SourceError
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors
    from labtui.config import StorageConfig

STEP, COPY = 60.0, 600.0
"""Seconds for stopping, starting and renaming; for the copy itself."""
LIMIT = 256 << 20
"""Bytes of a copy that is put back: it is held whole while it is sent."""
UP = 30.0
"""Seconds until it has to answer again."""
NEEDED = frozenset({"core/_keyring", "core/_seal-config"})
"""Without these a folder is none of Vault's file storage."""
OF_RAFT = frozenset({"vault.db", "raft/raft.db"})
"""What raft's folder has: of a set with one server it can be copied cold as well."""


class Cold(Action):
    """Stops it, does something with its folder, starts it: whatever happens in between."""

    run_timeout = COPY + 4 * STEP

    def __init__(self, doors: Doors, node: str, file: str) -> None:
        self._doors, self._node, self._file = doors, node, file
        self._path = Path()
        self._new = self._before = ""

    def place(self) -> tuple[Host, StorageConfig]:
        """Raises ActionError, with what to do by hand where the configuration does not tell."""
        where = self._doors.config.vault.storage.get(self._node)
        host = self._doors.hosts.get(self._node)
        if where is None or host is None:
            raise ActionError(self.by_hand())
        return host, where

    def by_hand(self) -> str:
        raise NotImplementedError

    async def sent(self, argv: Sequence[str], timeout: float = STEP, **how: object) -> None:
        host, where = self.place()
        user = "root" if where.sudo else None
        done = await host.run(list(argv), timeout=timeout, user=user, **how)  # type: ignore[arg-type]
        if done.rc:
            said = inert(done.stderr.strip() or f"ended with {done.rc}", 160)
            raise ActionError(f"{self._node}: {inert(argv[0], 40)}: {said}")

    async def run(self, progress: Progress) -> None:
        _, where = self.place()
        progress("stopping")
        try:
            await self.sent(where.stop)
            await self.between(progress)
        finally:
            progress("starting")
            await asyncio.shield(self.sent(where.start))

    async def between(self, progress: Progress) -> None:
        raise NotImplementedError

    async def answers(self) -> VaultNode | None:
        end = time.monotonic() + UP
        while time.monotonic() < end:
            try:
                now = await standing(self._doors.config, self._node)
            except SourceError:
                now = None
            if now is not None and now.state in ("sealed", "active", "standby"):
                return now
            await asyncio.sleep(0.5)
        return None


class ColdCopy(Cold):
    id = "vault.snapshot"

    def by_hand(self) -> str:
        return (
            f"{self._node} keeps its data in files, which are copied while it is stopped: name "
            f"data, stop and start in [vault.storage.{self._node}]. By hand, there: docker compose "
            f"stop vault; tar -C DATA -czf {self._node}.tar.gz . ; docker compose start vault; "
            "then unseal it"
        )

    async def plan(self) -> Plan:
        _, where = self.place()
        path = full(self._file or ".")
        if await asyncio.to_thread(path.is_dir):
            path = path / f"{self._node}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
        await folder(str(path.parent), "file")
        absent(path.parent, [path.name], "file")
        self._path = path
        return Plan(
            title=f"Stop {self._node} and copy its data",
            targets=(self._node,),
            steps=(
                Step(self._node, " ".join(where.stop)),
                Step(self._node, f"tar -C {where.data} -czf - ."),
                Step("this machine", f"write {path} (0600)"),
                Step(self._node, " ".join(where.start)),
            ),
            risks=(
                f"{self._node} is sealed afterwards: have the holders of enough shares here",
                "while it is stopped new needs for secrets fail; what agents wrote stays",
                "who has the copy and enough shares has every secret: keep the two apart",
            ),
            undo="none is needed: unseal it",
            dangerous=True,
            confirm_word=self._node,
        )

    async def between(self, progress: Progress) -> None:
        _, where = self.place()
        part = self._path.with_name(f".{self._path.name}.part")
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                failed: list[OSError] = []

                def sink(data: bytes) -> None:
                    try:
                        file.write(data)
                    except OSError as error:
                        failed.append(error)

                progress("copying")
                await self.sent(["tar", "-C", where.data, "-czf", "-", "."], COPY, sink=sink)
                if not failed:
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
            if failed:
                raise ActionError(f"{inert(self._path, 120)}: {failed[0].strerror}")
            await asyncio.to_thread(whole, part)
            part.rename(self._path)
        finally:
            part.unlink(missing_ok=True)

    async def verify(self) -> Outcome:
        try:
            count = await asyncio.to_thread(whole, self._path)
        except ActionError as error:
            return Outcome("failed", str(error))
        now = await self.answers()
        kept = f"{self._node}: {count} files of its storage in {inert(self._path, 120)}"
        details = {"path": str(self._path)}
        if now is None:
            return Outcome("failed", f"{kept}, but it does not answer: start it by hand", details)
        return Outcome(
            "done", f"{kept}; it is {now.state}: labtui vault unseal {self._node}", details
        )


class ColdRestore(Cold):
    id = "vault.restore"

    def by_hand(self) -> str:
        return (
            f"{self._node} keeps its data in files, which are put back while it is stopped: name "
            f"data, stop and start in [vault.storage.{self._node}]. By hand, there: docker compose "
            "stop vault; mv DATA DATA.before; mkdir DATA; tar -C DATA -xzpf COPY; docker compose "
            "start vault; then unseal it with the shares of that time"
        )

    async def plan(self) -> Plan:
        _, where = self.place()
        if not self._file.strip():
            raise FieldError("file", "which copy is to be put back: a file")
        self._path = full(self._file)
        try:
            count = await asyncio.to_thread(whole, self._path)
        except ActionError as error:
            raise FieldError("file", str(error)) from None
        kept = await asyncio.to_thread(self._path.stat)
        if kept.st_size > LIMIT:
            raise FieldError("file", f"larger than {LIMIT >> 20} MiB: {self.by_hand()}")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        data = where.data.rstrip("/")
        self._new, self._before = f"{data}.new-{stamp}", f"{data}.before-{stamp}"
        return Plan(
            title=f"Put {self._path.name} in the place of the data of {self._node}",
            targets=(self._node,),
            steps=(
                Step(self._node, " ".join(where.stop)),
                Step(self._node, f"mkdir {self._new}"),
                Step(self._node, f"tar -C {self._new} -xzpf - < {self._path}"),
                Step(self._node, f"mv {where.data} {self._before}"),
                Step(self._node, f"mv {self._new} {where.data}"),
                Step(self._node, " ".join(where.start)),
            ),
            risks=(
                f"everything written since "
                f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(kept.st_mtime))} is lost",
                f"{self._node} is sealed afterwards, and opens with the shares of that time",
            ),
            undo=f"stop it, move {self._before} back, start it",
            dangerous=True,
            confirm_word=self._node,
            preview=f"{kept.st_size:,} bytes, {count} files",
        )

    async def between(self, progress: Progress) -> None:
        _, where = self.place()
        data = await asyncio.to_thread(self._path.read_bytes)
        await self.sent(["mkdir", "--", self._new])
        progress("unpacking")
        await self.sent(["tar", "-C", self._new, "-xzpf", "-"], COPY, stdin=data)
        await self.sent(["mv", "--", where.data, self._before])
        try:
            await self.sent(["mv", "--", self._new, where.data])
        except (ActionError, HostError):
            await self.sent(["mv", "--", self._before, where.data])
            raise

    async def verify(self) -> Outcome:
        now = await self.answers()
        if now is None:
            return Outcome(
                "failed",
                f"{self._node} does not answer: start it by hand; its data of before are in "
                f"{inert(self._before, 120)}",
            )
        return Outcome(
            "done",
            f"{self._node}: the copy is in place, it is {now.state}: it opens with the shares of "
            f"that time (labtui vault unseal {self._node}); what was there is in "
            f"{inert(self._before, 120)}",
        )


def whole(path: Path) -> int:
    """Files in a copy that is one of Vault's storage. Blocking. Raises ActionError."""
    name = inert(path, 120)
    files: set[str] = set()
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                plain = member.name.removeprefix("./")
                if plain.startswith("/") or ".." in plain.split("/"):
                    raise ActionError(f"{name}: {inert(plain, 60)} leads out of its folder")
                if member.isfile():
                    files.add(plain)
                elif not member.isdir():
                    raise ActionError(f"{name}: {inert(plain, 60)} is no plain file")
    except (tarfile.TarError, EOFError) as error:
        raise ActionError(f"{name}: not a whole copy ({inert(error, 80)})") from None
    except OSError as error:
        raise ActionError(f"{name}: cannot be read: {error.strerror or error}") from None
    missing = NEEDED - files
    if missing and OF_RAFT - files:
        raise ActionError(f"{name}: no copy of Vault's file storage: {min(missing)} is not in it")
    return len(files)
