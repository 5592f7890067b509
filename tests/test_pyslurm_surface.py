"""PySlurm's names: all there, and all in the table of docs/pyslurm.md."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import labtui.slurm as pyslurm
from labtui.slurm import db
from labtui.slurm.db import tres
from labtui.slurm.xcollections import MultiClusterMap

HERE = Path(__file__).resolve().parent
NAMES = [
    line.split()
    for line in (HERE / "samples" / "pyslurm-surface.txt").read_text().splitlines()
    if not line.startswith("#")
]
MADE = (
    tres.GPU(1), tres.GenericResourceLayout("gpu"), tres.TrackableResource("cpu", 1),
    tres.TrackableResources(), MultiClusterMap(None), pyslurm.RPCError(), db.JobStatistics(),
    db.JobStepStatistics(), pyslurm.Jobs(), db.Jobs(),
    importlib.import_module("labtui.slurm.core.job.task_dist").TaskDistribution(),
)  # fmt: skip
"""Examples of classes whose attributes are set when one is made."""
EXAMPLES = {type(one): one for one in MADE}


def find(path: str) -> Any:
    found: Any = pyslurm
    for part in path.split("."):
        if inspect.isclass(found) and not hasattr(found, part):
            annotated = any(part in vars(b).get("__annotations__", {}) for b in found.__mro__)
            if annotated:
                return None
            found = EXAMPLES[found]
        elif inspect.ismodule(found) and not hasattr(found, part):
            found = importlib.import_module(f"{found.__name__}.{part}")
            continue
        found = getattr(found, part)
    return found


def test_the_list_is_whole() -> None:
    assert len(NAMES) > 1300


@pytest.mark.parametrize("kind", ["class", "function", "method", "attribute", "member", "module"])
def test_every_name_is_there(kind: str) -> None:
    missing = []
    for path, what in NAMES:
        if what != kind:
            continue
        try:
            found = find(path)
        except (AttributeError, KeyError, ImportError):
            missing.append(path)
            continue
        if (kind == "class" and not inspect.isclass(found)) or (
            kind in ("function", "method") and not callable(found)
        ):
            missing.append(f"{path} is no {kind}")
    assert not missing


ROW = re.compile(r"^\| \**`([\w.]+)(?:\(\))?`\** \|(.*)\| ((?:[^|\\]|\\.)*) \|$", re.MULTILINE)


def test_every_name_is_in_the_table() -> None:
    text = (HERE.parent / "docs" / "pyslurm.md").read_text(encoding="utf-8")
    rows = {name: (what.strip(), how.strip()) for name, what, how in ROW.findall(text)}
    rows |= dict.fromkeys(re.findall(r"^\| \*\*`([\w.]+)`\*\*", text, re.MULTILINE), ("", "here"))
    assert [path for path, _ in NAMES if path not in rows] == []
    assert [path for path, _ in NAMES if not rows[path][1]] == []
    assert rows["Node.total_cpus"][1] == "`scontrol show node`: `CPUTot`, JSON `cpus`"
    assert rows["JobSubmitDescription.time_limit"][1].startswith("`sbatch --time`")


@pytest.mark.parametrize(
    "module",
    ["core.error", "core.job.job", "core.job.stats", "core.job.step", "core.job.submission",
     "core.job.task_dist", "core.job.util", "core.node", "core.partition", "core.reservation",
     "core.slurmctld.base", "core.slurmctld.config", "core.slurmctld.enums",
     "core.slurmctld.stats", "db.assoc", "db.connection", "db.job", "db.qos", "db.stats",
     "db.step", "db.tres", "enums", "settings", "utils.cstr", "utils.ctime", "utils.helpers",
     "utils.uint", "xcollections"],
)  # fmt: skip
def test_modules_are_where_pyslurm_has_them(module: str) -> None:
    assert importlib.import_module(f"labtui.slurm.{module}").__doc__


def test_slurmctld_is_of_the_core() -> None:
    assert pyslurm.slurmctld is importlib.import_module("labtui.slurm.core.slurmctld")


def test_old_names() -> None:
    assert pyslurm.slurm_init() is None
    assert pyslurm.constants.UNLIMITED == "UNLIMITED"
    assert db.JobSearchFilter is db.JobFilter
    assert set(db.__all__) <= set(dir(db))
    with pytest.raises(AttributeError):
        _ = pyslurm.nothing_of_that_name  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = db.nothing_of_that_name  # type: ignore[attr-defined]
