"""Several jobs submitted as one: files that name scripts and which waits for which.

`NAME.pipeline.toml`, beside the templates (`playbooks/jobs/` and one's own folder):

    [pipeline]
    summary = "what menus show"
    env = { STEPS = "100" }                 # for every stage
    set = { memory = "100M" }               # fields of the form, or options of sbatch

    [stages.train]
    template = "llama-lora"                 # or script = "train.sbatch", or command = "srun ..."
    after = { prepare = "ok" }              # ok, any, failed or started
    set = { gpus = "2" }
    env = { STEPS = "10" }
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from labtui.slurm.form import FIELD, FIELDS, set_field, word_of
from labtui.slurm.script import BatchScript, ScriptError, directives, mistakes, parse_script
from labtui.slurm.templates import FileError, job_files, read_text, template
from labtui.text import inert

ENDING = ".pipeline.toml"
KINDS = {"ok": "afterok", "any": "afterany", "failed": "afternotok", "started": "after"}
MAX_STAGES = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Stage(msgspec.Struct, frozen=True, dict=True):
    """One job of a pipeline."""

    name: str
    script: str
    after: Mapping[str, str]
    """Stage -> how it must have ended: a key of KINDS."""
    source: str
    """`template data-prep`, `script train.sbatch`, `command`."""

    @cached_property
    def job(self) -> BatchScript:
        return parse_script(self.script)

    def dependency(self, jobs: Mapping[str, str]) -> str:
        """For sbatch: what it waits for, by the ids of the stages' jobs. A stage without an id is
        over and well: nothing waits for it. What the script itself waits for comes first."""
        own = directives(self.script).get("dependency", "")
        found = [own] if own else []
        for kind, word in KINDS.items():
            ids = [jobs[name] for name, how in self.after.items() if how == kind and name in jobs]
            if ids:
                found.append(f"{word}:{':'.join(ids)}")
        return ",".join(found)


class Pipeline(msgspec.Struct, frozen=True):
    name: str
    summary: str
    stages: tuple[Stage, ...]
    """In an order in which they can be submitted."""
    path: Path | None = None
    """A person's own file; None for what comes with labtui."""

    def stage(self, name: str) -> Stage | None:
        return next((s for s in self.stages if s.name == name), None)

    def from_stage(self, name: str) -> tuple[Stage, ...]:
        """A stage and all that wait for it, however far behind."""
        wanted = {name}
        for stage in self.stages:
            if wanted & set(stage.after):
                wanted.add(stage.name)
        return tuple(s for s in self.stages if s.name in wanted)


