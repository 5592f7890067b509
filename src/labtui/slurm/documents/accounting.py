"""`sacct`, `sacctmgr show qos|assoc|tres`, slurmrestd's slurmdb documents.

Text is a table with a heading, without `-n`: `sacct -p --delimiter=MARK`, `sacctmgr -P` (`marked`),
sacct's own (`sacct`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

from labtui.slurm import fields, settings, values
from labtui.slurm.db.assoc import Association, Associations
from labtui.slurm.db.job import Job, Jobs
from labtui.slurm.db.qos import QualitiesOfService, QualityOfService
from labtui.slurm.db.stats import JobStatistics, JobStepStatistics
from labtui.slurm.db.step import JobStep, JobSteps
from labtui.slurm.db.tres import TrackableResource, TrackableResources
from labtui.slurm.documents import Document, data_parser, entries, sacct
from labtui.slurm.documents.marked import table
from labtui.slurm.errors import PyslurmError
from labtui.slurm.served import from_json, from_text
from labtui.slurm.utils.helpers import humanize_step_id

# -- jobs ------------------------------------------------------------------------------------

_STEP = re.compile(r"(\d{1,10}(?:_\S+?|\+\d+)?)\.(\w+|[bei]\w*\+)")
"""`95.batch`, `39_10.ba+` where sacct cut it off"""
_WAITING = re.compile(r"(\d{1,10})(?:_\[\S*)?")
_ARRAY = re.compile(r"(\d{1,10})_(?:(\d{1,10})|\[([^%\]]*)(?:%(\d{1,10}))?\])")
_HET = re.compile(r"(\d{1,10})\+(\d{1,10})")
_CUT_OFF = {"b": "batch", "e": "extern", "i": "interactive"}
_BY = re.compile(r"CANCELLED by (\d{1,10})")


def jobs(document: Document, cluster: str | None = None) -> Jobs:
    """Jobs with their steps and statistics. A task whose own number is not told has the key
    `39_0`."""
    told = _text_jobs(document) if isinstance(document, str) else _json_jobs(document)
    found = Jobs()
    for job in told:
        if job.cluster is None:
            job.__dict__["cluster"] = cluster or settings.local_cluster()
        job.stats = JobStatistics.from_steps(job.steps)
        job.stats.elapsed_cpu_time = _product(job.elapsed_time, job.cpus)
        found.data.setdefault(str(job.cluster), {})[_key(job)] = job
    found.calc_stats()
    return found


def _key(job: Job) -> Any:
    if job.id is not None:
        return job.id
    if job.array_id is not None:
        return f"{job.array_id}_{job.array_task_id}"
    return f"{job.heterogeneous_id}+{job.heterogeneous_offset}"


def _product(seconds: int | None, cpus: int | None) -> int | None:
    return None if seconds is None or cpus is None else seconds * cpus


def _text_jobs(text: str) -> Iterator[Job]:
    records = sacct.records(text)
    names = {of["UID"]: of["User"] for of in records if of.get("UID") and of.get("User")}
    names.setdefault("0", "root")
    job: Job | None = None
    word = ""
    for of in records:
        by = _BY.match(of.get("State", ""))
        name = names.get(by[1], by[1]) if by else None
        step = _STEP.fullmatch(of.get("JobID", ""))
        if step is not None and job is not None and step[1] == word:
            known = from_text(JobStep, of) | {"cancelled_by": name, "job_id": job.id}
            known["id"] = _step_id(_CUT_OFF.get(step[2][0], "") if "+" in step[2] else step[2])
            one = JobStep.of(known)
            one.stats = _stats(of, one)
            job.steps[one.id] = one
            continue
        if step is None:
            if job is not None:
                yield job
            job, word = _text_job(of, name), of.get("JobID", "")
    if job is not None:
        yield job


def _text_job(of: dict[str, str], cancelled_by: str | None) -> Job:
    known = from_text(Job, of) | {"cancelled_by": cancelled_by}
    known |= dict.fromkeys(
        ("array_id", "array_task_id", "array_tasks_waiting", "array_tasks_parallel",
         "heterogeneous_id", "heterogeneous_offset")
    )  # fmt: skip
    word = of.get("JobID", "")
    array, part = _ARRAY.fullmatch(word), _HET.fullmatch(word)
    if array is not None:
        known["array_id"], known["array_task_id"] = int(array[1]), values.whole(array[2] or "")
        known["array_tasks_waiting"] = array[3]
        known["array_tasks_parallel"] = values.whole(array[4] or "")
    if part is not None:
        known["heterogeneous_id"], known["heterogeneous_offset"] = int(part[1]), int(part[2])
    if known.get("id") is None and (own := _WAITING.fullmatch(word)):
        known["id"] = int(own[1])
    elif known.get("id") is None and known["array_task_id"] is None and part is None:
        raise PyslurmError(f"{word[:40]!r} is no job's number")
    if (known.get("nodelist") or "").startswith("None"):
        known["nodelist"] = None
    job = Job.of(known)
    job.steps = JobSteps()
    for name in ("standard_input", "standard_output", "standard_error"):
        path = getattr(job, name)
        job.__dict__[name] = _filled_in(job, path) if path else None
    return job


def _filled_in(job: Job, path: str) -> str | None:
    if job.id is None and "%" in path:
        return None
    nodes = values.nodes(job.nodelist or "")
    task = job.array_task_id
    return values.expand_path(
        path,
        job_id=str(job.id),
        array_id=None if job.array_id is None else str(job.array_id),
        task_id=None if task is None else str(task),
        name=job.name or "",
        user=job.user_name,
        node=nodes[0] if nodes else None,
    )


def _stats(of: dict[str, str], step: JobStep) -> JobStepStatistics:
    """Statistics of TRESUsage* columns, and of the step's own clock."""
    found = JobStepStatistics.from_columns(of)
    found.total_cpu_time = values.seconds(of.get("TotalCPU", ""))
    found.user_cpu_time = values.seconds(of.get("UserCPU", ""))
    found.system_cpu_time = values.seconds(of.get("SystemCPU", ""))
    found.elapsed_cpu_time = _product(step.elapsed_time, step.cpus)
    return found


