"""Asks for what holds jobs back beside the machines: limits, shares, reservations, settings.

QoS and associations come from slurmdbd, the rest from slurmctld. All functions raise HostError or
RPCError; "not-found" where Slurm keeps no accounting, with a sentence that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labtui.hosts.base import HostError
from labtui.model import Reservation, Share
from labtui.slurm import accounts
from labtui.slurm.errors import RPCError, error_of
from labtui.slurm.types import Association, License, Qos

if TYPE_CHECKING:
    from labtui.slurm.client import SlurmClient


async def qos(client: SlurmClient) -> list[Qos]:
    """Every QoS; with what is used of its minutes where such a limit is set and Slurm tells."""
    asked = f"format={accounts.QOS_FIELDS}"
    found = accounts.qos(await _sacctmgr(client, "show", "qos", asked))
    if any(one.grp_tres_mins for one in found):
        try:
            known = await client.read(["scontrol", "-o", "show", "assoc_mgr", "flags=qos"])
        except RPCError:  # PrivateData may keep it from us
            return found
        return accounts.with_usage(found, known.stdout)
    return found


async def associations(client: SlurmClient) -> list[Association]:
    """Who belongs to which account, with which limits; of all clusters of this slurmdbd."""
    asked = f"format={accounts.ASSOCIATION_FIELDS}"
    return accounts.associations(await _sacctmgr(client, "show", "assoc", asked))


async def shares(client: SlurmClient) -> list[Share]:
    """The fair-share tree. RPCError "not-found" where priorities do not know of one."""
    done = await client.read(["sshare", "-a", "-n", "-P", "-o", ",".join(accounts.SHARE_FIELDS)])
    return accounts.shares(done.stdout)


async def reservations(client: SlurmClient) -> list[Reservation]:
    done = await client.read(["scontrol", "-a", "-o", "show", "reservation"])
    return accounts.reservations(done.stdout)


async def licenses(client: SlurmClient) -> list[License]:
    done = await client.read(["scontrol", "-o", "show", "licenses"])
    return accounts.licenses(done.stdout)


async def settings(client: SlurmClient) -> dict[str, str]:
    """slurm.conf as slurmctld runs with it: `AccountingStorageEnforce`, `MaxArraySize`, ..."""
    done = await client.read(["scontrol", "show", "config"])
    return accounts.settings(done.stdout)


async def is_operator(client: SlurmClient) -> bool | None:
    """Whether Slurm lets the account that asks do what only operators may; None: not known."""
    user = await client.whoami()
    if user == "root" or not user:
        return True if user else None
    try:
        out = await _sacctmgr(
            client, "show", "user", "where", f"name={user}", "format=User,AdminLevel"
        )
    except (RPCError, HostError):
        return None
    for line in out.splitlines():
        name, _, level = line.partition("|")
        if name == user and level in ("None", "Operator", "Administrator"):
            return level != "None"
    return None


async def operator_note(client: SlurmClient, what: str) -> tuple[str, ...]:
    """A sentence for a plan where it is known that Slurm will refuse this account."""
    if await is_operator(client) is not False:
        return ()
    return (f"Slurm lets only operators {what}: it will refuse this account",)


async def _sacctmgr(client: SlurmClient, *more: str) -> str:
    done = await client.run(["sacctmgr", "-n", "-P", *more])
    said = f"{done.stdout}\n{done.stderr}"
    if "not running a supported accounting_storage" in said:
        text = "Slurm keeps no accounting here: there are no QoS, accounts and limits of them"
        raise RPCError(msg=text, kind="not-found")
    if done.rc != 0:
        if "onnection refused" in said:
            text = f"slurmdbd does not answer (asked from {client.host.name})"
            raise RPCError(msg=text, kind="refused")
        raise error_of("sacctmgr", client.host.name, done.stdout, done.stderr)
    return done.stdout
