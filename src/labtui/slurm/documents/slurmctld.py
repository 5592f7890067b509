"""`sdiag`, `scontrol ping`, `scontrol show config`, slurmrestd's diag and ping."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from labtui.slurm import fields, values
from labtui.slurm.core.slurmctld.base import PingResponse
from labtui.slurm.core.slurmctld.config import (
    AccountingGatherConfig,
    CgroupConfig,
    Config,
    MPIConfig,
)
from labtui.slurm.core.slurmctld.stats import (
    RPCPending,
    RPCType,
    RPCUser,
    Statistics,
)
from labtui.slurm.documents import Document, data_parser, entries
from labtui.slurm.errors import PyslurmError
from labtui.slurm.record import Record
from labtui.slurm.served import from_json, from_text, look

R = TypeVar("R", bound=Record)

# -- ping ------------------------------------------------------------------------------------

_PING = re.compile(r"^Slurmctld\(([\w ]+)\) at (\S+) is (UP|DOWN)\s*$", re.MULTILINE)


def pings(document: Document) -> list[PingResponse]:
    """Every controller, the primary one first."""
    found = []
    if isinstance(document, str):
        for role, host, word in _PING.findall(document):
            known = {"hostname": host, "is_responding": word == "UP"}
            found.append(known | {"is_primary": role == "primary"})
        if not found:
            raise PyslurmError("this is not what `scontrol ping` prints")
    else:
        found = [_ping(one) for one in entries(document, "pings")]
    return [PingResponse.of({**known, "index": n}) for n, known in enumerate(found)]


def _ping(record: dict[str, Any]) -> dict[str, Any]:
    known = from_json(PingResponse, record)
    word = fields.text(record.get("pinged")) or fields.text(record.get("ping"))  # 21.08: ping
    word = word or fields.text(record.get("status"))  # v0.0.45
    if known.get("is_responding") is None and word in ("UP", "DOWN"):
        known["is_responding"] = word == "UP"
    if known.get("is_primary") is None and isinstance(record.get("mode"), str):
        known["is_primary"] = record["mode"] == "primary"
    latency = fields.num(record.get("latency"), zero=False)
    known["latency"] = None if latency is None else round(latency / 1000, 3)
    return known


# -- config ----------------------------------------------------------------------------------

_SETTING = re.compile(r"^([A-Za-z_][\w]*)(\[\d+\])?\s*= ?(.*)$")


def config(document: Document) -> Config:
    """The configuration; PyslurmError for what is none."""
    if not isinstance(document, str):
        raise PyslurmError("scontrol never prints its configuration as JSON")
    known: dict[str, str] = {}
    rest: dict[str, str] = {}
    part, numbered = known, set()
    for line in document.split("\n"):
        found = _SETTING.match(line)
        if found is None:
            if re.match(r"[A-Z][\w ./-]*:\s*$", line):  # a plugin's own section
                part = rest
            continue
        key, number, value = found[1], found[2], found[3].strip()
        if number and key in numbered:
            part[key] += f",{value}"
        else:
            part.setdefault(key, value)
        if number:
            numbered.add(key)
    if "ClusterName" not in known:
        raise PyslurmError("this is not what `scontrol show config` prints")
    one = Config.of(from_text(Config, known))
    one.cgroup_config = CgroupConfig.of(from_text(CgroupConfig, rest))
    one.accounting_gather_config = AccountingGatherConfig.of(
        from_text(AccountingGatherConfig, rest)
    )
    one.mpi_config = MPIConfig.of(from_text(MPIConfig, rest))
    return one


# -- statistics ------------------------------------------------------------------------------


def statistics(document: Document) -> Statistics:
    """Of `sdiag`, in any of its forms."""
    return _of_text(document) if isinstance(document, str) else _of_json(document)


def _of_json(document: dict[str, Any]) -> Statistics:
    told = document.get("statistics")
    if not isinstance(told, dict):
        raise PyslurmError("the JSON has no statistics")
    found = Statistics()
    found._fill(from_json(Statistics, told))
    if (data_parser(document) or (0, 0, 39)) > (0, 0, 38):
        whole, cycles = found.backfill_table_size_sum, found.backfill_cycle_counter
        mean = whole // cycles if whole is not None and cycles else None
        found.__dict__["backfill_table_size_mean"] = mean
    for name, path in (("schedule_exit", "schedule_exit"), ("backfill_exit", "bf_exit")):
        there, record = look(told, path)
        if there and isinstance(record, dict):
            getattr(found, name)._fill(from_json(type(getattr(found, name)), record))
    for one in _all(told, "rpcs_by_message_type", RPCType):
        found.rpcs_by_type[str(one.name)] = one
    for user in _all(told, "rpcs_by_user", RPCUser):
        found.rpcs_by_user[user.user_name or str(user.user_id)] = user
    for waiting in _all(told, "pending_rpcs", RPCPending):
        found.rpcs_pending[str(waiting.name)] = waiting
    return found


def _all(told: dict[str, Any], key: str, kind: type[R]) -> list[R]:
    found = told.get(key)
    records = found if isinstance(found, list) else []
    return [kind.of(from_json(kind, one)) for one in records if isinstance(one, dict)]


_ITEM = re.compile(r"^(\t?)(\S[^\n]*?):\s*(.*?)\s*$")
_WHEN = re.compile(r"\((\d{1,11})\)\s*$")
_RPC = re.compile(r"^\t(\S.*?)\s*\(\s*(\d{1,10})\)\s+(.*)$")
_FIGURE = re.compile(r"(\w+):\s*(\d{1,18})\b")


def _of_text(text: str) -> Statistics:
    known: dict[str, str] = {}
    found = Statistics()
    section = ""
    for line in text.split("\n"):
        rpc = _RPC.match(line) if "RPC stat" in section or "Procedure Call" in section else None
        if rpc is not None:
            _remember(found, section, rpc)
        elif line.startswith(("sdiag output at", "Data since")):
            when = _WHEN.search(line)
            if when:
                known[" ".join(line.split()[: 3 if line[0] == "s" else 2])] = when[1]
        elif line.startswith("Backfilling stats"):
            section = "Backfilling stats"
            found.__dict__["backfill_active"] = "WARNING" in line
        elif item := _ITEM.match(line):
            key, value = item[2], item[3]
            when = _WHEN.search(value)
            value = when[1] if when else value.removesuffix(" microseconds")
            if value or item[1]:
                known.setdefault(f"{section}/{key}" if item[1] else key, value)
            else:
                section = key
        elif line.strip() and not line.startswith(("\t", "*")):
            section = line.strip()
    if "Data since" not in known:
        raise PyslurmError("this is not what sdiag prints")
    found._fill(from_text(Statistics, known))
    found.schedule_exit._fill(from_text(type(found.schedule_exit), known))
    found.backfill_exit._fill(from_text(type(found.backfill_exit), known))
    return found


def _remember(found: Statistics, section: str, rpc: re.Match[str]) -> None:
    """A line of the tables of requests."""
    name, number = rpc[1], values.whole(rpc[2])
    said = {key: int(value) for key, value in _FIGURE.findall(rpc[3])}
    figures = {"count": said.get("count")}
    times = figures | {"time": said.get("total_time"), "average_time": said.get("ave_time")}
    if "by user" in section:
        found.rpcs_by_user[name] = RPCUser.of({"user_id": number, "user_name": name} | times)
    elif "Pending" in section:
        found.rpcs_pending[name] = RPCPending.of({"id": number, "name": name} | figures)
    else:
        queue = {k: said[k] for k in ("queued", "dropped", "cycle_last", "cycle_max") if k in said}
        found.rpcs_by_type[name] = RPCType.of({"id": number, "name": name} | times | queue)
