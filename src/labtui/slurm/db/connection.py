"""A connection to slurmdbd: here, whether it answers, and changes that wait for `commit`.

sacctmgr commits each change by itself. So changes with a connection are kept until `commit`, and
`rollback` forgets them.
"""

from __future__ import annotations

from labtui.slurm import bridge
from labtui.slurm.errors import RPCError


class Connection:
    """Made by `Connection.open()`."""

    _open: bool
    _waiting: list[list[str]]

    def __init__(self) -> None:
        raise RuntimeError("A new connection should be created through calling Connection.open()")

    def __repr__(self) -> str:
        return f"pyslurm.db.Connection is {'open' if self.is_open else 'closed'}"

    @classmethod
    def open(cls) -> Connection:
        """Ask slurmdbd something: `sacctmgr show cluster`. RPCError where it does not answer."""
        from labtui.slurm.db import aio

        bridge.call(aio.reach)
        new = cls.__new__(cls)
        new._open, new._waiting = True, []
        return new

    def close(self) -> None:
        """Forget what was not committed; harmless when it is closed."""
        self._open, self._waiting = False, []

    def commit(self) -> None:
        """Run the changes that wait, in order: `sacctmgr -i modify ...`. RPCError where one is
        refused; those before it are done."""
        if not self._open:
            raise RPCError(msg="Failed to commit database changes.")
        while self._waiting:
            bridge.call(lambda client: client.tell(self._waiting[0]))
            del self._waiting[0]

    def rollback(self) -> None:
        """Forget the changes that wait."""
        if not self._open:
            raise RPCError(msg="Failed to rollback database changes.")
        self._waiting.clear()

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed; nothing is held open in between."""
        return self._open


def _open_conn_or_error(conn: Connection | None) -> None:
    """ValueError for a closed connection."""
    if conn is not None and not conn.is_open:
        raise ValueError("Database connection is not open")