def _step_id(word: Any) -> Any:
    """0, `batch`: of a number, of its text, and of Slurm's numbers for names."""
    number = values.whole(word) if isinstance(word, str) else fields.num(word)
    return word if number is None else humanize_step_id(number)


def _untold(known: dict[str, Any]) -> None:
    """v0.0.37 and v0.0.38 say SUCCESS and 0 for every exit code; signals are told."""
    if known.get("exit_code") == 0 and not known.get("exit_code_signal"):
        told = 0 if known.get("state") == "COMPLETED" else None
        known["exit_code"] = known["exit_code_signal"] = told
    if known.get("derived_exit_code") == 0 and not known.get("derived_exit_code_signal"):
        known["derived_exit_code"] = known["derived_exit_code_signal"] = None


def _json_jobs(document: dict[str, Any]) -> Iterator[Job]:
    old = (0, 0, 0) < (data_parser(document) or (0, 0, 0)) < (0, 0, 39)
    for record in entries(document, "jobs"):
        known = from_json(Job, record)
        if old:
            _untold(known)
        if known.get("id") is None:
            continue
        state = fields.states(record.get("state", {}).get("current"))
        if "PENDING" not in state or not known.get("array_id"):
            known["array_tasks_waiting"] = None
        if known.get("array_id") is None:
            known["array_task_id"] = known["array_tasks_parallel"] = None
        elif known.get("array_tasks_waiting"):
            known["array_tasks_waiting"] = (
                known["array_tasks_waiting"].partition("%")[0].strip("[]")
            )
        if known.get("heterogeneous_id") is None:
            known["heterogeneous_offset"] = None
        if (known.get("nodelist") or "").startswith("None"):
            known["nodelist"] = None
        if known.get("working_directory") is None:
            known.pop("working_directory", None)
        job = Job.of(known)
        job.steps = JobSteps()
        for one in _json_steps(record.get("steps"), job, old):
            job.steps[one.id] = one
        yield job


def _json_steps(records: Any, job: Job, old: bool) -> Iterator[JobStep]:
    for record in records if isinstance(records, list) else ():
        if not isinstance(record, dict) or not isinstance(record.get("step"), dict):
            continue
        known = from_json(JobStep, record) | {"job_id": job.id}
        if old:
            _untold(known)
        own = record["step"].get("id")
        if isinstance(own, str) and "." in own:
            own = own.rpartition(".")[2]
        elif isinstance(own, dict):
            own = own.get("step_id")
        known["id"] = _step_id(own)
        step = JobStep.of(known)
        step.stats = _stats(_columns(record), step)
        if old:  # 0, whatever it was
            step.stats.avg_cpu_frequency = None
        yield step


