"""How Slurm's commands are run on a login node: the environment, the limits, the errors in words.

Every command runs under coreutils' `timeout` on the node itself, so that a command that hangs
there ends there, also when the connection to it is gone; a submission that timed out is therefore
decided (accepted or not) when that time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from labtui.hosts.base import Completed, Host, HostError, Sink
from labtui.slurm import scontrol
from labtui.slurm.errors import RPCError, error_of
from labtui.slurm.types import PingResponse
from labtui.text import inert

PATIENCE = 2.0
"""Seconds after which a silent command makes us ask whether slurmctld answers at all: with it
down, squeue blocks for 9 s where `scontrol ping` knows at once."""
PING_TIMEOUT = 1.5
MARGIN = 2.0
"""Seconds that the transport may take beyond the command's own limit."""

# What would change the output that we parse; a person's own settings must not.
_UNSET = (
    "SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_SORT", "SQUEUE_ARRAY", "SQUEUE_ACCOUNT",
    "SQUEUE_USERS", "SQUEUE_STATES", "SQUEUE_PARTITION", "SQUEUE_NAMES", "SQUEUE_QOS",
    "SQUEUE_LICENSES", "SQUEUE_PRIORITY", "SLURM_CLUSTERS", "SLURM_JSON",
    "SLURM_YAML", "SACCT_FORMAT", "SLURM_DEBUG_FLAGS",
)  # fmt: skip
READ_ENV = (
    "env",
    *(part for name in _UNSET for part in ("-u", name)),
    "LC_ALL=C.UTF-8",
    "SLURM_TIME_FORMAT=%s",
    "SLURM_BITSTR_LEN=0",  # which tasks of an array wait is else cut at 64 bytes
    # Any zone will do for unix seconds; without one libc looks at /etc/localtime for every field:
    # more than half of what squeue takes for 100,000 jobs.
    "TZ=UTC0",
)


class Commands:
    """Runs them. All methods raise HostError or RPCError."""

    def __init__(self, host: Host, timeout: float = 8.0) -> None:
        self.host = host
        self.timeout = timeout
        self._doubt = False

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Sequence[str] = (),
        stdin: str | None = None,
        timeout: float | None = None,
        user: str | None = None,
        sink: Sink | None = None,
    ) -> Completed:
        limit = timeout or self.timeout
        full = limited(argv, env, limit)
        command = argv[0]
        try:
            more = {} if sink is None else {"sink": sink}
            done = await self.host.run(full, stdin=stdin, timeout=limit + MARGIN, user=user, **more)
        except HostError as error:
            if error.kind != "timeout":
                raise
            raise self._silent(command, limit) from None
        if done.rc in (124, 137):
            raise self._silent(command, limit)
        if done.rc in (126, 127):
            text = f"{command} cannot be run on {self.host.name}: is Slurm's client in its PATH?"
            raise RPCError(msg=text, kind="not-found")
        return done

    async def read(self, argv: Sequence[str], sink: Sink | None = None) -> Completed:
        """Ask slurmctld by a command that only reads, in an environment that does not change its
        output. When it is down, the error says so within some three seconds."""
        if self._doubt:
            await self._check()
        task = asyncio.ensure_future(self.run(argv, env=READ_ENV, sink=sink))
        # Its own fault is nobody's to hear where the look at slurmctld has told one before.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait({task}, timeout=PATIENCE)
            if not task.done():
                await self._check()
            done = await task
        finally:
            if not task.done():
                task.cancel()
        if done.rc != 0:
            raise error_of(argv[0], self.host.name, done.stdout, done.stderr)
        return done

    async def tell(
        self, argv: Sequence[str], *, user: str | None = None, stdin: str | None = None
    ) -> Completed:
        """Run a command that changes something. RPCError where Slurm refused it."""
        done = await self.run(argv, user=user, stdin=stdin)
        if done.rc != 0:
            raise error_of(argv[0], self.host.name, done.stdout, done.stderr)
        return done

    async def ping(self) -> list[PingResponse]:
        """Every slurmctld and whether it answers. A silent one counts as not responding."""
        try:
            done = await self.run(["scontrol", "ping"], timeout=PING_TIMEOUT)
        except RPCError as error:
            if error.kind != "timeout":
                raise
            return [PingResponse(True, False, 0, "")]
        found = scontrol.ping(done.stdout)
        if not found:
            raise error_of("scontrol", self.host.name, done.stdout, done.stderr)
        return found

    async def _check(self) -> None:
        controllers = await self.ping()
        self._doubt = not any(c.is_responding for c in controllers)
        if self._doubt:
            names = ", ".join(inert(c.hostname, 80) for c in controllers if c.hostname)
            if not names:
                text = f"slurmctld does not answer (asked from {self.host.name})"
                raise RPCError(msg=text, kind="timeout")
            raise RPCError(msg=f"slurmctld on {names} does not answer", kind="refused")

    def _silent(self, command: str, limit: float) -> RPCError:
        text = f"{command} on {self.host.name} gave no answer within {limit:g} s"
        return RPCError(msg=text, kind="timeout")


def limited(argv: Sequence[str], env: Sequence[str], limit: float) -> list[str]:
    """The command as it is sent."""
    return ["timeout", "-k", "1", f"{limit:g}", *env, *argv]
