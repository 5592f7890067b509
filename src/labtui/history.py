"""What the console saw and did, in SQLite: bounded readings, an append-only audit.

One writer thread owns the connection and makes the JSON, so that neither holds up the event loop.
Readings are kept when they change, of the queue only how many jobs are in which state; the audit is
kept for good, and triggers refuse to change a line of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from labtui.model import Job
from labtui.slurm.joblist import JobList
from labtui.store import Feed, Reading, Store

KEEP_DAYS = 7.0
KEEP_BYTES = 64 << 20
"""Bytes that all readings may take."""
MAX_VALUE = 256 << 10
"""Bytes of one reading that are kept; a longer list is kept as its length only."""
ROW = 100
"""Bytes that a reading takes beside its value, about."""
TRIM_S, TRIM_BYTES = 600.0, 8 << 20
"""Seconds, and bytes that were written, after which the oldest are forgotten again."""

SCHEMA = """
create table if not exists reading (
    id integer primary key, source text not null, taken_at real not null, took real not null,
    error_kind text, error text, value blob);
create index if not exists reading_source on reading (source, taken_at);
create table if not exists audit (
    id integer primary key, at real not null, who text not null, origin text not null,
    action text not null, targets text not null, steps text not null, outcome text not null,
    message text not null, took real not null, cluster text not null);
create table if not exists ended (
    job_id text not null, submitted real not null, ended real not null, job blob not null,
    primary key (job_id, submitted));
create trigger if not exists audit_no_update before update on audit
    begin select raise(abort, 'the audit is append-only'); end;
create trigger if not exists audit_no_delete before delete on audit
    begin select raise(abort, 'the audit is append-only'); end;
"""


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    who: str
    origin: str
    """Where the person came from: the SSH client's address, or `local`."""
    action: str
    targets: tuple[str, ...]
    steps: tuple[str, ...]
    """The commands as sent; secrets never."""
    outcome: str
    message: str
    took_s: float
    cluster: str = ""


def default_path(cluster: str) -> Path:
    """`~/.local/state/labtui/CLUSTER.db`; `$XDG_STATE_HOME` is honoured."""
    base = os.environ.get("XDG_STATE_HOME")
    root = Path(base) if base else Path.home() / ".local" / "state"
    return root / "labtui" / f"{cluster}.db"


class Ended(msgspec.Struct, frozen=True):
    """Jobs that were seen to end."""

    jobs: Sequence[Job]
    at: float
    """When that was seen, for those whose end Slurm does not tell."""


Told = AuditLine | Reading[Any] | Ended


def _brief(value: Any) -> Any:
    """What is kept of a value. Jobs are too many, and their times change with every answer."""
    if isinstance(value, JobList):
        states = {state: count for state, count in sorted(value.states.items()) if count}
        return {"items": len(value), "states": states}
    if isinstance(value, Sequence) and value and isinstance(value[0], Job):
        return {"items": len(value)}
    return value


def _encoded(value: Any) -> bytes:
    """As JSON; of what is too long only how long it is.

    Item by item: one call of the encoder keeps all other threads from running, however long it is.
    """
    try:
        if not isinstance(value, (list, tuple)):
            found = msgspec.json.encode(value, enc_hook=_items)
            return found if len(found) <= MAX_VALUE else json.dumps({"bytes": len(found)}).encode()
        parts: list[bytes] = []
        room = MAX_VALUE
        for item in value:
            parts.append(msgspec.json.encode(item, enc_hook=_items))
            room -= len(parts[-1]) + 1
            if room < 0:
                return json.dumps({"items": len(value)}).encode()
        return b"[" + b",".join(parts) + b"]"
    except (TypeError, ValueError, RuntimeError):
        return json.dumps({"unserialisable": type(value).__name__}).encode()


def _items(value: Any) -> Any:
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError


