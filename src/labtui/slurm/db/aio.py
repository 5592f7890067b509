"""The asynchronous face of the accounting: the same objects.

All functions take a SlurmClient first and raise HostError or RPCError.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence

from labtui.slurm.client import SlurmClient
from labtui.slurm.commands import READ_ENV
from labtui.slurm.core.aio import cluster as own_cluster
from labtui.slurm.db.assoc import Association, AssociationFilter, Associations, named
from labtui.slurm.db.connection import Connection
from labtui.slurm.db.filters import JobFilter, joined
from labtui.slurm.db.job import Job, Jobs
from labtui.slurm.db.qos import QualitiesOfService, QualityOfService, QualityOfServiceFilter
from labtui.slurm.db.stats import COLUMNS
from labtui.slurm.db.step import JobStep
from labtui.slurm.db.tres import TrackableResources
from labtui.slurm.documents import accounting
from labtui.slurm.errors import RPCError, error_of
from labtui.slurm.polling import Marks
from labtui.slurm.utils import cstr

__all__ = [
    "Connection",
    "associations",
    "job",
    "jobs",
    "modify_associations",
    "modify_jobs",
    "qualities_of_service",
    "quality_of_service",
    "reach",
    "tres",
]

TIMEOUT = 60.0
"""Seconds: an accounting of years takes its time."""
CLOCKS = ("TotalCPU", "UserCPU", "SystemCPU")

_columns: weakref.WeakKeyDictionary[SlurmClient, tuple[str, ...]] = weakref.WeakKeyDictionary()


async def _known_columns(client: SlurmClient) -> tuple[str, ...]:
    """Those columns that this release's sacct has. Asks no daemon, once a client."""
    known = _columns.get(client)
    if known is None:
        told = set((await _run(client, ["sacct", "--helpformat"])).split())
        wanted = dict.fromkeys((*named(Job), *named(JobStep), *CLOCKS, *COLUMNS))
        known = _columns[client] = tuple(name for name in wanted if name in told)
    return known


async def jobs(client: SlurmClient, db_filter: JobFilter | None = None) -> Jobs:
    """Jobs with their steps. ValueError for a QoS that there is not."""
    asked = db_filter or JobFilter()
    if asked.qos:
        known = await qualities_of_service(client)
        names = {str(key): q.name for q in known.values() for key in (q.id, q.name)}
        words = [one.name if isinstance(one, QualityOfService) else str(one) for one in asked.qos]
        missing = next((word for word in words if word not in names), None)
        if missing is not None:
            raise ValueError(f"QoS '{missing}' does not exist")
        argv = [arg for arg in asked._create() if not arg.startswith("--qos=")]
        argv.append(f"--qos={joined([str(names[str(word)]) for word in words])}")
    else:
        argv = asked._create()
    columns = await _known_columns(client)
    # Each record ends with the mark, which nobody who named a job has seen.
    mark = Marks().text
    form = [f"--delimiter={mark}", f"--format={','.join(columns)}"]
    told = await _run(client, ["sacct", "-p", "--noconvert", *form, *argv])
    found = accounting.jobs(told, await own_cluster(client))
    if asked.ids and (asked.with_script or asked.with_env):
        for one in found.values():
            await _text_of(client, one, bool(asked.with_script))
    return found


async def _text_of(client: SlurmClient, job: Job, script: bool) -> None:
    """The script, or the environment, that the accounting kept of a job."""
    option = "--batch-script" if script else "--env-vars"
    told = await _run(client, ["sacct", option, f"--jobs={job.id}"])
    _, rule, text = told.partition("\n" + "-" * 80 + "\n")
    if not rule or text.strip() in ("", "NONE"):
        return
    if script:
        job.__dict__["script"] = text.removesuffix("\n")
    else:
        job.__dict__["environment"] = cstr.to_dict(text.strip("\n"), delim1="\n")


async def job(
    client: SlurmClient,
    job_id: int,
    cluster: str | None = None,
    with_script: bool = False,
    with_env: bool = False,
) -> Job:
    """One job. RPCError where the accounting does not know it."""
    asked = JobFilter(ids=[int(job_id)], with_script=with_script, with_env=with_env)
    if cluster:
        asked.clusters = [cluster]
    name = cluster or await own_cluster(client)
    found: Job | None = (await jobs(client, asked)).get((name, int(job_id)))
    if found is None:
        text = f"Job {job_id} does not exist on Cluster {name}"
        raise RPCError(msg=text, kind="not-found")
    return found


