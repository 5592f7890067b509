"""Limits, shares and reservations as sacctmgr, sshare and scontrol print them. Pure.

Odd input gives less, never an error: a record that cannot be read is left out, a figure that
cannot be read is None. Formats: sacctmgr(1) and sshare(1) with `-n -P`; `scontrol -o`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from labtui.model import Reservation, Share
from labtui.slurm import values
from labtui.slurm.scontrol import pairs
from labtui.slurm.types import Association, License, Qos

_LIMITS = {
    "GrpTRES": "grp_tres", "GrpTRESMins": "grp_tres_mins", "GrpTRESRunMins": "grp_tres_run_mins",
    "GrpJobs": "grp_jobs", "GrpSubmit": "grp_submit_jobs", "GrpWall": "grp_wall",
    "MaxTRES": "max_tres_per_job", "MaxTRESPerNode": "max_tres_per_node",
    "MaxTRESMins": "max_tres_mins_per_job", "MaxWall": "max_wall",
}  # fmt: skip
_QOS = _LIMITS | {
    "Priority": "priority", "Flags": "flags", "Preempt": "preempt", "UsageFactor": "usage_factor",
    "MaxTRESPU": "max_tres_per_user", "MaxJobsPU": "max_jobs_per_user",
    "MaxSubmitPU": "max_submit_jobs_per_user", "MaxTRESPA": "max_tres_per_account",
    "MaxJobsPA": "max_jobs_per_account", "MaxSubmitPA": "max_submit_jobs_per_account",
    "MinTRES": "min_tres_per_job", "Name": "name",
}  # fmt: skip
_ASSOCIATION = _LIMITS | {
    "Cluster": "cluster", "Account": "account", "User": "user", "Partition": "partition",
    "ParentName": "parent", "Share": "shares", "Priority": "priority", "MaxJobs": "max_jobs",
    "MaxSubmit": "max_submit_jobs", "QOS": "qos", "DefaultQOS": "default_qos",
}  # fmt: skip
_TRES = re.compile(r"(?:grp|max|min)_tres")
_LISTS = ("flags", "preempt", "qos")
_TIMES = ("grp_wall", "max_wall")
_WORDS = ("name", "cluster", "account", "user", "partition", "parent", "default_qos")

QOS_FIELDS = ",".join(_QOS)
"""For `sacctmgr -nP show qos format=`: names that every release since 21.08 has."""
ASSOCIATION_FIELDS = ",".join(_ASSOCIATION)
SHARE_FIELDS = ("Account", "User", "RawShares", "NormShares", "RawUsage", "EffectvUsage",
                "FairShare", "LevelFS")  # fmt: skip


def qos(output: str) -> list[Qos]:
    """`sacctmgr -nP show qos format=QOS_FIELDS`."""
    return [Qos(**of) for of in _records(output, _QOS) if of["name"]]


def associations(output: str) -> list[Association]:
    """`sacctmgr -nP show assoc format=ASSOCIATION_FIELDS`."""
    found = _records(output, _ASSOCIATION)
    return [Association(**of) for of in found if of["cluster"] and of["account"]]


def _records(output: str, fields: dict[str, str]) -> Iterator[dict[str, Any]]:
    for line in output.split("\n"):
        parts = line.split("|")
        if len(parts) == len(fields):
            yield {n: _value(n, p) for n, p in zip(fields.values(), parts, strict=True)}


def _value(name: str, part: str) -> Any:
    if _TRES.match(name):
        return values.amounts(part, minutes="mins" in name)
    if name in _LISTS:
        return tuple(item for item in part.split(",") if item)
    if name in _TIMES:
        return values.minutes(part)
    if name in _WORDS:
        return part.strip() or None
    return number(part) if name == "usage_factor" else values.whole(part)


def number(part: str) -> float | None:
    """A plain decimal number; None for anything else, infinity included."""
    part = part.strip()
    return float(part) if re.fullmatch(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", part) else None


def shares(output: str) -> list[Share]:
    """`sshare -a -n -P -o SHARE_FIELDS`: the tree is in the blanks before the account.

    22.05 prints users that were changed of late before the tree: they are put below their account.
    """
    found: list[Share] = []
    for line in output.split("\n"):
        parts = line.split("|")
        if len(parts) < len(SHARE_FIELDS) or not parts[0].strip():
            continue
        of = dict(zip(SHARE_FIELDS, parts, strict=False))
        user = of["User"].strip() or None
        found.append(
            Share(
                account=of["Account"].strip(),
                user=user,
                depth=len(of["Account"]) - len(of["Account"].lstrip()),
                shares=values.whole(of["RawShares"]),
                share_part=_part(of["NormShares"]),
                usage=values.whole(of["RawUsage"]),
                usage_part=_part(of["EffectvUsage"]),
                fair_share=_part(of["FairShare"]),
                level=number(of["LevelFS"]),
            )
        )
    return _in_tree(found)


def _in_tree(found: list[Share]) -> list[Share]:
    depths = {one.account: one.depth for one in found if one.user is None}
    stray = [one for one in found if one.user and one.depth == 0 and one.account in depths]
    if not stray:
        return found
    ordered: list[Share] = []
    for one in found:
        if one in stray:
            continue
        ordered.append(one)
        if one.user is None:
            below = (other for other in stray if other.account == one.account)
            ordered += [structs.replace(other, depth=one.depth + 1) for other in below]
    return ordered


def _part(value: str) -> float | None:
    found = number(value)
    return found if found is not None and found <= 1.0 else None


def reservations(output: str) -> list[Reservation]:
    """`scontrol -a -o show reservation`."""
    lines = (line for line in output.split("\n") if line.startswith("ReservationName="))
    return [_reservation(pairs(line)) for line in lines]


def _reservation(of: dict[str, str]) -> Reservation:
    def names(key: str) -> tuple[str, ...]:
        value = values.text(of.get(key, ""))
        return tuple(value.split(",")) if value else ()

    return Reservation(
        name=of["ReservationName"],
        state=values.text(of.get("State", "")),
        start_time=values.moment(of.get("StartTime", "")),
        end_time=values.moment(of.get("EndTime", "")),
        nodes=values.nodes(of.get("Nodes", "")),
        node_count=values.whole(of.get("NodeCnt", "")),
        cores=values.whole(of.get("CoreCnt", "")),
        partition=values.text(of.get("PartitionName", "")),
        users=names("Users"),
        accounts=names("Accounts"),
        groups=names("Groups"),
        flags=names("Flags"),
        features=values.text(of.get("Features", "")),
        licenses=values.text(of.get("Licenses", "")),
        tres=values.text(of.get("TRES", "")),
        comment=values.text(of.get("Comment", "")),
    )


def licenses(output: str) -> list[License]:
    """`scontrol -o show licenses`."""
    found = []
    for line in output.split("\n"):
        of = pairs(line)
        if name := values.text(of.get("LicenseName", "")):
            total, used, free = (values.whole(of.get(k, "")) for k in ("Total", "Used", "Free"))
            found.append(License(name, total, used, free))
    return found


def settings(output: str) -> dict[str, str]:
    """`scontrol show config`: `Name = value` lines; what is not set is left out."""
    found: dict[str, str] = {}
    for line in output.split("\n"):
        name, equals, value = line.partition("=")
        known = values.text(value)
        if equals and known is not None and re.fullmatch(r"[\w/ -]{1,60}", name):
            found[name.strip()] = known
    return found


def with_usage(found: list[Qos], output: str) -> list[Qos]:
    """The QoS with what is used of their minutes: `scontrol -o show assoc_mgr flags=qos`."""
    used: dict[str, dict[str, int]] = {}
    for line in output.split("\n"):
        of = pairs(line)
        name = re.match(r"(.+)\(\d+\)\Z", of.get("QOS", ""))
        if name:
            used[name[1]] = _spent(of.get("GrpTRESMins", ""))
    return [replace(one, used_tres_mins=used.get(one.name, {})) for one in found]


def _spent(value: str) -> dict[str, int]:
    """`cpu=1000(23),mem=N(0)`: what stands in parentheses is used."""
    return {n: int(used) for n, used in re.findall(r"([\w/:.-]+)=(?:N|\d+)\((\d{1,18})\)", value)}
