"""What is sent to Slurm, and what becomes of its answers and silences."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from labtui.hosts.base import Completed, HostError
from labtui.slurm import commands as module
from labtui.slurm.argv import cancel_argv, exact_id, scontrol_argv, whole_id
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from slurmhost import ScriptedHost, bare, marks_of, record


def queue(*changes: dict[str, str]) -> ScriptedHost:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str] | None:
        if argv[0] == "squeue":
            marks = marks_of(argv)
            return 0, "".join(record(marks, **c) for c in changes), ""
        return 1, "", "sacct: error: Slurm accounting storage is disabled"

    return ScriptedHost(reply)


async def test_one_poll_is_one_squeue_in_a_clean_environment() -> None:
    host = queue({}, {"JobArrayID": "8", "JobID": "8"})
    client = SlurmClient(host)
    assert [job.job_id for job in await client.jobs()] == ["8", "7"]
    (argv,) = host.seen
    assert argv[:3] == ["timeout", "-k", "1"]
    assert "SLURM_TIME_FORMAT=%s" in argv
    assert argv[argv.index("SQUEUE_FORMAT") - 1] == "-u"
    assert bare(argv)[:6] == ["squeue", "--local", "-a", "-h", "-t", "all"]


async def test_an_unchanged_answer_is_the_same_object() -> None:
    host = queue({}, {"JobArrayID": "8", "JobID": "8"})
    client = SlurmClient(host)
    first = await client.jobs()
    assert await client.jobs() is first


async def test_jobs_that_start_or_are_signalled_are_asked_for_too() -> None:
    """squeue's `R` is RUNNING alone (print.c): RUNNING|CONFIGURING is `CF` to it."""
    flags = {"CF": 1, "CG": 2, "RS": 4, "SI": 8, "ST": 16}

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        asked = argv[argv.index("-t") + 1].split(",")
        jobs = [
            {"job_id": number, "nodes": "n", "job_state": ["RUNNING"], "gres_detail": ["gpu:1"]}
            for flag, number in flags.items()
            if flag in asked
        ]
        assert set(asked) <= {*flags, "R", "S", "SO"}, "what 21.08 does not know fails the command"
        return 0, json.dumps({"jobs": jobs}), ""

    found = await SlurmClient(ScriptedHost(reply)).allocations()
    assert sorted(int(part.job_id) for part in found) == sorted(flags.values())


async def test_a_down_slurmctld_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """squeue blocks; `scontrol ping` knows. The next attempt asks ping first."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str] | None:
        if argv[:2] == ["scontrol", "ping"]:
            return 1, "Slurmctld(primary) at desktop-gpu is DOWN\n", ""
        return None

    host = ScriptedHost(reply)
    client = SlurmClient(host)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(RPCError, match="slurmctld on desktop-gpu does not answer") as caught:
            await client.jobs()
        assert caught.value.kind == "refused"
    assert time.monotonic() - began < 1.0
    await asyncio.sleep(0)
    assert host.cancelled == 1
    assert [argv[0] for argv in host.commands] == ["squeue", "scontrol", "scontrol"]


async def test_a_connection_that_is_lost_meanwhile_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """squeue fails by itself while ping's own fault is on its way up: nothing is left over."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    gone = asyncio.Event()

    class Lost(ScriptedHost):
        async def run(self, argv: Sequence[str], **how: Any) -> Completed:
            if "ping" in argv:
                gone.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            else:
                await gone.wait()
            raise HostError("unreachable", "no route to it", self.name)

    left: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: left.append(told))
    with pytest.raises(HostError, match="no route"):
        await SlurmClient(Lost(lambda argv, stdin: None)).jobs()
    gc.collect()
    assert left == []


async def test_a_slow_slurmctld_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str] | None:
        if argv[:2] == ["scontrol", "ping"]:
            return 0, "Slurmctld(primary) at desktop-gpu is UP\n", ""
        return 0, record(marks_of(argv)), ""

    assert len(await SlurmClient(ScriptedHost(reply)).jobs()) == 1


async def test_silence_is_a_timeout() -> None:
    host = ScriptedHost(lambda argv, stdin: (124, "", ""))
    with pytest.raises(RPCError, match="gave no answer within") as caught:
        await SlurmClient(host, timeout=0.1).jobs()
    assert caught.value.kind == "timeout"


async def test_no_slurm_there() -> None:
    host = ScriptedHost(lambda argv, stdin: (127, "", "env: 'squeue': No such file"))
    with pytest.raises(RPCError, match="squeue cannot be run on login") as caught:
        await SlurmClient(host).jobs()
    assert caught.value.kind == "not-found"


