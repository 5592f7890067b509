"""squeue's, sinfo's and sacct's own tables: every style, and names that imitate a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.slurm import PyslurmError, parse
from labtui.slurm import settings as slurm_settings

RECORDED = Path(__file__).parent / "samples" / "slurm-styles"
"""Slurm 22.05."""
fuzz = settings(max_examples=80, deadline=None)


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_settings, "local_cluster", lambda: "here")


# -- one queue in every style ------------------------------------------------------------------

Row = dict[str, str]
Column = tuple[str, int]

SHORT: list[Column] = [
    ("JOBID", 18), ("PARTITION", 9), ("NAME", 8), ("USER", 8), ("ST", 2), ("TIME", 10),
    ("NODES", 6), ("NODELIST(REASON)", 0),
]  # fmt: skip
LONG: list[Column] = [
    ("JOBID", 18), ("PARTITION", 9), ("NAME", 8), ("USER", 8), ("STATE", 8), ("TIME", 10),
    ("TIME_LIMIT", 9), ("NODES", 6), ("NODELIST(REASON)", 0),
]  # fmt: skip
CHOSEN = ["JOBID", "NAME", "STATE", "USER", "TIME_LIMIT"]


def cut(value: str, width: int) -> bytes:
    return value.encode()[:width] if width else value.encode()


def _right(rows: list[Row], columns: list[Column]) -> bytes:
    """`%.18i %.9P ...`: times are never cut off."""
    lines = [[name.encode()[: width or None].rjust(width) for name, width in columns]]
    for row in rows:
        lines.append([
            (row[n].encode() if n.startswith("TIME") else cut(row[n], w)).rjust(w)
            for n, w in columns
        ])  # fmt: skip
    return b"".join(b" ".join(line) + b"\n" for line in lines)


def _left(rows: list[Row], names: list[str], width: int, mark: bytes = b"") -> bytes:
    """`-O JobID:20,...`; with a mark `-o "%10i %10j"`."""
    lines = [{name: name for name in names}, *rows]
    return b"".join(
        mark.join(cut(line[name], width).ljust(width) for name in names) + b"\n" for line in lines
    )


def _marked(rows: list[Row], names: list[str], mark: str, end: str) -> bytes:
    lines = [{name: name for name in names}, *rows]
    return "".join(mark.join(line[n] for n in names) + end + "\n" for line in lines).encode()


STYLES: dict[str, Any] = {
    "squeue": lambda rows: _right(rows, SHORT),
    "squeue -l": lambda rows: b"Sun Nov 29 01:22:03 2026\n" + _right(rows, LONG),
    "-O": lambda rows: _left(rows, CHOSEN, 20),
    "-O, name last": lambda rows: _left(rows, ["JOBID", "STATE", "NAME"], 20),
    "-O, stripped": lambda rows: _left(rows, CHOSEN, 20).strip(),
    "-o left": lambda rows: _left(rows, CHOSEN, 20, b" "),
    "marks": lambda rows: _marked(rows, CHOSEN, "|", ""),
    "marks at the end": lambda rows: _marked(rows, CHOSEN, "\x1f", "\x1f"),
    "CRLF": lambda rows: _marked(rows, CHOSEN, "|", "").replace(b"\n", b"\r\n"),
}
CUT = {"squeue": 8, "squeue -l": 8, "-O": 20, "-O, name last": 20, "-O, stripped": 20,
       "-o left": 20}  # fmt: skip


def row(number: int, name: str, limit: str = "10:00", time: str = "0:04") -> Row:
    return {
        "JOBID": str(number), "NAME": name, "ST": "R", "STATE": "RUNNING", "USER": "ana",
        "PARTITION": "cpu", "TIME": time, "TIME_LIMIT": limit, "NODES": "1",
        "NODELIST(REASON)": "n1",
    }  # fmt: skip


plain_names = st.text(
    st.characters(exclude_characters="|\x1f\r\n", exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
    min_size=1, max_size=30,
)  # fmt: skip
times = st.sampled_from(["0:04", "10:00", "9-23:59:59", "10-00:00:26", "100-00:00:00", "UNLIMITED"])


@fuzz
@given(st.sampled_from(sorted(STYLES)), st.lists(plain_names, min_size=1, max_size=3), times, times)
def test_a_queue_reads_back_the_same(style: str, names: list[str], limit: str, time: str) -> None:
    rows = [row(n, name, limit, time) for n, name in enumerate(names, 101)]
    jobs = parse(STYLES[style](rows), kind="squeue")
    assert list(jobs) == [int(one["JOBID"]) for one in rows]
    for job, name in zip(jobs.values(), names, strict=True):
        shown = cut(name, CUT.get(style, 0)).decode(errors="ignore")
        assert (job.name or "").replace("\ufffd", "").strip() == shown.replace("\ufffd", "").strip()
        assert job.state == "RUNNING" and job.user_name in ("ana", None)
        assert job.allocated_nodes in ("n1", None) and job.num_nodes in (1, None)


hostile = st.text(max_size=24) | st.sampled_from([
    "x\nJobId=7 JobName=evil", "x\nNodeName=zz State=DOWN", "777", "  777", "x\n777",
    "x\n777                 e", "x\n                777 cpu", "a b c d e f g h i j k l m n",
    "\n777 abcdefghijklmnop", "10-00:00:26", "x RUNNING", "x\n777|a|RUNNING|b", " ", "",
])  # fmt: skip


@fuzz
@given(st.sampled_from(sorted(STYLES.keys() - {"marks", "CRLF"})), hostile)
def test_no_name_changes_another_job(style: str, name: str) -> None:
    """Such a table is read as it is, or not at all. (Between marks that people know they can write
    rows, which nobody can tell from true ones.)"""
    name = name.replace("\x1f", "")
    before, after = row(101, "before"), row(103, "after", "1-02:04:00")
    try:
        jobs = parse(STYLES[style]([before, row(102, name), after]), kind="squeue")
    except PyslurmError:
        return
    assert list(jobs) == [101, 102, 103]
    plain = parse(STYLES[style]([before, after]), kind="squeue")
    assert {n: vars(jobs[n]) for n in (101, 103)} == {n: vars(j) for n, j in plain.items()}


def test_a_comment_that_looks_like_scontrol_hides_no_queue() -> None:
    text = b"JOBID|NAME|COMMENT|\n1|a|x|\n2|b|hi\nJobId=7 JobName=evil|\n3|c|y|\n"
    jobs = parse(text, kind="squeue")
    assert {n: job.name for n, job in jobs.items()} == {1: "a", 2: "b", 3: "c"}
    assert jobs[2].comment == "hi\nJobId=7 JobName=evil"
    with pytest.raises(PyslurmError):
        parse(text.replace(b"|\n", b"\n"), kind="squeue")
    nodes = parse("NODELIST|COMMENT|\nn1|x\nNodeName=zz|\n", kind="sinfo")
    assert list(nodes) == ["n1"]


@pytest.mark.parametrize("style", ["-l", "-O"])
def test_every_style_of_squeue(style: str) -> None:
    text = (RECORDED / f"squeue{style}.txt").read_text()
    text = text.replace("      0:04 1-02:04:00", "10-00:00:26 1-02:04:00")
    jobs = {job.name: job for job in parse(text, kind="squeue").values()}
    job = jobs["two word" if style == "-l" else "two words"]
    assert (job.id, job.user_name, job.state) == (7, "root", "RUNNING")
    assert (job.num_nodes, job.allocated_nodes) == (
        (1, "xps15-cpu") if style == "-l" else (None,) * 2
    )
    assert job.time_limit == (1564 if style == "-O" else None)
    held = jobs["a very l" if style == "-l" else "a very long job name"]
    assert (held.id, held.state) == (12, "PENDING")


@pytest.mark.parametrize(
    "table",
    [
        "JOBID NAME STATE\n102 ab cd RUNNING\n", "JOBID NAME STATE\n10234 a bc d RUNNING\n",
        "     JOBID NAME      STATE     \n       102 abcd efgh RUNNING   \n",
        "JOBID     NAME      STATE     \n102       ab\n777       RUNNING   \n",
    ],
)  # fmt: skip
def test_columns_without_a_place_are_refused(table: str) -> None:
    with pytest.raises(PyslurmError):
        parse(table, kind="squeue")


# -- sinfo -------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["-R", "-N-O", "-l", "-N-l"])
def test_every_style_of_sinfo(style: str) -> None:
    nodes = parse((RECORDED / f"sinfo{style}.txt").read_bytes(), kind="sinfo")
    everyone = {"desktop-gpu", "jetson-edge", "xps15-cpu"}
    assert set(nodes) == ({"jetson-edge"} if style == "-R" else everyone)
    edge = nodes["jetson-edge"]
    assert edge.reason == (None if style == "-l" else "disk sda broken")
    assert edge.real_memory == (8000 if "-N" in style else None)
    assert edge.state == ("IDLE+DRAIN" if "-l" in style else None)
    assert edge.partitions == (["edge"] if "-l" in style else [])
    if style == "-R":
        assert edge.reason_user == "root" and 1795900000 < edge.reason_time < 1796000000


@fuzz
@given(plain_names)
def test_no_reason_is_a_node(reason: str) -> None:
    head = "REASON               USER      TIMESTAMP           NODELIST\n"
    shown = cut(reason, 20).ljust(20)
    text = head.encode() + shown + b" root      2026-11-29T01:21:58 n[1-2]\n"
    nodes = parse(text, kind="sinfo")
    assert list(nodes) == ["n1", "n2"] and nodes["n1"].reason_user == "root"


# -- sacct -------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["", "-P", "-columns", "-P-columns"])
def test_every_style_of_sacct(style: str) -> None:
    jobs = parse((RECORDED / f"sacct{style}.txt").read_bytes(), kind="sacct")
    own, chosen = "-P-columns" in style, "columns" in style
    assert list(jobs) == [*range(1, 8), 9, 10, 11, 13 if own else "8_0"]
    words, task, pending = jobs[7], jobs[13 if own else "8_0"], jobs[11]
    assert (words.name, words.state, list(words.steps)) == ("two words", "RUNNING", ["batch", 0])
    assert (task.id, task.array_id, task.array_task_id) == (13 if own else None, 8, 0)
    assert list(task.steps) == ["batch"] and task.steps["batch"].name == "batch"
    assert (words.cpus, task.cpus, task.steps["batch"].cpus) == (1, 1, 1)
    assert pending.cpus is None and pending.stats.elapsed_cpu_time is None
    assert (words.elapsed_time, words.time_limit) == ((4, 1564) if chosen else (None, None))
    assert words.memory == (50 if chosen else None)
    assert words.stats.elapsed_cpu_time == (4 if chosen else None)
    assert jobs[3].gpus.keys() == ({"gpu"} if own else set())
    assert jobs.stats.elapsed_cpu_time == (79 if chosen else 0)


def test_what_sacct_cut_off() -> None:
    head = "JobID           JobName  AllocTRES      State "
    rule = "------------ ---------- ---------- ---------- "
    rows = [
        ("12345_10", "x", "billing=1+", "CANCELLED+"),
        ("12345_10.ba+", "batch", "", "RUNNING"),
        ("12345_10.ex+", "extern", "cpu=1", "RUNNING"),
        ("8_[1,3,5,7,+", "tab+", "", "PENDING"),
    ]
    text = "\n".join([head, rule, *(f"{a:12} {b:>10} {c:>10} {d:>10} " for a, b, c, d in rows)])
    for one in (text, text.strip()):
        jobs = parse(one, kind="sacct")
        assert list(jobs) == ["12345_10", 8] and list(jobs["12345_10"].steps) == ["batch", "extern"]
        assert jobs["12345_10"].state == "CANCELLED" and jobs["12345_10"].allocated_tres is None
        assert (jobs[8].name, jobs[8].id) == ("tab+", 8)
    with pytest.raises(PyslurmError):
        parse(text.replace("8_[1,3,5,7,+", "123456_7890+"), kind="sacct")


ACCT = ["JobID", "JobIDRaw", "JobName", "State", "Elapsed", "Timelimit", "NCPUS", "ReqMem"]


def _ruled(rows: list[Row]) -> bytes:
    def line(of: Row) -> bytes:
        cells = ((n, of[n].encode()) for n in ACCT)
        shown = ((n, v if len(v) <= 12 else v[:11] + b"+") for n, v in cells)
        return b"".join((v.ljust(12) if n == "JobID" else v.rjust(12)) + b" " for n, v in shown)

    return b"\n".join(
        [line({n: n for n in ACCT}), (b"-" * 12 + b" ") * len(ACCT), *map(line, rows)]
    )


ACCOUNTS: dict[str, Any] = {
    "sacct": _ruled,
    "sacct -P": lambda rows: _marked(rows, ACCT, "|", ""),
    "sacct -p": lambda rows: _marked(rows, ACCT, "\x1f~5eed0123", "\x1f~5eed0123"),
}


def account(number: int, name: str) -> Row:
    values = (str(number), str(number), name, "COMPLETED", "1-02:03:04", "2-00:00:00", "4", "8G")
    return dict(zip(ACCT, values, strict=True))


@fuzz
@given(st.sampled_from(sorted(ACCOUNTS)), st.lists(plain_names, min_size=1, max_size=3))
def test_an_accounting_reads_back_the_same(style: str, names: list[str]) -> None:
    rows = [account(number, name) for number, name in enumerate(names, 95)]
    jobs = parse(ACCOUNTS[style](rows), kind="sacct")
    assert list(jobs) == [int(one["JobID"]) for one in rows]
    for job, name in zip(jobs.values(), names, strict=True):
        assert (job.elapsed_time, job.time_limit, job.cpus, job.memory) == (93784, 2880, 4, 8192)
        assert job.stats.elapsed_cpu_time == 93784 * 4
        assert style == "sacct" or (job.name or "").strip() == name.strip()


@fuzz
@given(st.sampled_from(["sacct", "sacct -p"]), hostile)
def test_no_name_changes_another_job_of_the_accounting(style: str, name: str) -> None:
    before, after = account(95, "before"), account(97, "after")
    try:
        jobs = parse(ACCOUNTS[style]([before, account(96, name), after]), kind="sacct")
    except PyslurmError:
        return
    assert list(jobs) == [95, 96, 97]
    for number, told in ((95, "before"), (97, "after")):
        job = jobs[number]
        assert (job.name, job.elapsed_time, job.cpus, job.memory) == (told, 93784, 4, 8192)