def _columns(record: dict[str, Any]) -> dict[str, str]:
    """A step's figures as sacct's columns have them."""
    found: dict[str, str] = {}
    tres = record.get("tres")
    for side, name in (("In", "requested"), ("Out", "consumed")):
        parts = tres.get(name) if isinstance(tres, dict) else None
        for part, key in (("Ave", "average"), ("Max", "max"), ("Min", "min"), ("Tot", "total")):
            listed = parts.get(key) if isinstance(parts, dict) else None
            rows = [one for one in listed if isinstance(one, dict)] if listed else []
            column = f"TRESUsage{side}{part}"
            found[column] = _pairs(rows, "count")
            found[f"{column}Node"], found[f"{column}Task"] = (
                _pairs(rows, "node"), _pairs(rows, "task")
            )  # fmt: skip
    clock = record.get("time")
    for key, column in (("total", "TotalCPU"), ("user", "UserCPU"), ("system", "SystemCPU")):
        spent = clock.get(key) if isinstance(clock, dict) else None
        seconds = fields.num(spent.get("seconds")) if isinstance(spent, dict) else None
        found[column] = "" if seconds is None else f"0:{seconds}"
    statistics = record.get("statistics")
    if isinstance(statistics, dict):
        cpu, energy = statistics.get("CPU"), statistics.get("energy")
        khz = _real(cpu.get("actual_frequency")) if isinstance(cpu, dict) else None
        joules = fields.num(energy.get("consumed")) if isinstance(energy, dict) else None
        found["AveCPUFreq"] = "" if khz is None else f"{khz}K"
        found["ConsumedEnergyRaw"] = "" if joules is None else str(joules)
    return found


def _pairs(rows: list[dict[str, Any]], what: str) -> str:
    pairs = []
    for one in rows:
        kind, name, value = (
            fields.text(one.get("type")),
            fields.text(one.get("name")),
            one.get(what),
        )
        number = value if what == "node" else fields.num(value)
        if kind is None or number in (None, ""):
            continue
        if kind == "cpu" and what == "count":  # milliseconds
            number = f"0:{number // 1000}"
        pairs.append(f"{kind}/{name}={number}" if name else f"{kind}={number}")
    return ",".join(pairs)


def _real(value: Any) -> int | None:
    """kHz: the JSON has the bits of a floating point number, as a whole one."""
    number = fields.num(value)
    if number is None or number < 1 << 52:
        return number
    real: float = struct.unpack("<d", struct.pack("<q", number))[0]
    return round(real) if 0 <= real < 1e9 else None


# -- QoS, associations, resources ------------------------------------------------------------


def qos(document: Document, name_is_key: bool = True) -> QualitiesOfService:
    """QoS by name, or by number."""
    if isinstance(document, str):
        told = [from_text(QualityOfService, of) for of in table(document, free="Descr")]
    else:  # QOS: v0.0.37 and v0.0.38
        key = "QOS" if "QOS" in document else "qos"
        told = [from_json(QualityOfService, one) for one in entries(document, key)]
    found = QualitiesOfService()
    for known in told:
        one = QualityOfService.of(known)
        found[one.name if name_is_key else one.id] = one
    return found


def associations(document: Document) -> Associations:
    """Associations by number; those whose number the document does not tell by 0, -1, -2, ..."""
    if isinstance(document, str):
        told = [from_text(Association, of) for of in table(document, free="Comment")]
    else:
        told = [from_json(Association, one) for one in entries(document, "associations")]
        if data_parser(document) == (0, 0, 37):  # QoS by their numbers alone
            told = [known | {"qos": []} for known in told]
    found = Associations()
    for place, known in enumerate(told):
        one = Association.of(known)
        if one.cluster is None:
            one.__dict__["cluster"] = settings.local_cluster()
        number = -place if one.id is None else one.id
        found.data.setdefault(str(one.cluster), {})[number] = one
    return found


_HEADLESS = re.compile(r"\d+\|")


def tres(document: Document) -> TrackableResources:
    """Every resource that is accounted, with its number; counts are 1."""
    if isinstance(document, str):
        text = f"ID|Type|Name\n{document}" if _HEADLESS.match(document) else document
        told = [
            (of.get("Type", ""), of.get("Name"), values.whole(of.get("ID", "")))
            for of in table(text)
        ]
    else:
        key = "TRES" if "TRES" in document else "tres"
        told = [
            (fields.text(one.get("type")) or "", fields.text(one.get("name")),
             fields.num(one.get("id")))
            for one in entries(document, key)
        ]  # fmt: skip
    found = TrackableResources()
    for kind, name, number in told:
        if kind and number is not None:
            found.put(TrackableResource(kind, 1, name or None, number))
    return found
