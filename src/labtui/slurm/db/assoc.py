"""Associations: who may use which account on which cluster, and how much."""

from __future__ import annotations

from typing import Any

from labtui.slurm import bridge, settings, values
from labtui.slurm.constants import UNLIMITED
from labtui.slurm.db.connection import Connection, _open_conn_or_error
from labtui.slurm.db.filters import Filter
from labtui.slurm.db.kinds import TRACKED
from labtui.slurm.db.tres import GPU, TrackableResource, TrackableResources
from labtui.slurm.record import Record
from labtui.slurm.served import (
    COUNT,
    LIMIT,
    LIST,
    SIZE,
    WORD,
    WRITTEN,
    YES,
    Changeable,
    Kind,
    Served,
    as_count,
    as_list,
    as_text,
    none,
)
from labtui.slurm.xcollections import MultiClusterMap


def _minutes(value: str) -> int | str | None:
    return values.minutes(value) if value.strip() else None


def _sent(value: Any) -> str:
    """-1 takes a limit away."""
    return "-1" if value == UNLIMITED else str(value)


def _amounts(value: Any) -> str:
    flat = value.to_dict(flatten_limits=True) if isinstance(value, TrackableResources) else {}
    held = {k: v.count for k, v in flat.items() if isinstance(v, TrackableResource | GPU)}
    return ",".join(f"{name}={count}" for name, count in held.items())


def _as_resources(value: Any) -> TrackableResources | None:
    """Of resources, `{"cpu": 10}` or `cpu=10`. ValueError for an amount that is no number."""
    if value is None or isinstance(value, TrackableResources):
        return value
    if isinstance(value, str):
        found: TrackableResources | None = TrackableResources.from_str(value)
        return found
    return TrackableResources(**value)


BOUND: Kind[int | str | None] = Kind(LIMIT.text, lambda v: _bound(v), none, _sent)
"""A limit; none set is None."""
WALL: Kind[int | str | None] = Kind(_minutes, lambda v: _bound(v), none, _sent)
HELD: Kind[TrackableResources | None] = Kind(TRACKED.text, TRACKED.json, none, _amounts)


def _bound(value: Any) -> int | None:
    """JSON writes "no limit" where sacctmgr leaves the field empty."""
    return COUNT.json(value)


class AssociationFilter(Filter):
    """Which ones."""

    users: list[str] | None = None
    ids: list[int] | None = None