async def test_an_unknown_job_is_none() -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str] | None:
        return 1, "", "slurm_load_jobs error: Invalid job id specified"

    assert await SlurmClient(ScriptedHost(reply)).job("999") is None


async def test_sacct_is_asked_for_what_its_release_has() -> None:
    def host(version: str) -> ScriptedHost:
        return ScriptedHost(lambda argv, stdin: (0, version if argv[0] == "sinfo" else "", ""))

    for version, has in (("slurm-wlm 22.05.8\n", False), ("slurm 24.11.5\n", True)):
        asked = host(version)
        assert len(await SlurmClient(asked).finished(1795471076.5)) == 0
        sacct = asked.commands[-1]
        assert ("StdOut" in " ".join(sacct)) is has
        assert "uts1795471076" in sacct


async def test_a_submission_carries_its_token_beside_the_scripts_comment() -> None:
    host = ScriptedHost(lambda argv, stdin: (0, "17\n", ""))
    script = "#!/bin/bash\n#SBATCH --comment='my words'\n#SBATCH --chdir=/data\ntrue\n"
    assert await SlurmClient(host).submit(script, token="ab12", chdir="/mnt/nfs") == "17"
    assert host.commands == [["sbatch", "--parsable", "--comment=my words labtui:ab12"]]


async def test_a_submission_is_found_by_its_token() -> None:
    client = SlurmClient(queue({"Comment": "my words labtui:ab12"}, {"Comment": "labtui:ab123"}))
    found = await client.find_by_token("ab12")
    assert found is not None and found.comment == "my words labtui:ab12"
    assert await client.find_by_token("ffff") is None


async def test_a_list_of_tasks_is_asked_for_at_full_length() -> None:
    host = queue()
    await SlurmClient(host).jobs()
    await SlurmClient(host).job("7")
    assert all("SLURM_BITSTR_LEN=0" in argv for argv in host.seen if "squeue" in argv)
    assert any("squeue" in argv for argv in host.seen)


async def test_a_task_that_waits_with_others_is_not_answered_with_another() -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        if argv[0] != "squeue":
            return 1, "", "Slurm accounting storage is disabled"
        waiting = ["6_8", "6_9"] if "-r" in argv else ["6_[8-9]"]
        rows = [{"JobArrayID": "6_1", "State": "RUNNING"}]
        rows += [{"JobArrayID": one, "ArrayTaskID": one.partition("_")[2]} for one in waiting]
        rows += [{"JobArrayID": "6", "State": "CANCELLED"}]
        return 0, "".join(record(marks_of(argv), **one) for one in rows), ""

    client = SlurmClient(ScriptedHost(reply))
    found = {one: await client.job(one) for one in ("6_9", "6", "6_[8-9]", "6_[9]", "6_1", "6_7")}
    assert {one: job and job.job_id for one, job in found.items()} == {
        "6_9": "6_9", "6": "6_[8-9]", "6_[8-9]": "6_[8-9]", "6_[9]": "6_[8-9]", "6_1": "6_1",
        "6_7": None,
    }  # fmt: skip


def test_ids_as_commands_take_them() -> None:
    assert exact_id("1430_[8-99%8]") == "1430_[8-99]"
    shortened = "1430_[1,3,5,7,...,99]"
    assert whole_id(shortened) == "1430"
    with pytest.raises(ValueError, match="is shortened: name its tasks, or all of 1430"):
        exact_id(shortened)  # the array's own id names tasks that run, too
    assert cancel_argv([shortened]) == [["scancel", "--state=PENDING", "1430"]]
    assert exact_id("15+0") == "15+0"
    assert whole_id("1430_[8-99%8]") == "1430"
    assert cancel_argv(["5", "9_[0-9%2]"]) == [["scancel", "5", "9_[0-9]"]]
    assert cancel_argv(["9_[0-8:4,10%2]"]) == [["scancel", "9_[0,4,8,10]"]]  # it reads no steps
    assert cancel_argv([shortened, "5"])[0] == ["scancel", "5"]
    for bad in ("9_[0-999999999:2]", "9:1", "9_[1:2]", "9_[8-1:2]"):
        with pytest.raises(ValueError, match=r"too many|not a job id"):
            exact_id(bad)
    assert scontrol_argv("hold", ["5", "9_[0-9%2]"]) == ["scontrol", "hold", "5,9_[0-9]"]


@pytest.mark.parametrize("bad", ["", "-u root", "1;reboot", "$(x)", "all", "١", "--user=ana"])
def test_nothing_but_a_job_id_becomes_an_argument(bad: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        exact_id(bad)
