"""Seal a server: it forgets its key, and answers nothing until enough shares are given again."""

from __future__ import annotations

from labtui.keyholder.operation import Door, Operation, Params, Refused, Result, Secrets
from labtui.keyholder.operations.answers import answered, done, nothing_written
from labtui.sources.base import SourceError
from labtui.text import inert


def seal(door: Door, secrets: Secrets, params: Params) -> Result:
    """Raises Refused where it is a standby: Vault seals the active server only."""
    client = door.client(secrets["token"])
    with nothing_written(), answered(door, "read", "sys/leader"):
        leader = client.sys.read_leader_status()
        if leader.get("ha_enabled") and not leader.get("is_self"):
            raise Refused(_standby(door, str(leader.get("leader_address") or "")))
    try:
        with answered(door, "update and sudo", "sys/seal"):
            done(client.sys.seal(), door)
    except SourceError as error:  # it became a standby in between
        if "standby" in error.fault.message:
            raise Refused(_standby(door, "")) from None
        raise
    return {}


def _standby(door: Door, active: str) -> str:
    name = inert(door.node, 60)
    where = f"the active one is {inert(active, 120)}" if active else "no server is active now"
    return (
        f"{name} is a standby, which cannot be sealed: {where}. Stopping its service takes its "
        "key from it too"
    )


OPERATIONS = (Operation("seal.seal", ("token",), seal),)