class Association(Changeable):
    """One association; an account's own has no user. Limits that are not set are None."""

    account = Served(WORD, "Account", "account", "The account.", put=as_text)
    cluster = Served(WORD, "Cluster", "cluster", "The cluster.", put=as_text)
    comment = Served(WRITTEN, "Comment", "comment", "Free text; 23.11 or later.", put=as_text)
    group_jobs = Served(
        BOUND, "GrpJobs", "max.jobs.per.count", "Running jobs, of all below it.", put=as_count
    )
    group_jobs_accrue = Served(
        BOUND, "GrpJobsAccrue", "max.jobs.per.accruing", "Waiting jobs that gain priority.",
        put=as_count,
    )  # fmt: skip
    group_submit_jobs = Served(
        BOUND, "GrpSubmit|GrpSubmitJobs", "max.jobs.per.submitted", "Jobs, of all below it.",
        put=as_count,
    )  # fmt: skip
    group_wall_time = Served(
        WALL, "GrpWall", "max.per.account.wall_clock", "Minutes, of all below it.", put=as_count
    )
    id = Served(SIZE, "ID", "id|id_association", "Its number; 24.11's JSON has 0 here: None.",
                put=as_count)  # fmt: skip
    is_default = Served(YES, "", "is_default", "The user's default account; JSON alone tells.")
    max_jobs = Served(BOUND, "MaxJobs", "max.jobs.active", "Running jobs.", put=as_count)
    max_jobs_accrue = Served(
        BOUND, "MaxJobsAccrue", "max.jobs.accruing", "Waiting jobs that gain priority.",
        put=as_count,
    )  # fmt: skip
    max_submit_jobs = Served(
        BOUND, "MaxSubmit|MaxSubmitJobs", "max.jobs.total", "Jobs.", put=as_count
    )
    max_wall_time_per_job = Served(
        WALL, "MaxWall|MaxWallDurationPerJob", "max.jobs.per.wall_clock", "Minutes.", put=as_count
    )
    min_priority_threshold = Served(
        BOUND, "MinPrioThres|MinPrioThresh", "min.priority_threshold", "Priority from which on "
        "nodes are reserved for a job.", put=as_count,
    )  # fmt: skip
    parent_account = Served(WORD, "ParentName|Par Name", "parent_account", "The account above.")
    parent_account_id = Served(COUNT, "ParentID|Par ID", "", "The association above.")
    partition = Served(WORD, "Partition", "partition", "The partition it is for.", put=as_text)
    priority = Served(BOUND, "Priority", "priority", "Added to its jobs' priority.", put=as_count)
    shares = Served(BOUND, "Share|Fairshare", "shares_raw", "Its fair share.", put=as_count)
    user = Served(WORD, "User", "user", "The user.", put=as_text)
    group_tres = Served(
        HELD, "GrpTRES", "max.tres.total", "What all below it may hold.", put=_as_resources
    )
    group_tres_mins = Served(
        HELD, "GrpTRESMins", "max.tres.group.minutes", "Resource minutes.", put=_as_resources
    )
    group_tres_run_mins = Served(
        HELD, "GrpTRESRunMins", "max.tres.group.active", "Resource minutes of running jobs. "
        "(PySlurm 25.11 has `group_tres_mins` here.)", put=_as_resources,
    )  # fmt: skip
    max_tres_mins_per_job = Served(
        HELD, "MaxTRESMins", "max.tres.minutes.per.job", "Resource minutes.", put=_as_resources
    )
    max_tres_run_mins_per_user = Served(
        HELD, "MaxTRESRunMinsPU", "max.tres.minutes.total", "Resource minutes of running jobs.",
        put=_as_resources,
    )  # fmt: skip
    max_tres_per_job = Served(
        HELD, "MaxTRES", "max.tres.per.job", "What a job may ask for.", put=_as_resources
    )
    max_tres_per_node = Served(
        HELD, "MaxTRESPerNode", "max.tres.per.node", "On each node.", put=_as_resources
    )
    qos = Served(LIST, "QOS", "qos", "Names of QoS it may use.", put=as_list)

    def __init__(self, **kwargs: Any) -> None:
        self._changed = {}
        self.__dict__["cluster"] = settings.local_cluster()
        self._assign(kwargs)

    def __repr__(self) -> str:
        return f"pyslurm.db.Association({self.id})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Association):
            return NotImplemented
        return (self.id, self.cluster) == (other.id, other.cluster)

    def __hash__(self) -> int:
        return hash((self.id, self.cluster))


class Associations(MultiClusterMap[int, Association]):
    """Associations by number."""

    def __init__(self, assocs: Any = None) -> None:
        super().__init__(assocs, "Associations", Association, int, Association.id)

    @staticmethod
    def load(
        db_filter: AssociationFilter | None = None, db_connection: Connection | None = None
    ) -> Associations:
        """`sacctmgr show assoc`"""
        from labtui.slurm.db import aio

        _open_conn_or_error(db_connection)
        return bridge.call(lambda client: aio.associations(client, db_filter))

    @staticmethod
    def modify(
        db_filter: AssociationFilter | Associations,
        changes: Association,
        db_connection: Connection | None = None,
    ) -> list[str]:
        """`sacctmgr -i modify user|account where ... set ...`, one for each association. Gives
        what sacctmgr says of each. With a connection it waits for `commit`. RPCError where nothing
        was changed or Slurm refuses."""
        from labtui.slurm.db import aio

        _open_conn_or_error(db_connection)
        waiting = None if db_connection is None else db_connection._waiting
        return bridge.call(
            lambda client: aio.modify_associations(client, db_filter, changes, waiting)
        )


def named(record: type[Record]) -> list[str]:
    """The first text key of each field."""
    fields = [field for field in record._fields.values() if isinstance(field, Served)]
    return list(dict.fromkeys(field.key for field in fields if field.text))