class StageRun(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a pipeline that was submitted: its token finds it also without the id."""

    stage: str
    token: str
    job_id: str = ""


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """One submission of a pipeline; a stage that was submitted again has its newest job here."""

    id: str
    pipeline: str
    source: str
    """Where the pipeline was read from: a name, or a file's path."""
    at: float
    """Unix seconds of the (last) submission."""
    stages: tuple[StageRun, ...] = ()

    def job_of(self, stage: str) -> str:
        """The job's id; empty where the stage was not submitted."""
        return next((s.job_id for s in self.stages if s.stage == stage), "")


def pipelines() -> tuple[list[Pipeline], list[str]]:
    """All that can be used, by name; and a sentence for each file that cannot."""
    found, broken = [], []
    for name, file, own in job_files(ENDING):
        try:
            found.append(_read(name, file, own))
        except FileError as error:
            broken.append(str(error))
    return found, broken


def pipeline(name: str) -> Pipeline:
    """By its name, or the path of its file. Raises FileError: one sentence, with file and key."""
    if "/" in name or name.endswith(".toml"):
        path = Path(name).expanduser().absolute()
        return _read(path.name.removesuffix(ENDING).removesuffix(".toml"), path, True)
    names = []
    for known, file, own in job_files(ENDING):
        if known == name:
            return _read(name, file, own)
        names.append(known)
    raise FileError(f"no pipeline {inert(name, 60)!r}; there are: {', '.join(names)}")


def _read(name: str, file: Traversable | Path, own: bool) -> Pipeline:
    path = Path(str(file)) if own else None
    return parse(name, read_text(file), str(file), path)


def parse(name: str, text: str, where: str, path: Path | None = None) -> Pipeline:
    """Raises FileError: `FILE: stages.train.after: there is no stage 'prep'; ...`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{where}: is not TOML: {error}") from None
    reader = _Reader(where, path)
    reader.only(document, "", ("pipeline", "stages"))
    common = reader.table(document, "pipeline")
    reader.only(common, "pipeline", ("summary", "env", "set"))
    stages = reader.table(document, "stages")
    if not stages:
        raise FileError(f"{where}: stages: there are none; write [stages.NAME] with a template")
    if len(stages) > MAX_STAGES:
        raise FileError(f"{where}: stages: more than {MAX_STAGES}; make two pipelines of it")
    made = {}
    for stage, given in stages.items():
        if not _NAME.match(stage):
            reader.wrong(f"stages.{inert(stage, 60)}", "a name has letters, digits, - and _ only")
        if not isinstance(given, dict):
            reader.wrong(f"stages.{stage}", "is no table; write [stages.NAME]")
        made[stage] = reader.stage(stage, given, common, list(stages))
    summary = common.get("summary", "")
    if not isinstance(summary, str):
        reader.wrong("pipeline.summary", "is no text")
    return Pipeline(name, inert(summary, 200), _ordered(made, where), path)


def _ordered(stages: Mapping[str, Stage], where: str) -> tuple[Stage, ...]:
    """Each after those it waits for, else as they are written."""
    found: dict[str, Stage] = {}
    while len(found) < len(stages):
        ready = [s for s in stages.values() if s.name not in found and set(s.after) <= set(found)]
        if not ready:
            circle = _circle(stages, [name for name in stages if name not in found])
            first = circle[0]
            raise FileError(
                f"{where}: stages.{first}.after: {' waits for '.join([*circle, first])},"
                " so none could start; take one of these out"
            )
        found |= {s.name: s for s in ready}
    return tuple(found.values())


def _circle(stages: Mapping[str, Stage], left: list[str]) -> list[str]:
    way = [left[0]]
    while True:
        following = next(name for name in stages[way[-1]].after if name in left)
        if following in way:
            return way[way.index(following) :]
        way.append(following)


class _Reader:
    """Reads tables of one file; each mistake is told with the file and the key."""

    def __init__(self, where: str, path: Path | None) -> None:
        self.where = where
        self.folder = path.parent if path else None

    def wrong(self, key: str, sentence: str) -> None:
        raise FileError(f"{self.where}: {key}: {sentence}")

    def only(self, table: Mapping[str, Any], key: str, known: Sequence[str]) -> None:
        for name in table:
            if name not in known:
                full = f"{key}.{name}" if key else name
                self.wrong(inert(full, 100), f"no such key; there are {', '.join(known)}")

    def table(self, of: Mapping[str, Any], name: str, key: str = "") -> dict[str, Any]:
        found = of.get(name, {})
        if not isinstance(found, dict):
            self.wrong(key or name, "is no table; write { KEY = VALUE }")
        return dict(found)

    def stage(
        self, name: str, given: dict[str, Any], common: Mapping[str, Any], names: Sequence[str]
    ) -> Stage:
        key = f"stages.{name}"
        self.only(given, key, ("template", "script", "command", "after", "set", "env"))
        script, source = self.source(given, key)
        after = self.after(given, key, name, names)
        changes = [
            (f"{at}.set", self.table(of, "set", f"{at}.set"))
            for at, of in (("pipeline", common), (key, given))
        ]
        variables: dict[str, str] = {}
        for at, of in (("pipeline", common), (key, given)):
            variables |= self.variables(self.table(of, "env", f"{at}.env"), f"{at}.env")
        if variables or any(change for _, change in changes):
            script = self.changed(script, changes, variables, f"{key}.env")
        for line, sentence in mistakes(script):
            self.wrong(key, f"{source}, line {line}: {sentence}")
        return Stage(name, script, after, source)

    def source(self, given: Mapping[str, Any], key: str) -> tuple[str, str]:
        kinds = [kind for kind in ("template", "script", "command") if kind in given]
        if len(kinds) != 1:
            self.wrong(key, "needs exactly one of template, script or command")
        kind = kinds[0]
        value = given[kind]
        if not isinstance(value, str) or not value.strip():
            self.wrong(f"{key}.{kind}", "is no text")
        try:
            if kind == "template":
                return template(value).script, f"template {inert(value, 60)}"
            if kind == "script":
                path = Path(value).expanduser()
                if not path.is_absolute() and self.folder is None:
                    self.wrong(f"{key}.script", "needs an absolute path here")
                path = path if path.is_absolute() else (self.folder or Path()) / path
                return read_text(path).replace("\r\n", "\n"), f"script {inert(value, 60)}"
        except FileError as error:
            self.wrong(f"{key}.{kind}", str(error))
        try:
            return BatchScript(value).script(), "command"
        except ScriptError as error:
            raise FileError(f"{self.where}: {key}.command: {error.message}") from None

    def after(
        self, given: Mapping[str, Any], key: str, name: str, names: Sequence[str]
    ) -> dict[str, str]:
        said = given.get("after", {})
        if isinstance(said, str):
            said = [said]
        if isinstance(said, list):
            said = {one: "ok" for one in said if isinstance(one, str)}
        if not isinstance(said, dict):
            self.wrong(f"{key}.after", 'write { STAGE = "ok" }')
        for other, how in said.items():
            if other not in names:
                there = ", ".join(n for n in names if n != name)
                self.wrong(
                    f"{key}.after", f"there is no stage {inert(other, 60)!r}; there are: {there}"
                )
            if not isinstance(how, str) or how not in KINDS:
                self.wrong(f"{key}.after.{other}", f"{how!r} is none of {', '.join(KINDS)}")
        return dict(said)

    def variables(self, given: Mapping[str, Any], key: str) -> dict[str, str]:
        found = {}
        for name, value in given.items():
            if not _VARIABLE.match(name):
                self.wrong(f"{key}.{inert(name, 60)}", "is no name of a variable")
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                self.wrong(f"{key}.{name}", "is no text")
            text = str(value)
            if any(c in ",'\"\\" or ord(c) < 32 or ord(c) == 127 for c in text):
                self.wrong(
                    f"{key}.{name}",
                    "may hold no comma, quote, backslash or line break: sbatch would split it",
                )
            found[name] = text
        return found

    def changed(
        self,
        script: str,
        changes: Sequence[tuple[str, Mapping[str, Any]]],
        variables: Mapping[str, str],
        env_key: str,
    ) -> str:
        job = parse_script(script)
        by_option = {field.option: field for field in FIELDS}
        keys: dict[str, str] = {}
        for key, fields in changes:
            for name, value in fields.items():
                field = FIELD.get(name) or by_option.get(name)
                if field is None or field.id == "after":
                    hint = "; write after = {...}" if field else ", and no option of sbatch"
                    self.wrong(f"{key}.{inert(name, 60)}", f"no field to set{hint}")
                elif isinstance(value, bool):
                    job = set_field(job, field, "yes" if value else "no")
                elif isinstance(value, (str, int)):
                    job = set_field(job, field, str(value))
                else:
                    self.wrong(f"{key}.{name}", "is no text")
                keys[field.option if field else name] = f"{key}.{name}"
        if variables:
            given = ",".join(f"{name}={value}" for name, value in variables.items())
            job = job.with_options({"export": f"{job.get('export') or 'ALL'},{given}"})
            keys["export"] = env_key
        try:
            return job.script()
        except ScriptError as error:
            key = keys.get(error.field, changes[-1][0])
            raise FileError(
                f"{self.where}: {key}: {word_of(error.field)}: {error.message}"
            ) from None