async def modify_jobs(
    client: SlurmClient,
    db_filter: JobFilter | Jobs,
    changes: Job,
    waiting: list[list[str]] | None = None,
) -> list[int]:
    """Change what the accounting says of jobs; into `waiting` where that is given."""
    if isinstance(db_filter, Jobs):
        ids = [int(one) for one in db_filter]
    elif db_filter.ids and not set(vars(db_filter)) - {"ids"}:
        ids = [int(one) for one in db_filter.ids]
    else:
        ids = [int(one) for one in await jobs(client, db_filter)]
    asked = changes._sent()
    if not ids or not asked:
        raise RPCError(msg="Nothing was modified")
    argv = ["sacctmgr", "-i", "modify", "job", "where", f"jobid={','.join(map(str, ids))}", "set"]
    if waiting is not None:
        waiting.append([*argv, *asked])
        return ids
    told = await _change(client, [*argv, *asked])
    return [int(number) for number in re.findall(r"^\s+(\d{1,10})\b", told, re.MULTILINE)]


async def qualities_of_service(
    client: SlurmClient,
    db_filter: QualityOfServiceFilter | None = None,
    name_is_key: bool = True,
) -> QualitiesOfService:
    """QoS by name, or by number."""
    where = (db_filter or QualityOfServiceFilter())._create()
    argv = ["sacctmgr", "-P", "show", "qos", "format=ID,Name,Description", *where]
    return accounting.qos(await _run(client, argv), name_is_key)


async def quality_of_service(client: SlurmClient, name: str) -> QualityOfService:
    """One QoS. RPCError where there is none."""
    found = (await qualities_of_service(client)).get(name)
    if found is None:
        raise RPCError(msg=f"QualityOfService {name} does not exist", kind="not-found")
    return found


async def associations(
    client: SlurmClient, db_filter: AssociationFilter | None = None
) -> Associations:
    """Associations by number."""
    asked = db_filter or AssociationFilter()
    names = [name for name in named(Association) if name != "Comment"]
    argv = ["sacctmgr", "-P", "show", "assoc", f"format={','.join(names)}"]
    if asked.users:
        argv += ["where", f"user={joined(asked.users)}"]
    found = accounting.associations(await _run(client, argv))
    for cluster, number in list(found.keys().with_cluster()):
        if asked.ids and number not in [int(one) for one in asked.ids]:
            del found.data[cluster][number]
    return found


async def modify_associations(
    client: SlurmClient,
    db_filter: AssociationFilter | Associations,
    changes: Association,
    waiting: list[list[str]] | None = None,
) -> list[str]:
    """Change limits; into `waiting` where that is given."""
    found = db_filter if isinstance(db_filter, Associations) else None
    if not isinstance(db_filter, Associations):
        found = await associations(client, db_filter)
    asked = changes._sent("account", "cluster", "user", "partition", "id")
    said: list[str] = []
    for one in found.values() if found is not None and asked else ():
        where = [f"account={one.account}", f"cluster={one.cluster}"]
        if one.user:
            where = [f"name={one.user}", *where]
            where += [f"partition={one.partition}"] if one.partition else []
        else:
            where = [f"name={one.account}", f"cluster={one.cluster}"]
        kind = "user" if one.user else "account"
        argv = ["sacctmgr", "-i", "modify", kind, "where", *where, "set", *asked]
        if waiting is not None:
            waiting.append(argv)
            said.append(f"{one.account} {one.user or ''}".strip())
        else:
            said += [line.strip() for line in (await _change(client, argv)).split("\n")[1:] if line]
    if not said:
        raise RPCError(msg="Nothing was modified")
    return said


async def tres(client: SlurmClient) -> TrackableResources:
    """All resources that the accounting tracks, with their numbers."""
    argv = ["sacctmgr", "-P", "show", "tres", "format=ID,Type,Name"]
    return accounting.tres(await _run(client, argv))


async def reach(client: SlurmClient) -> None:
    """RPCError where slurmdbd does not answer."""
    await _run(client, ["sacctmgr", "-n", "-P", "show", "cluster", "format=cluster"])


async def _run(client: SlurmClient, argv: Sequence[str]) -> str:
    """Ask slurmdbd, not slurmctld. RPCError where it does not answer."""
    done = await client.run(argv, env=READ_ENV, timeout=TIMEOUT)
    if done.rc != 0 or "not running a supported accounting_storage" in done.stderr:
        raise error_of(argv[0], client.host.name, done.stdout, done.stderr)
    return done.stdout


async def _change(client: SlurmClient, argv: Sequence[str]) -> str:
    """Tell slurmdbd. RPCError "Nothing was modified" where nothing was."""
    done = await client.run(argv, timeout=TIMEOUT)
    said = f"{done.stdout}\n{done.stderr}"
    if "didn't affect anything" in said or "Nothing modified" in said:
        raise RPCError(msg="Nothing was modified")
    if "Data has not changed" in said:
        raise RPCError(msg="Nothing was modified")
    if done.rc != 0:
        raise error_of(argv[0], client.host.name, done.stdout, done.stderr)
    return done.stdout
