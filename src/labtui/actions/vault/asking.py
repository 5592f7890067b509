"""How actions reach operations: those with a secret in the keyholder, others in a thread here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labtui.actions.base import ActionError, Unknown
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.keyholder.operation import UNSENT, Door, Params, Refused, Result, Secrets
from labtui.sources.base import SourceError
from labtui.sources.threads import Lane


async def asked(
    door: Door,
    function: Callable[[Door, Secrets, Params], Result],
    *,
    writes: bool = False,
    **params: Any,
) -> dict[str, Any]:
    """An operation that takes no secret, in a thread of its own. Raises ActionError, Unknown."""
    lane = Lane(f"Vault at {door.address}")
    try:
        return dict(await lane.call(door.timeout + 2.0, function, door, {}, params))
    except Refused as error:
        raise ActionError(str(error)) from None
    except SourceError as error:
        if writes and error.fault.kind not in UNSENT:
            raise Unknown(error.fault.message) from None
        raise ActionError(error.fault.message, error.fault.kind) from None


async def called(holder: Keyholder, id: str, door: Door, **params: Any) -> Mapping[str, Any]:
    """An operation with what the keyholder was given. Raises ActionError, Unknown."""
    try:
        return await holder.call(id, door, **params)
    except HolderError as error:
        if error.kind == "unknown":
            raise Unknown(error.message) from None
        raise ActionError(error.message, error.kind) from None


def count(number: int, name: str) -> str:
    """`1 other policy`, `2 other policies`."""
    many = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return f"{number} {name if number == 1 else many}"
