"""Qualities of service."""

from __future__ import annotations

from typing import Any

from labtui.slurm import bridge
from labtui.slurm.db.connection import Connection, _open_conn_or_error
from labtui.slurm.db.filters import Filter, joined
from labtui.slurm.record import Record
from labtui.slurm.served import COUNT, WORD, WRITTEN, Served, as_text

_PREEMPT = frozenset({"cluster", "off", "cancel", "requeue", "suspend", "gang", "within"})


class QualityOfServiceFilter(Filter):
    """Which ones."""

    names: list[str] | None = None
    ids: list[int] | None = None
    descriptions: list[str] | None = None
    preempt_modes: list[str] | None = None
    with_deleted: bool | None = None

    def _create(self) -> list[str]:
        """The arguments of `sacctmgr show qos`. ValueError for an unknown preempt mode."""
        modes = [str(mode) for mode in self.preempt_modes or ()]
        for mode in modes:
            if mode.lower() not in _PREEMPT:
                raise ValueError(f"Unknown preempt mode: {mode}")
        argv = [
            f"{key}={joined(value)}"
            for key, value in (
                ("names", self.names), ("id", self.ids), ("description", self.descriptions),
                ("preemptmode", modes),
            )
            if value
        ]  # fmt: skip
        return [
            *(["withdeleted"] if self.with_deleted else []),
            *(["where"] if argv else []),
            *argv,
        ]


class QualityOfService(Record):
    """One QoS. PySlurm 25.11 has these three fields; its limits are in `slurm.accounting`."""

    name = Served(WORD, "Name", "name", "Its name.", put=as_text)
    description = Served(WRITTEN, "Descr", "description", "What it is for.")
    id = Served(COUNT, "ID", "id", "Its number.")

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"pyslurm.db.QualityOfService({self.name})"

    @staticmethod
    def load(name: str) -> QualityOfService:
        """`sacctmgr show qos where names=NAME`. RPCError where there is none."""
        from labtui.slurm.db import aio

        return bridge.call(lambda client: aio.quality_of_service(client, name))


class QualitiesOfService(dict[Any, QualityOfService]):
    """All of them by name, or by number."""

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def load(
        db_filter: QualityOfServiceFilter | None = None,
        db_connection: Connection | None = None,
        name_is_key: bool = True,
    ) -> QualitiesOfService:
        """`sacctmgr show qos`"""
        from labtui.slurm.db import aio

        _open_conn_or_error(db_connection)
        return bridge.call(lambda client: aio.qualities_of_service(client, db_filter, name_is_key))


def _validate_qos_single(qid: Any, data: QualitiesOfService) -> int | None:
    """The number of a QoS. ValueError where there is none."""
    for item in data.values():
        if qid in (item.id, item.name):
            return item.id
    raise ValueError(f"Invalid QOS specified: {qid}")


def _qos_names_to_ids(qos_list: Any, data: QualitiesOfService) -> list[int | None] | None:
    """The numbers of some. ValueError where there is one too few."""
    return [_validate_qos_single(one, data) for one in qos_list] if qos_list else None
