"""Why a job waits, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import Job
from labtui.slurm.reasons import explain, outcome, table, words


def job(**changes: object) -> Job:
    return Job(**{"job_id": "1", "name": "x", "state": "PENDING", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Resources", "waits for free resources"),
        ("JobHeldUser", "held by its user"),
        ("ReqNodeNotAvail, UnavailableNodes:cs[100,101]", "not available: cs[100,101]"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
         "partitions", "its nodes are down, drained or kept for others"),
        ("launch failed requeued held", "held: it could not be started on its node"),
        ("QOSMaxCpuPerUserLimit", "QoS limit: CPUs a user"),
        ("QOSMaxJobsPerUserLimit", "QoS limit: running jobs a user"),
        ("AssocGrpGRES", "account limit: GPUs"),
        ("AssocGrpCPUMinutesLimit", "account limit: CPUs x minutes"),
        ("AssocGrpMemRunMinutes", "account limit: memory x minutes, running"),
        ("AssocMaxWallDurationPerJobLimit", "account limit: run time a job"),
        ("QOSMinCpuNotSatisfied", "asks less CPUs than its QoS wants"),
        ("MaxGRESPerAccount", "QoS limit: GPUs an account"),
        ("SomethingNew", "SomethingNew"),
    ],
)  # fmt: skip
def test_codes_families_and_free_texts(reason: str, said: str) -> None:
    assert words(reason) == said


def test_context() -> None:
    waits = job(
        reason="Dependency", dependency="afterok:12(unfulfilled),afterany:13_*(unfulfilled)"
    )
    assert explain("Dependency", waits) == "waits for 12 to end well, 13 to end"
    never = job(reason="DependencyNeverSatisfied", dependency="afterok:12(failed)")
    assert explain(never.reason, never) == "never starts: 12 did not end as asked"
    array = job(reason="JobArrayTaskLimit", array_task="8-99%8")
    assert explain(array.reason, array) == "its array runs 8 at once"
    assert explain(None, job()) == "not looked at by the scheduler yet"
    assert explain(None, job(state="RUNNING")) is None


@pytest.mark.parametrize(
    ("state", "code", "more", "said"),
    [
        ("COMPLETED", "0:0", None, None),
        ("FAILED", "3:0", "NonZeroExitCode", "exit 3"),
        ("FAILED", "0:9", "JobLaunchFailure", "ended by signal 9"),
        ("FAILED", "0:0", "BadConstraints", "no node can ever fulfil what it asks"),
        ("TIMEOUT", "0:0", "TimeLimit", "ran out of time"),
        ("OUT_OF_MEMORY", "0:125", None, "ran out of memory"),
        ("CANCELLED", "0:0", "by 0", "cancelled by root"),
        ("CANCELLED", "0:0", "Resources", "cancelled"),
    ],
)
def test_how_a_job_ended(state: str, code: str, more: str | None, said: str | None) -> None:
    assert outcome(state, code, more) == said


@given(st.text(max_size=120), st.text(max_size=60))
def test_anything_gets_some_words(reason: str, dependency: str) -> None:
    assert isinstance(words(reason), str)
    explain(reason, job(reason=reason, dependency=dependency, array_task=dependency))
    outcome(reason, dependency, reason)


def test_the_table_is_whole() -> None:
    assert len(table()) >= 45
    assert all(sentence and len(sentence) < 70 for sentence in table().values())
