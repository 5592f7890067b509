"""A job's output file on a machine: read in windows by byte offset, never as a whole.

So a file of any size costs the same. What is asked is argv: stat, dd (`Host.read`) and grep.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

import msgspec

from labtui.hosts.base import Completed, Host, HostError, HostErrorKind
from labtui.model import Job
from labtui.slurm.logtext import Pattern
from labtui.text import inert, inert_lines

MAX_TAIL = 1 << 20
"""Bytes of a file's end that are read at first."""
TIMEOUT = 6.0
SEARCH_TIMEOUT = 30.0
"""Seconds that grep may take: some GB of a file that is in memory, half a GB of one that is not."""
MATCHES = 5_000
"""Lines up to which all matches of a search are listed."""


def _last_state(line: str) -> str:
    """What a terminal would show of a line that a progress bar wrote again and again."""
    kept = line.rstrip("\r")
    return kept.rsplit("\r", 1)[-1]


async def tail(host: Host, path: str, lines: int = 200) -> list[str]:
    """The last lines of a file, inert. HostError "not-found" where it is not there yet."""
    done = await host.run(["tail", "-c", str(MAX_TAIL), "--", path], timeout=TIMEOUT)
    if done.rc != 0:
        raise _refused(done, path, host)
    text = "\n".join(_last_state(line) for line in done.stdout.split("\n"))
    return inert_lines(text.rstrip("\n"), limit=MAX_TAIL)[-lines:] if text.strip() else []


async def follow(host: Host, path: str, lines: int = 200) -> AsyncIterator[str]:
    """The last lines and every further one, inert, until it is closed.

    Waits for a file that is not there yet, and follows it through replacement (`tail -F`).
    """
    argv = ["tail", "-n", str(lines), "-F", "--", path]
    stream = host.stream(argv)
    async with aclosing(stream) as source:  # type: ignore[type-var]
        async for line in source:
            yield inert(_last_state(line))


class FileState(msgspec.Struct, frozen=True):
    """A file as it is now."""

    size: int
    identity: str
    """Device and inode: another file of the same name has another one."""


class Matches(msgspec.Struct, frozen=True):
    """What a search of the whole file found."""

    lines: int
    """How many lines match."""
    found: tuple[tuple[int, int], ...] | None
    """(byte offset, line number from 1) of every match, in order; None: too many to list."""
    size: int
    """The size of the file when it was searched."""


class LogFile:
    """One file on one machine. All methods raise HostError."""

    def __init__(self, host: Host, path: str) -> None:
        self.host = host
        self.path = path

    async def state(self) -> FileState:
        """HostError "not-found" where there is no such file, "protocol" where it is no file."""
        argv = ["env", "LC_ALL=C", "stat", "-L", "-c", "%s %d:%i %F", "--", self.path]
        done = await self.host.run(argv, timeout=TIMEOUT)
        if done.rc != 0:
            raise _refused(done, self.path, self.host)
        found = re.fullmatch(r"(\d+) (\d+:\d+) (.*)\n", done.stdout)
        if found is None or not found[3].startswith("regular"):
            what = found[3] if found else "not what stat tells of a file"
            text = f"{inert(self.path, 200)} on {self.host.name}: {inert(what, 60)}, not a file"
            raise HostError("protocol", text, self.host.name)
        return FileState(int(found[1]), found[2])

    async def window(self, start: int, size: int) -> bytes:
        """At most `size` bytes from offset `start` on."""
        return await self.host.read(self.path, max(0, start), size, timeout=TIMEOUT)

    async def search(self, wanted: Pattern, size: int) -> Matches:
        """Every match of the whole file; only how many lines have one, where these are many."""
        try:
            listed = await self._grep(["-b", "-o", "-n", "-m", str(MATCHES + 1), *wanted.grep])
        except HostError as error:
            if error.kind != "protocol":
                raise
            listed = ""  # the matches are as long as the file
        else:
            hits = re.findall(r"^(\d+):(\d+):", listed, re.MULTILINE)
            lines = len({line for line, _ in hits})
            if lines <= MATCHES:
                found = tuple((int(at), int(line)) for line, at in hits)
                return Matches(lines, found, size)
        counted = (await self._grep(["-c", *wanted.grep])).strip()
        return Matches(int(counted) if counted.isdigit() else 0, None, size)

    async def _grep(self, options: list[str]) -> str:
        limit = f"{SEARCH_TIMEOUT:g}"
        # By bytes: a log may hold anything, and it is several times quicker.
        argv = ["timeout", "-k", "1", limit, "env", "LC_ALL=C", "grep", "-a", *options]
        done = await self.host.run([*argv, "--", self.path], timeout=SEARCH_TIMEOUT + 2)
        if done.rc in (124, 137):
            text = f"the search took longer than {limit} s and was ended"
            raise HostError("timeout", text, self.host.name)
        if done.rc > 1:
            raise _refused(done, self.path, self.host)
        return done.stdout


class TextFile:
    """A text in memory, such as a script, to be read like a file."""

    def __init__(self, text: str, path: str) -> None:
        self._data = text.encode(errors="replace")
        self.path = path

    async def state(self) -> FileState:
        return FileState(len(self._data), "memory")

    async def window(self, start: int, size: int) -> bytes:
        return self._data[max(0, start) : max(0, start) + size]

    async def search(self, wanted: Pattern, size: int) -> Matches:
        found, lines = [], set()
        for match in wanted.in_bytes.finditer(self._data):
            if match.end() > match.start():
                line = self._data.count(b"\n", 0, match.start()) + 1
                found.append((match.start(), line))
                lines.add(line)
        return Matches(len(lines), tuple(found), size)


def _refused(done: Completed, path: str, host: Host) -> HostError:
    why = done.stderr.strip().rpartition(":")[2].strip() or "cannot be read"
    kind: HostErrorKind = "permission" if "ermission" in why else "not-found"
    return HostError(kind, f"{inert(path, 200)} on {host.name}: {inert(why, 100)}", host.name)


def default_path(job: Job) -> str | None:
    """Where sbatch writes when it is not told: for jobs of which Slurm keeps no path any more."""
    if not job.work_dir:
        return None
    array, _, task = job.job_id.partition("_")
    if "[" in task or "+" in array:
        return None
    return f"{job.work_dir.rstrip('/')}/slurm-{array}{'_' + task if task else ''}.out"


async def locate(hosts: Mapping[str, Host], login: str, job: Job, path: str) -> Host | None:
    """The machine where a job's file can be read: the login node, else the one it ran on.

    A file outside the shared file system exists only on the job's first node.
    """
    for name in (login, *job.nodes[:1]):
        host = hosts.get(name)
        if host is None:
            continue
        try:
            if (await host.run(["test", "-e", path], timeout=TIMEOUT)).rc == 0:
                return host
        except HostError:
            continue
    return None
