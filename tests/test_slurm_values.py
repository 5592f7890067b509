"""Slurm's writing of numbers, times, lists: never a traceback, never a wrong number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.slurm import values

ANY = st.text(max_size=60)
SLURMISH = st.text(alphabet="0123456789:-.,[]()=/%_ KMGTPgpuIDXabN+*\n\x1f", max_size=60)


@given(ANY | SLURMISH)
def test_nothing_raises(value: str) -> None:
    for read in (
        values.text, values.whole, values.moment, values.seconds, values.minutes, values.mib,
        values.tres, values.gres, values.count_gpus, values.indexes, values.nodes,
        values.exit_code,
    ):  # fmt: skip
        read(value)
    values.expand_path(
        value, job_id="1", array_id=None, task_id=None, name=value, user=None, node=None
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0:41", 41), ("2:10:33", 7833), ("3-04:00:00", 273600), ("1-02", 93600),
        ("1-02:03", 93780), ("00:00:07", 7), ("3:04.123", 184), ("UNLIMITED", None),
        ("INVALID", None), ("", None), ("-1:00", None), ("1:2:3:4", None), ("５:00", None),
        ("12", None),
    ],
)  # fmt: skip
def test_durations(value: str, expected: int | None) -> None:
    assert values.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30", 30), ("4:30", 5), ("4:00:00", 240), ("1-12", 2160), ("1-12:30", 2190),
        ("1-00:00:00", 1440), ("banana", None), ("UNLIMITED", None), ("", None), ("1.5", None),
    ],
)  # fmt: skip
def test_time_limits_as_sbatch_reads_them(value: str, expected: int | None) -> None:
    assert values.minutes(value) == expected


@given(st.integers(0, 10**7))
def test_a_duration_survives_slurms_writing(total: int) -> None:
    days, rest = divmod(total, 86400)
    written = f"{days}-" if days else ""
    written += f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    assert values.seconds(written) == total


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2000M", 2000), ("62.50G", 64000), ("8000", 8000), ("1T", 1048576), ("512K", 1),
        ("48g", 49152), ("", None), ("N/A", None), ("1e9", None), ("-5M", None),
    ],
)  # fmt: skip
def test_sizes(value: str, expected: int | None) -> None:
    assert values.mib(value) == expected


def test_node_lists() -> None:
    assert values.nodes("gpu-[01-03,07],cpu-1") == ("gpu-01", "gpu-02", "gpu-03", "gpu-07", "cpu-1")
    assert values.nodes("r[1-2]n[1-2]") == ("r1n1", "r1n2", "r2n1", "r2n2")
    assert values.nodes("(null)") == ()
    assert values.nodes("a[1-99999999999]") == ("a[1-99999999999]",)
    assert values.nodes("a[5-1]") == ()
    assert values.nodes("x,y") == ("x", "y")


@given(st.lists(st.from_regex(r"[a-z]{1,6}-?[0-9]{0,3}", fullmatch=True), min_size=1, max_size=8))
def test_a_plain_list_of_nodes_is_taken_as_it_is(names: list[str]) -> None:
    assert values.nodes(",".join(names)) == tuple(names)


def test_resources() -> None:
    assert values.gres("gpu:fake:2,shard:fake:8") == [
        ("gpu", "fake", 2, ""),
        ("shard", "fake", 8, ""),
    ]
    assert values.gres("gpu:(null):1(IDX:0,2)") == [("gpu", None, 1, "IDX:0,2")]
    assert values.gres("gres:gpu:jetson:1") == [("gpu", "jetson", 1, "")]
    assert values.gres("gres/gpu:2") == [("gpu", None, 2, "")]
    assert values.gres("(null)") == []
    assert values.count_gpus("gpu:4,shard:8") == 4
    assert values.count_gpus("shard:8") is None
    assert values.indexes("IDX:0-1,3") == (0, 1, 3)
    assert values.indexes("IDX:N/A") == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("768", "3:0"), ("9", "0:9"), ("0", "0:0"), ("3:0", "3:0"), ("", None), ("x", None),
     ("99999999", None)],
)  # fmt: skip
def test_exit_codes_of_old_and_new_releases(value: str, expected: str | None) -> None:
    assert values.exit_code(value) == expected


def path(pattern: str, **changes: str | None) -> str | None:
    known: dict[str, str | None] = {
        "array_id": "12", "task_id": "3", "user": "ana", "node": "gpu-1.lab", **changes,
    }  # fmt: skip
    return values.expand_path(pattern, job_id="15", name="we ird", **known)  # type: ignore[arg-type]


def test_file_name_patterns() -> None:
    assert path("/x/%A_%a-%j-%u-%N.out") == "/x/12_3-15-ana-gpu-1.out"
    assert path("/x/%x-%4j-%%") == "/x/we ird-0015-%"
    assert path("/x/%A_%a", array_id=None, task_id=None) == "/x/15_4294967294"
    assert path("/x/%N", node=None) is None
    assert path("/x/%a", task_id="8-99%8") is None
    assert path("/x\\/%j") == "/x\\/%j"
    assert path("/x/%q") == "/x/%q"


@given(st.sets(st.integers(0, 400), min_size=1))
def test_tasks_in_ranges_read_back_the_same(tasks: set[int]) -> None:
    text = values.in_ranges(tasks)
    read = values.task_ranges(f"9_[{text}]")
    assert read is not None and {n for one in read for n in one} == tasks
    assert len(text.split(",")) == len([n for n in tasks if n - 1 not in tasks])
