"""What is sent to Slurm: the arguments of its commands, as clients run them and plans show them."""

from __future__ import annotations

from collections.abc import Iterable

from labtui.slurm.script import TOKEN_PREFIX, directives
from labtui.text import inert


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
    """The id as commands take it: without the `%8` of a throttled array.

    ValueError for what is not a job id, so that nothing else ever becomes an argument, and for a
    list that was shortened.
    """
    plain = job_id.partition("%")[0] + ("]" if "[" in job_id and "%" in job_id else "")
    if not _is_id(plain):
        raise ValueError(f"{inert(job_id, 60)!r} is not a job id")
    if "..." in plain:  # which tasks it names is not told, and others may run
        array = plain.partition("_")[0]
        raise ValueError(f"{inert(job_id, 60)} is shortened: name its tasks, or all of {array}")
    return plain


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
    """One scancel for all; of a folded array only the waiting tasks, as its row shows them."""
    folded = [job_id for job_id in job_ids if "[" in job_id]
    single = [exact_id(job_id) for job_id in job_ids if "[" not in job_id]
    argvs = [["scancel", *single]] if single else []
    if folded:
        argvs.append(["scancel", "--state=PENDING", *(whole_id(job_id) for job_id in folded)])
    return argvs


def scontrol_argv(verb: str, job_ids: Iterable[str]) -> list[str]:
    return ["scontrol", verb, ",".join(exact_id(job_id) for job_id in job_ids)]


def node_argv(name: str, state: str, reason: str = "") -> list[str]:
    argv = ["scontrol", "update", f"NodeName={name}", f"State={state}"]
    return [*argv, f"Reason={reason}"] if reason else argv
