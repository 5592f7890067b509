"""What `--json` prints: one document, also where the answer is no (design section 5)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from labtui.actions.base import Outcome
from labtui.store import Feed
from labtui.text import inert


def document(noun: str, items: Sequence[Any], feeds: Sequence[Feed], missing: str = "") -> bytes:
    """The document of a noun: schema, taken_at, items, errors.

    `missing`: why there may be more items, where a source answers and does not tell all.
    """
    errors = [(f.name, f.error.kind, f.error.message) for f in feeds if f.error]
    return _document(noun, items, [*errors, *([(noun, "permission", missing)] if missing else [])])


def tell(outcome: Outcome, as_json: bool) -> None:
    """Print what came of an action."""
    if as_json:
        echo_json(_outcome(outcome))
    else:
        click.echo(inert(outcome.message))


def _outcome(outcome: Outcome) -> bytes:
    body = {"schema": "labtui/outcome/1", "outcome": outcome.kind, "message": outcome.message}
    return pretty(body | outcome.details)


def refusal(noun: str, message: str, kind: str) -> bytes:
    """The document of a command that ended before it had anything else to print."""
    if noun == "outcome":
        return _outcome(Outcome("cancelled" if kind == "cancelled" else "refused", message))
    return _document(noun, (), [(noun, kind, message)])


def _document(noun: str, items: Sequence[Any], errors: Sequence[tuple[str, str, str]]) -> bytes:
    taken = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    return pretty({
        "schema": f"labtui/{noun}/1",
        "taken_at": taken.replace("+00:00", "Z"),
        "items": msgspec.to_builtins(items),
        "errors": [dict(zip(("source", "kind", "message"), e, strict=True)) for e in errors],
    })  # fmt: skip


def pretty(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(body), indent=1)


def echo_json(data: bytes) -> None:
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()
