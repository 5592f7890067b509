"""Builds from Go modules, on the real Go: a failing fetch, a killed build, a finished one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from labtui.lab import gobuild, kube_build, progress, vault_build
from labtui.lab.layout import Lab
from labtui.lab.system import LabError

GO = shutil.which("go")
needs_go = pytest.mark.skipif(
    GO is None or gobuild.go_version(GO, dict(os.environ)) < vault_build.RECIPE.go,
    reason=f"no Go >= {vault_build.RECIPE.go} on PATH",
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LABTUI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path / "state"))
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(vault_build, "on_path", lambda: None)
    monkeypatch.setattr(vault_build, "RECIPE", replace(vault_build.RECIPE, disk_gib=0))
    return Lab("build-test")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that is built like Vault's, in seconds."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module labtui.invalid/vault\n\ngo 1.25\n")
    (module / "go.sum").write_text("")
    (module / "main.go").write_text('package main\n\nfunc main() { println("small") }\n')
    recipe = replace(vault_build.RECIPE, modules=(replace(vault_build.MODULE, source=module),))
    monkeypatch.setattr(vault_build, "RECIPE", recipe)
    return module


def test_module_pins_the_version_it_is_named_by() -> None:
    wanted = f"require github.com/hashicorp/vault v{vault_build.VERSION}\n"
    assert wanted in (vault_build.MODULE.source / "go.mod").read_text()
    pinned = (kube_build.KUBERNETES.source / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{kube_build.VERSION} " in pinned
    assert (
        f"k8s.io/client-go => k8s.io/client-go v{kube_build.VERSION.replace('1.', '0.', 1)}"
        in pinned
    )


def test_static_programs_are_told_from_dynamic_ones(tmp_path: Path) -> None:
    assert vault_build.is_static(Path("/sbin/ldconfig").resolve())
    assert not vault_build.is_static(Path(sys.executable).resolve())
    script = tmp_path / "vault"
    script.write_text("#!/bin/sh\n")
    assert not vault_build.is_static(script)


@needs_go
def test_a_build_that_cannot_fetch_says_so_in_a_sentence(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", "off")
    with pytest.raises(LabError, match="GOPROXY=off"):
        vault_build.ensure(lab, lambda line: None)
    told = progress.read(vault_build.RECIPE.progress(lab))
    assert told is not None
    assert told["state"] == "failed"
    assert "go list" in told["detail"]
    assert vault_build.binary(lab) is None


def test_too_little_disk_is_said_before_anything_is_fetched(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_build, "RECIPE", replace(vault_build.RECIPE, disk_gib=10**6))
    with pytest.raises(LabError, match="needs 1000000 GiB"):
        vault_build.ensure(lab, lambda line: None)


@needs_go
def test_a_killed_build_leaves_no_process_and_the_next_one_finishes(lab: Lab, small: Path) -> None:
    builder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from msgspec.structs import replace; "
            "from labtui.lab import vault_build as v; from labtui.lab.layout import Lab; "
            "v.on_path = lambda: None; "
            "module = replace(v.MODULE, source=pathlib.Path(sys.argv[1]));"
            "v.RECIPE = replace(v.RECIPE, modules=(module,), disk_gib=0); "
            "v.ensure(Lab('build-test'), print)",
            str(small),
        ],
        stdout=subprocess.DEVNULL,
    )
    objects = lab.cache / "vault-build" / "objects"
    deadline = time.monotonic() + 30
    while not objects.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert objects.exists()
    assert vault_build.health(lab).state == "building"
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    while (left := _using(lab.cache)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert vault_build.binary(lab) is None
    assert vault_build.health(lab).detail.startswith("interrupted")

    built = vault_build.ensure(lab, lambda line: None)
    assert subprocess.run([built], capture_output=True, text=True).stderr == "small\n"
    assert not (lab.cache / "vault-build").exists()
    told = progress.read(vault_build.RECIPE.progress(lab))
    assert told is not None
    assert (told["state"], told["percent"]) == ("running", 100)

    before = built.stat()
    assert vault_build.ensure(lab, lambda line: None) == built
    assert built.stat().st_mtime_ns == before.st_mtime_ns, "it is built once"


def _using(folder: Path) -> list[str]:
    """Command lines of processes that work in `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").readlink().is_relative_to(folder):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
    return found
