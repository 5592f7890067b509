"""A machine whose commands answer what a test says, and a Slurm of a few jobs on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import PurePosixPath

from labtui.hosts.base import Completed, HostError
from labtui.slurm.polling import FREE, LEAD, PLAIN, USED, Marks

Answer = tuple[int, str, str]
Reply = Callable[[list[str], str], "Answer | None"]


class ScriptedHost:
    """`reply(argv, stdin)` -> (rc, stdout, stderr); None: it never answers."""

    name = "login"

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.seen: list[list[str]] = []
        self.cancelled = 0

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes | None = None,
        timeout: float,
        user: str | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        full = ["sudo", *argv] if user else list(argv)
        self.seen.append(full)
        answer = self.reply(bare(full), stdin if isinstance(stdin, str) else "")
        if answer is None:
            try:
                await asyncio.sleep(timeout)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            raise HostError("timeout", "no answer", self.name)
        rc, out, err = answer
        if sink is not None:
            sink(out.encode("utf-8", "surrogateescape"))
            out = ""
        return Completed(tuple(full), rc, out, err, 0.01)

    def stream(self, argv: Sequence[str]) -> AsyncIterator[str]:
        raise NotImplementedError

    async def put(self, data: bytes, path: PurePosixPath | str, *, mode: int = 0o644) -> None:
        raise NotImplementedError

    async def get(self, path: PurePosixPath | str, *, limit: int = 1 << 20) -> bytes:
        raise NotImplementedError

    def shell_argv(self) -> list[str]:
        raise NotImplementedError

    async def close(self) -> None:
        return

    @property
    def commands(self) -> list[list[str]]:
        """What was run, without `timeout` and `env`."""
        return [bare(argv) for argv in self.seen]


def bare(argv: Sequence[str]) -> list[str]:
    rest = list(argv)
    sudo = rest[:1] == ["sudo"]
    rest = rest[1:] if sudo else rest
    if rest[:1] == ["timeout"]:
        rest = rest[4:]
    if rest[:1] == ["env"]:
        rest = rest[1:]
        while rest[0] == "-u" or "=" in rest[0]:
            rest = rest[2:] if rest[0] == "-u" else rest[1:]
    return ["sudo", *rest] if sudo else rest


PENDING = {
    "JobArrayID": "7", "JobID": "7", "ArrayJobID": "7", "ArrayTaskID": "N/A", "State": "PENDING",
    "UserName": "ana", "Partition": "gpu", "NumCPUs": "8", "NumNodes": "1",
    "SubmitTime": "1795471076", "StartTime": "N/A", "EndTime": "N/A", "TimeLimit": "4:00:00",
    "TimeUsed": "0:00", "exit_code": "0", "PriorityLong": "4294901759", "QOS": "normal",
    "Account": "research", "tres-alloc": "cpu=8,mem=48G,node=1,billing=8,gres/gpu=2",
    "tres-per-node": "gres:gpu:2", "tres-per-job": "N/A", "NodeList": "",
    "Reason": "Resources", "Dependency": "(null)", "STDOUT": "/home/ana/slurm-7.out",
    "STDERR": "(null)", "WorkDir": "/home/ana", "Comment": "(null)", "Name": "llama-lora",
}  # fmt: skip


def record(marks: Marks, **changes: str) -> str:
    """One job as squeue prints it for our format, newline included."""
    of = dict(PENDING)
    for key, value in changes.items():
        of[key.replace("_", "-") if key.startswith("tres") else key] = value
    lead, plain = ("\x1f".join(of[name] for name in names) for names in (LEAD, PLAIN))
    rest = (of[name] for name in (*FREE, USED))
    return marks.text.join([lead, plain, *rest]) + marks.end + "\n"


def marks_of(argv: Sequence[str]) -> Marks:
    """The marks that a squeue command asked for."""
    asked = argv[list(argv).index("-O") + 1]
    return Marks(asked.rsplit("\x1e~", 1)[1])
