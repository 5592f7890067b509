"""Snapshots of raft storage, streamed: neither way is one ever held whole in memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.request import Answered, said
from labtui.sources.base import SourceError
from labtui.sources.raftfile import SnapshotError, inspect

LIMIT = 600.0
"""Seconds for one snapshot, either way."""
SILENCE = 60.0
"""Seconds without a byte; a restore answers when it is done."""


def save(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: path. The snapshot, checked, in that file (0600), which was not there before."""
    path = Path(params["path"])
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    if path.exists() or path.is_symlink():
        raise Refused(f"{path} is there already: nothing is overwritten")
    try:
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"{path.parent} cannot take it: {error.strerror}") from None
    try:
        with os.fdopen(fd, "wb") as file:
            _fetch(door, secrets["token"], file)
            file.flush()
            os.fsync(file.fileno())
        found = inspect(str(part))
        _into_place(part, path)
    except SnapshotError as error:
        text = str(error).replace(str(part), "what came")
        raise Refused(f"{text}; nothing was kept") from None
    except OSError as error:
        raise Refused(f"{path} could not be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(found, path=str(path)))
    return told | {"node": door.node}


def _into_place(part: Path, path: Path) -> None:
    """Never onto a file that came meanwhile; where the disk knows no links, by its name alone."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise
        part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _fetch(door: Door, token: bytearray, file: Any) -> None:
    with _session(door, token) as session:
        answer = session.get(f"{_url(door)}/snapshot", timeout=(5, SILENCE))
        with answer:
            if answer.status_code != 200:
                raise _refused(answer, door)
            end = time.monotonic() + LIMIT
            for piece in answer.iter_content(1 << 18):
                file.write(piece)
                if time.monotonic() > end:
                    raise SourceError("timeout", f"the snapshot took longer than {LIMIT:.0f} s")


def restore(door: Door, secrets: Secrets, params: Params) -> Result:
    """params: path, force. Answers when Vault has taken it."""
    try:
        file = Path(params["path"]).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Refused(f"{params['path']} cannot be read: {error.strerror}") from None
    where = f"{_url(door)}/snapshot{'-force' if params.get('force') else ''}"
    with file, _session(door, secrets["token"]) as session:
        answer = session.post(where, data=file, timeout=(5, LIMIT))
        with answer:
            if answer.status_code not in (200, 204):
                raise _refused(answer, door)
    return {"restored": True}


@contextlib.contextmanager
def _session(door: Door, token: bytearray) -> Iterator[Any]:
    """requests without the environment, redirects or a limit on the size of what comes."""
    import requests

    from labtui.sources.http import explain

    class Straight(requests.Session):
        def send(self, request: Any, **kwargs: Any) -> Any:
            return super().send(request, **kwargs | {"stream": True, "allow_redirects": False})

    with Straight() as session:
        session.trust_env = False
        session.verify = door.ca_file or True
        session.headers["X-Vault-Token"] = token.decode().strip()
        session.headers["X-Vault-Request"] = "true"
        session.headers["Accept-Encoding"] = "identity"
        try:
            yield session
        except requests.RequestException as error:
            raise explain(error, f"Vault at {door.address}", door.ca_file) from None


def _url(door: Door) -> str:
    return f"{door.url}/v1/sys/storage/raft"


def _refused(answer: Any, door: Door) -> Answered:
    if answer.status_code == 403:
        return Answered(403, f"{door.node}: this token may not (403): it needs sys/storage/raft/*")
    return Answered(answer.status_code, said(answer, door.node))


OPERATIONS = (
    Operation("raft.save", ("token",), save, timeout=LIMIT + 30.0),
    Operation("raft.restore", ("token",), restore, timeout=LIMIT + 30.0),
)
