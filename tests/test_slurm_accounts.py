"""sacctmgr, sshare and scontrol's limits, shares, reservations: real output, and any other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.slurm import accounting, accounts
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import RPCError
from slurmhost import ScriptedHost

QOS = """\
normal|0||x,y|1.000000|||||||||||||||||
qlim|100|DenyOnLimit,OverPartQOS||1.000000|gres/gpu=3|cpu=1000,mem=5000||||10:00:00|cpu=6,mem=4G|||\
02:00:00|cpu=8,gres/gpu=2|3|9|node=1|5||cpu=1
"""
"""24.11, with QOS_FIELDS in their order."""


def test_qos() -> None:
    normal, limited = accounts.qos(reordered())
    assert (normal.name, normal.priority, normal.preempt, normal.usage_factor) == (
        "normal", 0, ("x", "y"), 1.0,
    )  # fmt: skip
    assert normal.max_tres_per_user == {} and normal.max_wall is None
    assert limited.flags == ("DenyOnLimit", "OverPartQOS")
    assert limited.grp_tres == {"gres/gpu": 3}
    assert limited.grp_tres_mins == {"cpu": 1000, "mem": 5000}
    assert limited.max_tres_per_job == {"cpu": 6, "mem": 4096}
    assert limited.max_tres_per_user == {"cpu": 8, "gres/gpu": 2}
    assert (limited.grp_wall, limited.max_wall) == (600, 120)
    assert (limited.max_jobs_per_user, limited.max_submit_jobs_per_user) == (3, 9)
    assert (limited.max_tres_per_account, limited.max_jobs_per_account) == ({"node": 1}, 5)
    assert limited.min_tres_per_job == {"cpu": 1}


SEEN = (
    "Name", "Priority", "Flags", "Preempt", "UsageFactor", "GrpTRES", "GrpTRESMins",
    "GrpTRESRunMins", "GrpJobs", "GrpSubmit", "GrpWall", "MaxTRES", "MaxTRESPerNode",
    "MaxTRESMins", "MaxWall", "MaxTRESPU", "MaxJobsPU", "MaxSubmitPU", "MaxTRESPA", "MaxJobsPA",
    "MaxSubmitPA", "MinTRES",
)  # fmt: skip


def reordered() -> str:
    """The recorded columns in the order that is asked for."""
    asked = accounts.QOS_FIELDS.split(",")
    assert sorted(asked) == sorted(SEEN)
    rows = [dict(zip(SEEN, line.split("|"), strict=True)) for line in QOS.splitlines()]
    return "\n".join("|".join(row[name] for name in asked) for row in rows) + "\n"


def test_usage_of_minutes() -> None:
    shown = (
        "QOS Records\nQOS=qlim(2) UsageRaw=0.0 GrpTRES=cpu=N(0),gres/gpu=3(0) "
        "GrpTRESMins=cpu=1000(23),mem=5000(17),gres/gpu:jetson=N(4) GrpTRESRunMins=cpu=N(0)\n"
    )
    _, limited = accounts.with_usage(accounts.qos(reordered()), shown)
    assert limited.used_tres_mins == {"cpu": 23, "mem": 17, "gres/gpu:jetson": 4}


def test_associations() -> None:
    seen = {
        "Cluster": "lab", "Account": "research", "User": "ana", "Share": "parent",
        "GrpTRES": "mem=10G", "MaxJobs": "2", "MaxTRES": "cpu=4", "MaxSubmit": "50",
        "MaxWall": "1-00:00:00", "QOS": "normal,qlim",
    }  # fmt: skip
    line = "|".join(seen.get(name, "") for name in accounts.ASSOCIATION_FIELDS.split(","))
    (found,) = accounts.associations(line)
    assert (found.account, found.user, found.shares, found.parent) == (
        "research",
        "ana",
        None,
        None,
    )
    assert (found.max_jobs, found.max_submit_jobs, found.max_wall) == (2, 50, 1440)
    assert (found.grp_tres, found.max_tres_per_job) == ({"mem": 10240}, {"cpu": 4})
    assert found.qos == ("normal", "qlim")


def test_shares_keep_their_tree() -> None:
    found = accounts.shares(
        "root|||0.000000|1151|1.000000||\n"
        " root|root|1|0.500000|0|0.000000|1.000000|inf\n"
        " research||1|0.500000|1151|1.000000||0.500000\n"
        "  research|ana|parent|0.333333|0|0.000000|0.750000|\n"
    )
    assert [(s.account, s.user, s.depth) for s in found] == [
        ("root", None, 0), ("root", "root", 1), ("research", None, 1), ("research", "ana", 2),
    ]  # fmt: skip
    assert found[1].level is None and found[2].level == 0.5
    assert (found[3].shares, found[3].fair_share, found[2].usage) == (None, 0.75, 1151)


def test_users_that_stand_before_the_tree_are_put_into_it() -> None:
    found = accounts.shares(
        "research|ana|1|0.3|0|0.0|0.75|inf\n"
        "root|||0.0|1151|1.0||\n"
        " root|root|1|0.5|0|0.0|1.0|inf\n"
        " research||1|0.5|1151|1.0||0.5\n"
        "  research|ben|1|0.3|0|0.0|0.75|\n"
    )
    assert [(s.account, s.user, s.depth) for s in found] == [
        ("root", None, 0), ("root", "root", 1), ("research", None, 1), ("research", "ana", 2),
        ("research", "ben", 2),
    ]  # fmt: skip


def test_reservations_licences_and_settings() -> None:
    (kept,) = accounts.reservations(
        "ReservationName=maint StartTime=1795513595 EndTime=1795520795 Duration=02:00:00 "
        "Nodes=n[1-2] NodeCnt=2 CoreCnt=12 Features=(null) PartitionName=(null) "
        "Flags=MAINT,SPEC_NODES TRES=cpu=12 Users=labop,root Groups=(null) Accounts=(null) "
        "Licenses=(null) State=INACTIVE BurstBuffer=(null) MaxStartDelay=(null) Comment=disk swap\n"
    )
    assert (kept.name, kept.nodes, kept.users) == ("maint", ("n1", "n2"), ("labop", "root"))
    assert (kept.start_time, kept.end_time) == (1795513595.0, 1795520795.0)
    assert (kept.flags, kept.partition, kept.comment) == (
        ("MAINT", "SPEC_NODES"),
        None,
        "disk swap",
    )
    assert accounts.reservations("No reservations in the system\n") == []
    (one,) = accounts.licenses("LicenseName=matlab Total=5 Used=2 Free=3 Reserved=0 Remote=no\n")
    assert (one.name, one.total, one.used, one.free) == ("matlab", 5, 2, 3)
    assert accounts.licenses("No licenses configured in Slurm.\n") == []
    known = accounts.settings(
        "Configuration data as of x\nMaxArraySize            = 1001\nLicenses   = (null)\n"
        "SchedulerParameters = sched_interval=2,enable_user_top\n"
    )
    assert known == {
        "MaxArraySize": "1001", "SchedulerParameters": "sched_interval=2,enable_user_top",
    }  # fmt: skip


LINES = st.text(alphabet=st.sampled_from("ab|=,:()1-9N gru/\x1b\n%[]"), max_size=200)


@settings(max_examples=120, deadline=None)
@given(LINES, st.sampled_from(["", "QOS=a(1) ", "LicenseName=", "ReservationName=", "a|b|"]))
def test_any_output_gives_less_and_no_error(text: str, start: str) -> None:
    output = start + text
    found = accounts.qos(output)
    accounts.with_usage(found, output)
    accounts.associations(output)
    accounts.reservations(output)
    accounts.licenses(output)
    accounts.settings(output)
    for share in accounts.shares(output):
        assert share.fair_share is None or 0.0 <= share.fair_share <= 1.0


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["cpu", "mem", "gres/gpu"]), st.text(max_size=8)))
def test_no_figure_is_made_up(limits: dict[str, str]) -> None:
    """What cannot be read is no limit of 0."""
    line = ",".join(f"{name}={value}" for name, value in limits.items())
    row = "|".join(
        {"Name": "q", "GrpTRES": line}.get(n, "") for n in accounts.QOS_FIELDS.split(",")
    )
    for one in accounts.qos(row):
        for name, count in one.grp_tres.items():
            assert any(ch.isdigit() for ch in limits.get(name, "0")), (name, count)


def answering(rc: int, stdout: str = "", stderr: str = "") -> SlurmClient:
    return SlurmClient(ScriptedHost(lambda argv, stdin: (rc, stdout, stderr)), timeout=0.2)


async def test_without_accounting_it_is_said_so() -> None:
    none = (
        "You are not running a supported accounting_storage plugin\n"
        "Only 'accounting_storage/slurmdbd' is supported.\n"
    )
    with pytest.raises(RPCError, match="keeps no accounting here") as error:
        await accounting.qos(answering(1, "", none))
    assert error.value.kind == "not-found"
    down = "sacctmgr: error: Sending PersistInit msg: Connection refused\n"
    with pytest.raises(RPCError, match="slurmdbd does not answer") as error:
        await accounting.associations(answering(1, "", down))
    assert error.value.kind == "refused"


@pytest.mark.parametrize(
    ("user", "levels", "known"),
    [
        ("ana", "ana|None\n", False),
        ("labop", "labop|Operator\n", True),
        ("root", "", True),
        ("eve", "", None),
        ("", "", None),
    ],
)
async def test_who_is_an_operator(user: str, levels: str, known: bool | None) -> None:
    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        return 0, f"{user}\n" if argv[0] == "id" else levels, ""

    client = SlurmClient(ScriptedHost(reply), timeout=0.2)
    assert await accounting.is_operator(client) is known
    said = await accounting.operator_note(client, "suspend a job")
    assert bool(said) is (known is False)
