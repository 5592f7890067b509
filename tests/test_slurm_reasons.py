"""Why a job waits, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.model import Job
from labtui.slurm.reasons import (
    advice,
    explain,
    limit_code,
    outcome,
    sentence,
    table,
    unavailable,
    words,
)

CODES = (Path(__file__).parent / "samples/slurm-reasons.txt").read_text().split()
"""Every pending reason that Slurm 25.11 documents."""


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
    assert isinstance(words(reason) + sentence(reason) + advice(reason), str)
    unavailable(reason)
    explain(reason, job(reason=reason, dependency=dependency, array_task=dependency))
    outcome(reason, dependency, reason)


def test_every_documented_code_has_its_own_words_and_an_advice() -> None:
    assert len(CODES) == len(set(CODES)) == 194
    for code in CODES:
        short, long, todo = words(code), sentence(code), advice(code)
        assert code not in (short, long), code
        assert short and len(short) < 70 and " " in short, code
        assert long and len(long) < 100 and " " in long, code
        assert todo and len(todo) < 200 and " " in todo, code
    # Codes that mean different things are not told in the same words.
    told = [(sentence(code), advice(code)) for code in CODES]
    same = {pair for pair in told if told.count(pair) > 1}
    assert same == set()


@pytest.mark.parametrize(
    ("code", "setting"),
    [
        ("QOSMaxGRESPerUser", "MaxTRESPerUser of the QoS"),
        ("QOSMaxWallDurationPerJobLimit", "MaxWall of the QoS"),
        ("QOSMaxJobsPerUserLimit", "MaxJobsPerUser of the QoS"),
        ("QOSMaxCpuMinutesPerJobLimit", "MaxTRESMinsPerJob of the QoS"),
        ("MaxSubmitJobsPerAccount", "MaxSubmitJobsPerAccount of the QoS"),
        ("AssocGrpCPURunMinutesLimit", "GrpTRESRunMins of the account"),
        ("AssocMaxJobsLimit", "MaxJobs of the account"),
        ("AssocMaxCpuPerNode", "MaxTRESPerNode of the account"),
        ("AssocGrpSubmitJobsLimit", "GrpSubmitJobs of the account"),
        ("AssocGrpWallLimit", "GrpWall of the account"),
    ],
)
def test_the_advice_names_what_an_operator_would_raise(code: str, setting: str) -> None:
    limit = limit_code(code)
    assert limit is not None
    assert f"{limit.setting} of the {limit.whose}" == setting
    assert setting in advice(code)


def test_free_texts_have_advice_too() -> None:
    for text in (
        "launch failed requeued held",
        "job requeued in held state",
        "(Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
        "partitions)",
        "ReqNodeNotAvail, UnavailableNodes:cs[100,101]",
        "ReqNodeNotAvail, Reserved for maintenance",
        "ReqNodeNotAvail, May be reserved for other job",
    ):
        assert words(text) != text
        assert advice(text)
    assert words("ReqNodeNotAvail, Reserved for maintenance") == (
        "its nodes are reserved for maintenance"
    )
    assert unavailable("ReqNodeNotAvail, UnavailableNodes:cs[100,101]") == "cs[100,101]"
    assert advice("SomethingNew") == ""


def test_the_table_is_whole() -> None:
    assert len(table()) >= 45
    assert all(plain and todo for plain, todo in table().values())
