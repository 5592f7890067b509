"""Slurm through its own commands, on a login node reached by any transport."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

from labtui.hosts.base import Host
from labtui.hosts.early import EarlyHost
from labtui.model import Job, Node
from labtui.slurm import efficiency, polling, scontrol, values
from labtui.slurm.allocations import allocations
from labtui.slurm.argv import exact_id, submit_argv, whole_id
from labtui.slurm.commands import READ_ENV, Commands, limited
from labtui.slurm.errors import RPCError, error_of
from labtui.slurm.joblist import Book, JobList
from labtui.slurm.linebook import LineBook
from labtui.slurm.past import Past, PastBook, Seen
from labtui.slurm.script import TOKEN_PREFIX
from labtui.slurm.types import Allocation, Estimate, Partition
from labtui.slurm.urgency import FINISHED

JSON_MOST = 2000
"""Jobs up to which a listing of all of them as JSON is bearable."""

_ENDED = "CA,CD,DL,F,NF,OOM,PR,TO,BF"
HOLDING = "R,S,CG,CF,ST,SI,RS"
"""States of jobs that may hold a generic resource, as every release since 21.08 names them. `R`
is RUNNING alone: squeue takes a job that starts, is stopped or signalled for another state."""


class SlurmClient(Commands):
    """Asks and tells Slurm; one a cluster. All methods raise HostError or RPCError."""

    def __init__(self, host: Host, timeout: float = 8.0, *, tasks_apart: bool = False) -> None:
        super().__init__(host, timeout)
        self.tasks_apart = tasks_apart
        """Every task of an array on a record of its own (`squeue -r`)."""
        self.marks = polling.Marks()
        self._book = Book(self.marks)
        self._node_lines = LineBook(scontrol.node)
        self._polling = asyncio.Lock()
        self._past = PastBook(self.marks.text)
        self.seen = Seen()
        """What ended while we looked: for where Slurm keeps no accounting."""
        self._columns: tuple[str, ...] = ()
        self._numbers: tuple[int, ...] = ()

    # -- reading ---------------------------------------------------------------------------

    async def jobs(self) -> JobList:
        """What slurmctld knows: queued, running, and finished within MinJobAge. One RPC.

        The same object as before where nothing changed. Arrays are folded as Slurm folds them,
        unless `tasks_apart`.
        """
        async with self._polling:
            before = self._book.latest
            poll = self._book.begin()
            await self.read(self.squeue("-t", "all"), sink=poll.feed)
            found = await poll.settle()
            if found is not before:
                self.seen.add(found.just_ended())
            return found

    def begin(self, host: EarlyHost) -> None:
        """Start what the first call of `jobs` asks, before there is an event loop."""
        host.begin(limited(self.squeue("-t", "all"), READ_ENV, self.timeout))

    async def job(self, job_id: str) -> Job | None:
        """One job, also a finished one; None: unknown. Of an array that is not over the row of its
        waiting tasks, where it has one; of a task that waits with others that task alone."""
        found = await self.tasks(job_id, apart=values.is_task(job_id))
        return min(
            (job for job in found if values.covers(job_id, job.job_id)),
            key=lambda j: (j.state in FINISHED, j.job_id != job_id, j.state != "PENDING"),
            default=None,
        )

    async def tasks(self, job_id: str, *, apart: bool = False) -> list[Job]:
        """All rows of one id: an array has one for its waiting tasks and one a started task.

        `apart`: each waiting task of an array on a row of its own. Folded ones can differ, and
        squeue then shows them as if they were all like the first.
        """
        plain = whole_id(job_id)
        try:
            more = ["-r"] if apart else []
            done = await self.read(self.squeue("-t", "all", *more, "-j", plain))
        except RPCError as error:
            if error.kind != "not-found":
                raise
        else:
            found = polling.records(done.stdout, self.marks.end)
            if jobs := [polling.queued_job(record, self.marks) for record in found]:
                return jobs
        try:
            return await self.sacct("-j", plain)
        except RPCError:
            return []

    async def finished(self, since: float) -> Past:
        """Jobs of all users that ended at or after `since` (unix seconds), from the accounting.

        RPCError "not-found" where Slurm keeps no accounting.
        """
        names = await self._accounted()
        answer = self._past.begin(names)
        argv = self._sacct(names, "-a", "-s", _ENDED, "-S", f"uts{int(since)}", "-E", "now")
        done = await self.run(argv, env=READ_ENV, sink=answer.feed)
        if done.rc != 0:
            raise error_of("sacct", self.host.name, done.stdout, done.stderr)
        return await answer.settle(since)

    async def nodes(self) -> list[Node]:
        """Every node, with the fields that Slurm knows."""
        answer = self._node_lines.begin()
        await self.read(["scontrol", "-a", "-d", "-o", "show", "node"], sink=answer.feed)
        return answer.done()

    async def partitions(self) -> list[Partition]:
        done = await self.read(["scontrol", "-a", "-o", "show", "partition"])
        return scontrol.partitions(done.stdout)

    async def allocations(self) -> list[Allocation]:
        """Which job holds which GPU or share of one, node by node: squeue's JSON.

        The text of `scontrol show job` has it too, but a job's name can imitate its fields.
        Nothing is asked while no job that runs has a generic resource.
        """
        jobs = self._book.latest
        if jobs is not None and not any(job.gres for job in jobs.active()):
            return []
        if jobs is not None and len(jobs) > JSON_MOST and await self._release() < (24, 5):
            # Before 24.05 it lists every job, whatever it is asked for, at 6 KB each.
            raise RPCError(msg=f"squeue --json of this release would list all {len(jobs)} jobs")
        pieces: list[bytes] = []
        argv = ["squeue", "--local", "-a", "-t", HOLDING, "--json"]
        await self.read(argv, sink=pieces.append)
        found: list[Allocation] = []
        try:
            for number, parts in enumerate(allocations(b"".join(pieces))):
                found += parts
                if number % 200 == 0:
                    await asyncio.sleep(0)
        except (ValueError, TypeError, AttributeError):
            raise RPCError(msg="squeue --json gave something that is not its JSON") from None
        return found

    async def record(self, job: Job) -> dict[str, str]:
        """`scontrol show job` by its keys; of an array those of its waiting tasks.

        The job's name, which may imitate any of them, is taken out first.
        """
        argv = ["scontrol", "-d", "-o", "show", "job"]
        folded = "[" in job.job_id
        done = await self.read([*argv, whole_id(job.job_id) if folded else exact_id(job.job_id)])
        text = done.stdout.replace(f"JobName={job.name} UserId=", "JobName=- UserId=")
        found = [scontrol.pairs(line) for line in text.split("\n") if line.startswith("JobId=")]
        waiting = [one for one in found if one.get("JobState") == "PENDING"]
        return next(iter([*waiting, *found]), {})

    async def batch_script(self, job_id: str) -> str:
        """The script of a job that slurmctld still knows (one's own, or as an operator)."""
        argv = ["scontrol", "write", "batch_script", whole_id(job_id), "-"]
        done = await self.read(argv)
        if not done.stdout.strip():  # it exits 0 for an unknown job too
            raise error_of("scontrol", self.host.name, done.stdout, done.stderr)
        return done.stdout

    async def accounted_script(self, job_id: str) -> str | None:
        """The script that the accounting keeps of a job (AccountingStoreFlags=job_script, and only
        for its owner and operators); None where it keeps none."""
        done = await self.run(["sacct", "-B", "-j", whole_id(job_id)], env=READ_ENV)
        head, _, rest = done.stdout.partition("\n")
        rule, _, script = rest.partition("\n")
        found = done.rc == 0 and head.startswith("Batch Script for") and rule.startswith("---")
        return script if found and script.startswith("#!") else None

    async def usage(self, job_id: str) -> str:
        """What the accounting has of a job and its steps, for `efficiency.parse`."""
        fields = ",".join(efficiency.ACCOUNTED)
        argv = ["sacct", "-n", "-P", f"--format={fields}"]
        done = await self.run([*argv, "-j", exact_id(job_id)], env=READ_ENV)
        if done.rc != 0:
            raise error_of("sacct", self.host.name, done.stdout, done.stderr)
        return done.stdout

    async def live_usage(self, job_id: str) -> str:
        """What slurmd measures of a running job's steps; "" where this account may not ask."""
        fields = ",".join(efficiency.LIVE)
        argv = ["sstat", "-a", "-n", "-P", f"--format={fields}"]
        done = await self.run([*argv, "-j", exact_id(job_id)], env=READ_ENV)
        return done.stdout if done.rc == 0 else ""

    async def whoami(self) -> str:
        """The account that jobs are submitted as; empty where it cannot be told."""
        done = await self.run(["id", "-un"], timeout=5.0)
        return done.stdout.strip() if done.rc == 0 else ""

    async def version(self) -> str:
        """`24.11.5`. Asks no daemon."""
        done = await self.run(["sinfo", "--version"])
        return done.stdout.split()[-1] if done.stdout.split() else "unknown"

    # -- telling ---------------------------------------------------------------------------

    async def submit(
        self,
        script: str,
        *,
        token: str,
        chdir: str = "",
        hold: bool = False,
        dependency: str = "",
    ) -> str:
        """Submit a script; its id. RPCError "timeout": unknown, look with `find_by_token`."""
        argv = submit_argv(script, token=token, chdir=chdir, hold=hold, dependency=dependency)
        done = await self.run(argv, stdin=script, timeout=self.timeout + 7)
        job_id = scontrol.submitted_id(done.stdout) if done.rc == 0 else None
        if job_id is None:
            raise error_of("sbatch", self.host.name, done.stdout, done.stderr)
        return job_id

    async def test_only(self, script: str, *, chdir: str = "") -> Estimate:
        """Whether Slurm would take it, and when it would start. It costs a job id, no job.

        RPCError with Slurm's sentence where it would refuse.
        """
        argv = submit_argv(script, test_only=True, chdir=chdir)
        done = await self.run(argv, env=("env", "SLURM_TIME_FORMAT=%s"), stdin=script)
        found = scontrol.estimate(done.stderr, time.time()) if done.rc == 0 else None
        if found is None:
            raise error_of("sbatch", self.host.name, done.stdout, done.stderr)
        return found

    async def find_by_token(self, token: str) -> Job | None:
        """The job that a submission with this token became; None: there is none."""
        done = await self.read(self.squeue("-t", "all"))
        for record in polling.records(done.stdout, self.marks.end):
            if token not in record:
                continue
            job = polling.queued_job(record, self.marks)
            if job.comment and f"{TOKEN_PREFIX}{token}" in job.comment.split():
                return job
        return None

    async def is_writable(self, folder: str) -> bool:
        """Whether the login node can write into a folder; False also where its mount hangs."""
        try:
            return (await self.run(["test", "-w", folder], timeout=2.0)).rc == 0
        except RPCError:
            return False

    # -- what is asked ----------------------------------------------------------------------

    def squeue(self, *more: str) -> list[str]:
        apart = ["-r"] if self.tasks_apart else []
        return ["squeue", "--local", "-a", "-h", *apart, *more, "-O", self.marks.squeue_format()]

    async def sacct(self, *more: str) -> list[Job]:
        """Some jobs of the accounting."""
        names = await self._accounted()
        done = await self.run(self._sacct(names, *more), env=READ_ENV)
        if done.rc != 0:
            raise error_of("sacct", self.host.name, done.stdout, done.stderr)
        return polling.accounted_jobs(done.stdout, self.marks.text, names)

    def _sacct(self, names: Sequence[str], *more: str) -> list[str]:
        argv = ["sacct", "-X", "-n", "-p", "--noconvert", f"--delimiter={self.marks.text}"]
        return [*argv, f"--format={','.join(names)}", *more]

    async def _release(self) -> tuple[int, ...]:
        """(24, 11); asked once."""
        if not self._numbers:
            self._numbers = tuple(map(int, re.findall(r"\d+", await self.version())[:2])) or (0,)
        return self._numbers

    async def _accounted(self) -> tuple[str, ...]:
        """What this release's sacct can tell; asked once."""
        if not self._columns:
            paths = polling.PATHS if await self._release() >= (24, 5) else ()
            self._columns = polling.ACCOUNTED + paths
        return self._columns
