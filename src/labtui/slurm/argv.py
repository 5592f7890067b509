"""What is sent to Slurm: the arguments of its commands, as clients run them and plans show them."""

from __future__ import annotations

from collections.abc import Iterable

from labtui.slurm import values
from labtui.slurm.script import TOKEN_PREFIX, directives
from labtui.text import inert

MOST_TASKS = 16_000
"""Tasks that are named one by one: an argument of a command has at most 128 KiB."""


def submit_argv(
    script: str,
    *,
    token: str = "",
    chdir: str = "",
    hold: bool = False,
    test_only: bool = False,
    dependency: str = "",
) -> list[str]:
    """`sbatch` with the script on stdin.

    The token goes into the job's comment, beside the script's own: of all that a submission may
    carry, only the comment is given back by squeue for every job and read by nothing else. The
    user's SBATCH_* variables are left as they are: sbatch is asked as that user would ask it.
    """
    asked = directives(script)
    argv = ["sbatch", "--test-only"] if test_only else ["sbatch", "--parsable"]
    if token:
        comment = asked.get("comment", "")
        argv.append(f"--comment={comment + ' ' if comment else ''}{TOKEN_PREFIX}{token}")
    if chdir and "chdir" not in asked:
        argv.append(f"--chdir={chdir}")
    if dependency:
        argv.append(f"--dependency={dependency}")
    if hold:
        argv.append("--hold")
    return argv


def exact_id(job_id: str) -> str:
    """The id as commands take it: `9_[0-8:4%2]` as `9_[0,4,8]`, without the throttle, and without
    steps, which neither scancel nor scontrol reads.

    ValueError for what is not a job id, so that nothing else ever becomes an argument, and for a
    list that was shortened.
    """
    if is_shortened(job_id):  # which tasks it names is not told, and others may run
        array = whole_id(job_id)
        raise ValueError(f"{inert(job_id, 60)} is shortened: name its tasks, or all of {array}")
    return written_out(job_id)


def written_out(job_id: str) -> str:
    """As `exact_id`; a list that was shortened stays so."""
    plain = job_id.partition("%")[0] + ("]" if "[" in job_id and "%" in job_id else "")
    if not _is_id(plain):
        raise ValueError(f"{inert(job_id, 60)!r} is not a job id")
    if ":" not in plain or is_shortened(plain):
        return plain
    tasks = values.task_ranges(plain)
    if not tasks:
        raise ValueError(f"{inert(job_id, 60)!r} is not a job id")
    array = whole_id(plain)
    if sum(map(len, tasks)) > MOST_TASKS:
        raise ValueError(
            f"{inert(job_id, 60)}: too many to name each: name fewer, or all of {array}"
        )
    return f"{array}_[{','.join(str(task) for one in tasks for task in one)}]"


def is_shortened(job_id: str) -> bool:
    """Whether Slurm left out with `...` some of the tasks that it names."""
    return "[" in job_id and "..." in job_id


def whole_id(job_id: str) -> str:
    """The id of the whole array, or heterogeneous job, that this one is of."""
    plain = job_id.partition("%")[0]
    if not _is_id(plain):
        raise ValueError(f"{inert(job_id, 60)!r} is not a job id")
    return plain.partition("_")[0].partition("+")[0]


def _is_id(plain: str) -> bool:
    rest = plain.replace("...", "", 1) if "[" in plain else plain
    return plain[:1].isdigit() and all(
        c.isascii() and (c.isdigit() or c in "_+[],-:") for c in rest
    )


def cancel_argv(job_ids: Iterable[str]) -> list[list[str]]:
    """One scancel for all, by name; a list that was shortened stands for all that wait.

    By name without any `--state`: with one, the scancel of 22.05 takes the whole array for a task
    of it that waits.
    """
    shortened = [job_id for job_id in job_ids if is_shortened(job_id)]
    exact = [exact_id(job_id) for job_id in job_ids if not is_shortened(job_id)]
    argvs = [["scancel", *exact]] if exact else []
    if shortened:
        argvs.append(["scancel", "--state=PENDING", *map(whole_id, shortened)])
    return argvs


def scontrol_argv(verb: str, job_ids: Iterable[str]) -> list[str]:
    return ["scontrol", verb, ",".join(exact_id(job_id) for job_id in job_ids)]


def node_argv(name: str, state: str, reason: str = "") -> list[str]:
    argv = ["scontrol", "update", f"NodeName={name}", f"State={state}"]
    return [*argv, f"Reason={reason}"] if reason else argv
