"""What Slurm would accept and never run: checked against the cluster as it is, before sending.

Slurm takes jobs that no node can ever run (EnforcePartLimits=NO is its default) and leaves them
pending; so this says it first. What is not known about a cluster is not claimed.
"""

from __future__ import annotations

from collections.abc import Iterable

from labtui.slurm import values
from labtui.slurm.allowance import allowance
from labtui.slurm.capacity import Capacity
from labtui.slurm.never import Charge, enforces, low, shut
from labtui.slurm.script import BatchScript
from labtui.slurm.types import Association, Partition
from labtui.slurm.urgency import FINISHED
from labtui.slurm.usage import Context, here
from labtui.slurm.wanted import cards, node_names, wanted, wanted_tres
from labtui.text import inert

ELSEWHERE = ("clusters", "cluster-constraint")
"""With these the job may run on another cluster, of which nothing is known."""


def default_partition(context: Context, names: str) -> Partition | None:
    """The first of these that there is; the default one without a name."""
    if names:
        wanted = names.split(",")
        return next((p for n in wanted for p in context.partitions if p.name == n), None)
    return next((p for p in context.partitions if p.is_default), None)


def places(context: Context) -> list[Association]:
    """The accounts that the user may charge here."""
    return [a for a in here(context) if a.user == context.me and a.user]


def check_limits(asked: BatchScript, context: Context) -> list[str]:
    """One sentence for each thing that cannot be had, naming the field. Empty: nothing found.

    Without partitions (Slurm has not answered yet) nothing can be said.
    """
    if not context.partitions or any(option in asked.options for option in ELSEWHERE):
        return []
    by_name = {p.name: p for p in context.partitions}
    named = [name for name in asked.get("partition").split(",") if name]
    unknown = [name for name in named if name not in by_name]
    if unknown:
        return [_no_such("partition", unknown[0], by_name)]
    chosen = [by_name[name] for name in named] or _unnamed(asked, context)
    if chosen is None:
        return ["partition: this cluster has no default one; choose one"]
    wants, tres = wanted(asked), wanted_tres(asked)
    each = 0 if asked.get("gpus") else cards(wants.gres)
    found: list[tuple[list[str], list[str]]] = []
    for partition in chosen:  # of several partitions one that fits is enough
        name, charge = inert(partition.name, 40), _charge(asked, partition, context)
        there = Capacity(wants, partition, context)
        never = [no.in_field(name) for no in shut(wants, charge, partition, context)]
        never += there.never()
        waits = there.waits(each)
        if partition.state != "UP":
            waits.append(f"partition: {name} is {partition.state.lower()}; the job would wait")
        more_never, more_waits = allowance(wants, tres, charge, partition, context)
        found.append((never + more_never, waits + more_waits))
    never, waits = min(found, key=lambda one: (len(one[0]), len(one[1])), default=([], []))
    general = _against_names(asked, context) + _against_dependency(asked, context)
    return [*never, *waits, *general, *_against_accounting(asked, context)]


def _unnamed(asked: BatchScript, context: Context) -> list[Partition] | None:
    """Where it goes that names no partition; empty: not known, None: there is none."""
    if "JobSubmitPlugins" in context.settings:
        return []  # it may choose one
    name = asked.get("reservation")
    if not name:
        default = default_partition(context, "")
        return None if default is None else [default]
    kept = {r.partition for r in context.reservations if r.name == name}
    return [p for p in context.partitions if p.name in kept]


def _charge(asked: BatchScript, partition: Partition, context: Context) -> Charge:
    """Who pays; as it is without a word of it where that is certain."""
    account, qos = asked.get("account"), asked.get("qos")
    if "uid" in asked.options:
        return Charge(None, account or None, qos or None)  # root's, for another user
    sure = "JobSubmitPlugins" not in context.settings
    at = [p for p in places(context) if not account or low(p.account) == low(account)]
    at = [p for p in at if p.partition == partition.name] or [p for p in at if not p.partition]
    if sure and len(at) == 1:
        account, qos = account or at[0].account, qos or at[0].default_qos or ""
    place = at[0] if len(at) == 1 and (sure or asked.get("account")) else None
    return Charge(context.me or None, account or None, qos or None, place)


def _no_such(what: str, name: str, there: Iterable[str]) -> str:
    names = ", ".join(inert(one, 40) for one in there)
    return f"{what}: there is no {inert(name, 40)}; choose from {names}"


def _against_names(asked: BatchScript, context: Context) -> list[str]:
    """Machines and reservations that there are not."""
    found = []
    names = {n.name for n in context.nodes}  # Slurm hides those that are off, in the cloud
    known_too = {name for p in context.partitions for name in p.nodes}
    for option in ("nodelist", "exclude"):
        unknown = [n for n in node_names(asked.get(option)) if n not in names | known_too]
        if names and unknown:
            found.append(f"{option}: there is no machine {inert(unknown[0], 40)}")
    reservation = asked.get("reservation")
    known = [one.name for one in context.reservations]
    if known and reservation and any(r not in known for r in reservation.split(",")):
        found.append(_no_such("reservation", reservation, known))
    most = values.whole(context.settings.get("MaxArraySize", ""))
    top = max((int(n) for n in _numbers(asked.get("array"))), default=0)
    if most is not None and top >= most:
        found.append(f"array: an index may be at most {most - 1} here (MaxArraySize)")
    return found


def _against_dependency(asked: BatchScript, context: Context) -> list[str]:
    """What could never become true."""
    found = []
    for part in asked.get("dependency").split(","):
        kind, _, ids = part.partition(":")
        for job_id in ids.split(":") if kind in ("afterok", "afternotok") else ():
            states = {job.state for job in context.find(job_id.partition("+")[0])}
            over = states and states <= FINISHED
            if over and kind == "afterok" and states != {"COMPLETED"}:
                said = ", ".join(sorted(states)).lower()
                found.append(f"after: {job_id} is over ({said}), not ok; write {job_id} any")
            elif over and kind == "afternotok" and states == {"COMPLETED"}:
                found.append(f"after: {job_id} ended well, so this would never start")
    return found


def _numbers(array: str) -> list[str]:
    tasks = array.partition("%")[0].replace("-", ",").split(",")
    return [t for part in tasks if (t := part.partition(":")[0]).isascii() and t.isdigit()]


def _against_accounting(asked: BatchScript, context: Context) -> list[str]:
    """What the accounting would refuse; nothing is claimed where it is not kept."""
    found: list[str] = []
    mine = [] if "uid" in asked.options else places(context)
    account, qos = low(asked.get("account")), low(asked.get("qos"))
    if account and mine and enforces(context, "associations"):
        own = sorted({p.account for p in mine})
        if account not in map(low, own):
            known = ", ".join(inert(one, 40) for one in own)
            found.append(f"account: you may not charge {inert(account, 40)}; choose from {known}")
    if not qos or not enforces(context, "qos"):
        return found
    by_name = {low(q.name): q.name for q in context.qos}
    if by_name and qos not in by_name:
        return [*found, _no_such("qos", asked.get("qos"), by_name.values())]
    at = [p for p in mine if not account or low(p.account) == account]
    allowed = sorted({name for place in at for name in place.qos})
    if allowed and qos not in map(low, allowed):
        known = ", ".join(inert(one, 40) for one in allowed)
        found.append(f"qos: you may not use {inert(qos, 40)}; choose from {known}")
    return found
