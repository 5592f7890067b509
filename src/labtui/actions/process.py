"""Ending a process that no scheduler knows: only that very one, told by its start."""

from __future__ import annotations

import asyncio
import re
import shlex
import time

import msgspec

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.hosts.base import Host, HostError
from labtui.hosts.command import as_user
from labtui.sources import processes
from labtui.text import inert

ANSWER = 8.0
"""Seconds that one look at a machine may take."""
SETTLE = 10.0
"""Seconds until a process that was told to end counts as one that does not."""
STEP = 0.5
# sh -c SCRIPT labtui PID
SCRIPT = (
    "LC_ALL=C; export LC_ALL\n"
    + processes.SCRIPT
    + """
echo "me $(id -u)"
owners "$1"
"""
)
NEAR = 3.0
"""Seconds by which two tellings of one start may differ: the clock is corrected now and then."""


class Process(msgspec.Struct, frozen=True):
    """One process, as /proc has it: the same pid with another start is another process."""

    start: str
    """In ticks since the boot."""
    since: float
    """Unix seconds."""
    name: str
    user: str
    mine: bool
    """The account that labtui comes as may signal it."""
    owner: str
    """`job 1431`, `a pod`; empty where no scheduler knows it."""


async def look(host: Host, pid: int) -> Process | None:
    """None: there is no such process (any more). Raises ActionError, HostError."""
    done = await host.run(["sh", "-c", SCRIPT, "labtui", str(pid)], timeout=ANSWER)
    me = re.search(r"^me (\d+)$", done.stdout, re.MULTILINE)
    if me is None:
        said = inert(done.stderr.strip() or done.stdout.strip(), 80)
        raise ActionError(f"{host.name}: it answered something else: {said or 'nothing'}")
    known, boot, users = processes.parse(done.stdout)
    facts = known.get(pid)
    if facts is None or facts.status is None:
        return None
    state, *numbers = facts.stat.rpartition(")")[2].split() or ("",)
    since = processes.started(facts.stat, boot)
    if state in ("", "Z", "X") or since is None:
        return None
    uid = facts.status.uid
    whose = processes.owner(facts.cgroup, facts.parents)
    owner = f"job {whose['job_id']}" if "job_id" in whose else "a pod" if whose else ""
    return Process(
        start=numbers[18], since=since, name=facts.status.name,
        user=inert(users.get(uid, str(uid)), 64), mine=me[1] in ("0", str(uid)), owner=owner,
    )  # fmt: skip


class EndProcess(Action):
    """SIGTERM to a process that neither Slurm nor Kubernetes knows."""

    id = "processes.cancel"

    def __init__(
        self,
        host: Host,
        node: str,
        pid: int,
        *,
        since: float | None = None,
        settle: float = SETTLE,
    ) -> None:
        """`since`: unix seconds of its start, as the person saw it."""
        if pid < 2:
            raise ActionError(f"{inert(node, 60)}: pid {pid} is not for ending")
        self.host, self.node, self.pid = host, node, pid
        self.since = since
        self.settle = settle
        self._found: Process | None = None

    async def plan(self) -> Plan:
        found = await look(self.host, self.pid)
        what = f"process {self.pid} on {inert(self.node, 60)}"
        if found is None:
            raise ActionError(f"{what}: it is gone, or hidden from this account")
        if self.since is not None and abs(found.since - self.since) > NEAR:
            raise ActionError(
                f"{what}: the one that was shown has ended, {found.name} of {found.user} has its "
                "pid now"
            )
        if found.owner:
            raise ActionError(f"{what}: it is of {found.owner}: cancel that instead")
        self._found = found
        argv = ["kill", "-TERM", str(self.pid)]
        return Plan(
            title=f"End {what}: {found.name} of {found.user}",
            targets=(f"{inert(self.node, 60)} pid {self.pid} {found.name} of {found.user}",),
            steps=(
                Step(self.host.name, shlex.join(as_user(argv, None if found.mine else "root"))),
            ),
            risks=(
                "no scheduler knows it: nobody starts it again, and its owner is not told",
                "what it has not written to disk is lost",
            ),
            undo="none",
            dangerous=True,
            confirm_word=found.name,
        )

    async def run(self, progress: Progress) -> None:
        before = self._found
        now = await look(self.host, self.pid)
        if before is None or now is None or (now.start, now.name) != (before.start, before.name):
            raise ActionError(f"pid {self.pid} is not the same process any more; nothing was sent")
        argv = ["kill", "-TERM", str(self.pid)]
        try:
            done = await self.host.run(argv, timeout=ANSWER, user=None if now.mine else "root")
        except HostError as error:
            if error.kind == "timeout":
                raise Unknown(error.message) from None
            if error.kind == "permission":
                raise ActionError(
                    f"{self.host.name}: it belongs to {now.user}, and sudo does not let this "
                    "account signal it"
                ) from None
            raise
        if done.rc and "o such process" not in done.stderr:
            raise ActionError(f"{self.host.name}: kill: {inert(done.stderr.strip(), 160)}")
        progress("sent; waiting until it is gone")

    async def verify(self) -> Outcome:
        before = self._found
        deadline = time.monotonic() + self.settle
        what = f"process {self.pid} {before.name if before else ''}".rstrip()
        details = {"node": self.node, "pid": str(self.pid)}
        while True:
            now = await look(self.host, self.pid)
            if now is None or before is None or now.start != before.start:
                return Outcome("done", f"{what} has ended", details)
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(STEP)
        text = (
            f"{what} still runs {self.settle:.0f} s after SIGTERM: it may be ending, or ignore it"
        )
        return Outcome("failed", text, details)
