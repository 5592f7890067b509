"""Submitting a batch script, so that it is known afterwards whether it was accepted."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import time
from collections.abc import Sequence

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.kept import Kept
from labtui.model import Job
from labtui.slurm.argv import exact_id, submit_argv, whole_id
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from labtui.slurm.script import TOKEN, directives
from labtui.text import inert

SHARED = "/mnt/nfs"
"""Where a cluster's shared file system is, when it has one: a job's output written there can be
read from every machine."""
LOOK = 8.0
"""Seconds for which a submission without an answer is looked for; sbatch itself was ended on the
login node before that, so what is not there then was not accepted."""
MAX_SCRIPT = 4 << 20
"""Bytes; Slurm's own limit (max_script_size) is 4 MiB by default."""


class SubmitJob(Action):
    """sbatch with the script on stdin. Runs as the account that labtui reaches the node with."""

    id = "queue.submit"

    def __init__(
        self,
        client: SlurmClient,
        script: str,
        *,
        chdir: str = "",
        look: float = LOOK,
        kept: Kept | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self.client = client
        self.script = script.replace("\r\n", "\n")
        self.chdir = chdir
        self.token = secrets.token_hex(8)
        self.job_id: str | None = None
        self._look = look
        self._kept = kept
        self._warnings = tuple(warnings)

    async def plan(self) -> Plan:
        self._check()
        who = await self.client.whoami()
        if not self.chdir and "chdir" not in directives(self.script):
            self.chdir = await folder_for(self.client, who)
        argv = submit_argv(self.script, token=self.token, chdir=self.chdir)
        risks = list(self._warnings)
        if who == "root":
            risks.append("it runs as root, because labtui reaches this machine as root")
        try:
            estimate = await self.client.test_only(self.script, chdir=self.chdir)
        except RPCError as error:
            if error.kind in ("refused", "timeout"):
                raise ActionError(f"{error.msg}; nothing was sent", error.kind) from None
            more = f"; {self._warnings[0]}" if self._warnings else ""
            raise ActionError(f"Slurm would refuse it: {error.msg}{more}") from None
        if estimate.start_time is None:
            risks.append("the scheduler cannot tell when it would start")
        name = directives(self.script).get("job-name", "")
        return Plan(
            title=f"Submit {inert(name, 60)}" if name else "Submit a job",
            targets=(inert(name, 60) or "a new job",),
            steps=(Step(self.client.host.name, f"{shlex.join(argv)}   # the script on stdin"),),
            risks=tuple(risks),
            undo="cancel it",
            dangerous=who == "root",
            confirm_word="root" if who == "root" else "",
            preview=self.script,
        )

    async def run(self, progress: Progress) -> None:
        try:
            self.job_id = await self.client.submit(self.script, token=self.token, chdir=self.chdir)
        except RPCError as error:
            if error.kind == "timeout":
                raise Unknown(error.msg) from None
            raise ActionError(f"Slurm refused it: {error.msg}") from None
        progress(f"accepted as job {self.job_id}")

    async def verify(self) -> Outcome:
        """By id where there was an answer, else by the token that the submission carries."""
        deadline = time.monotonic() + self._look
        while True:
            job = await self._find()
            if job is not None or time.monotonic() > deadline:
                break
            await asyncio.sleep(1.0)
        if job is None:
            if self.job_id:
                text = f"accepted as job {self.job_id}, which Slurm does not show"
                return Outcome("unknown", text, {"job_id": self.job_id})
            return Outcome("failed", "Slurm did not take it: no job carries its mark")
        job_id = job.job_id.partition("_")[0]
        if self._kept:
            self._kept.keep(job_id, self.token, self.script)
        words = f": {inert(job.reason_text, 120)}" if job.reason_text else ""
        return Outcome(
            "done",
            f"job {job_id} is {job.state.lower()}{words}",
            {"job_id": job_id, "state": job.state, "token": self.token},
        )

    async def _find(self) -> Job | None:
        try:
            if self.job_id:
                return await self.client.job(self.job_id)
            return await self.client.find_by_token(self.token)
        except RPCError as error:
            raise ActionError(error.msg, error.kind) from None

    def _check(self) -> None:
        if not self.script.startswith("#!"):
            raise ActionError(
                "the script's first line has to be #! and a program, for example #!/bin/bash"
            )
        if "\0" in self.script:
            raise ActionError("the script holds a NUL byte; is it a program? Submit a text")
        if len(self.script.encode()) > MAX_SCRIPT:
            raise ActionError(f"the script is larger than Slurm takes ({MAX_SCRIPT >> 20} MiB)")


async def folder_for(client: SlurmClient, who: str) -> str:
    """The account's folder on the shared file system, else that itself; else its home (empty)."""
    for folder in (f"{SHARED}/{who}", SHARED):
        if who and await client.is_writable(folder):
            return folder
    return ""


def waited_for(job_id: str) -> str:
    """The id that a dependency takes: a task's own, for what is folded the whole array's."""
    return whole_id(job_id) if "[" in job_id or "+" in job_id else exact_id(job_id)


async def script_of(client: SlurmClient, kept: Kept, job: Job) -> str:
    """A job's script: slurmctld's while it knows it, then ours, then the accounting's.

    Raises ActionError with what was tried.
    """
    why = "Slurm has forgotten it"
    if job.source == "squeue":
        try:
            return await client.batch_script(job.job_id)
        except RPCError as error:
            if error.kind in ("refused", "timeout"):
                raise ActionError(error.msg, error.kind) from None
            why = why if error.kind == "not-found" else inert(error.msg, 200)
    token = TOKEN.search(job.comment or "")
    plain = job.job_id.partition("_")[0]
    script = kept.script(plain, token[1] if token else "")
    script = script or await client.accounted_script(job.job_id)
    if script is None:
        raise ActionError(
            f"{why}, labtui did not send it, and the accounting keeps no scripts"
            " (AccountingStoreFlags=job_script would), or not for this account"
        )
    return script


def cannot_wait(job: Job) -> str | None:
    return "Slurm has forgotten it: nothing can wait for it" if job.source != "squeue" else None