class History:
    """Writes in its own thread; reading is for short-lived commands and opens its own handle."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        """Why nothing is being kept, in a sentence; None while all is well."""
        self._told: queue.Queue[Told | None] = queue.Queue(10_000)
        self._last: dict[str, int] = {}
        self._dropped = 0
        self._trimmed, self._written = 0.0, 0
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def follow(self, store: Store) -> None:
        """Keep every reading of `store` that differs from the one before it."""
        store.subscribe(["*"], self._on_reading)

    def audit(self, line: AuditLine) -> None:
        self._put(line)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, at most `timeout` seconds long."""
        with contextlib.suppress(queue.Full):
            self._told.put_nowait(None)
        self._thread.join(timeout)

    def _on_reading(self, old: Feed, new: Feed) -> None:
        reading = new.latest
        if reading is None:
            return
        if isinstance(reading.value, JobList) and reading.value is not old.value:
            self._put(Ended(reading.value.just_ended(), reading.taken_at))
        self._put(replace(reading, value=_brief(reading.value)))

    def _put(self, told: Told) -> None:
        try:
            self._told.put_nowait(told)
        except queue.Full:
            self._dropped += 1
            self.problem = f"history: the disk is too slow, {self._dropped} entries not kept"

    # -- in the writer's thread ------------------------------------------------------------

    def _work(self) -> None:
        try:
            db = open_db(self.path)
        except (OSError, sqlite3.Error) as error:
            self.problem = f"history: {self.path} cannot be written: {error}"
            while self._told.get() is not None:
                pass
            return
        with contextlib.closing(db):
            while True:
                told = self._told.get()
                if told is None:
                    return
                try:
                    with db:
                        self._write(db, told)
                        while not self._told.empty():
                            more = self._told.get_nowait()
                            if more is None:
                                return
                            self._write(db, more)
                        if time.time() - self._trimmed > TRIM_S or self._written > TRIM_BYTES:
                            trim(db)
                            self._trimmed, self._written = time.time(), 0
                except sqlite3.Error as error:
                    self.problem = f"history: {self.path}: {error}"

    def _write(self, db: sqlite3.Connection, told: Told) -> None:
        if isinstance(told, AuditLine):
            db.execute(
                "insert into audit (at, who, origin, action, targets, steps, outcome, message,"
                " took, cluster) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    told.at, told.who, told.origin, told.action, json.dumps(told.targets),
                    json.dumps(told.steps), told.outcome, told.message, told.took_s, told.cluster,
                ),
            )  # fmt: skip
        elif isinstance(told, Ended):
            db.executemany(
                "insert or replace into ended (job_id, submitted, ended, job) values (?, ?, ?, ?)",
                (
                    (j.job_id, j.submit_time or 0.0, j.end_time or told.at, msgspec.json.encode(j))
                    for j in told.jobs
                ),
            )
        else:
            self._write_reading(db, told)

    def _write_reading(self, db: sqlite3.Connection, reading: Reading[Any]) -> None:
        error = reading.error
        value = None if error else _encoded(reading.value)
        mark = hash((value, error))
        if self._last.get(reading.source) == mark:
            return
        self._last[reading.source] = mark
        self._written += ROW + len(value or b"")
        db.execute(
            "insert into reading (source, taken_at, took, error_kind, error, value)"
            " values (?, ?, ?, ?, ?, ?)",
            (
                reading.source, reading.taken_at, reading.took,
                error.kind if error else None, error.message if error else None, value,
            ),
        )  # fmt: skip


def open_db(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = sqlite3.connect(path, timeout=5.0)
    path.chmod(0o600)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    db.executescript(SCHEMA)
    return db


def trim(db: sqlite3.Connection) -> None:
    """Forget readings older than KEEP_DAYS or beyond KEEP_BYTES; the audit stays."""
    oldest = time.time() - KEEP_DAYS * 86400
    db.execute("delete from reading where taken_at < ?", (oldest,))
    db.execute("delete from ended where ended < ?", (oldest,))
    db.execute(
        "delete from reading where id <= (select max(id) from (select id, sum(? +"
        " coalesce(length(value), 0)) over (order by id desc) as taken from reading)"
        " where taken > ?)",
        (ROW, KEEP_BYTES),
    )


def read_ended(path: Path, since: float) -> list[Job]:
    """Jobs that were seen to end at or after `since` (unix seconds), the oldest first.

    For where Slurm keeps no accounting. A file that is absent or cannot be read tells of none.
    """
    if not path.exists():
        return []
    uri = f"file:{path}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as db:
            rows = db.execute("select job from ended where ended >= ? order by ended", (since,))
            return [msgspec.json.decode(row[0], type=Job) for row in rows]
    except (sqlite3.Error, msgspec.DecodeError):
        return []


def read_audit(path: Path, limit: int = 1000) -> list[AuditLine]:
    """The newest `limit` lines, oldest first. An absent file is an empty audit."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as db:
        rows = db.execute(
            "select at, who, origin, action, targets, steps, outcome, message, took, cluster"
            " from audit order by id desc limit ?",
            (limit,),
        ).fetchall()
    return [
        AuditLine(
            at=r[0], who=r[1], origin=r[2], action=r[3], targets=tuple(json.loads(r[4])),
            steps=tuple(json.loads(r[5])), outcome=r[6], message=r[7], took_s=r[8], cluster=r[9],
        )
        for r in reversed(rows)
    ]  # fmt: skip
