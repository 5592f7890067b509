"""HashiCorp Vault, built once from its Go module and kept in the cache.

There is no package of it in Debian, on PyPI or npm. Version 1.21.2 compiles as a dependency with
sdk 0.20.0 and api 1.22.0 (newer pairs do not); tag `minimal` leaves the cloud plug-ins out. Vault
is under the Business Source License 1.1, which allows this use; nothing of it is shipped here.
"""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from labtui.lab import gobuild
from labtui.lab.gobuild import Module, Recipe
from labtui.lab.layout import Health, Lab, Say

VERSION = "1.21.2"

MODULE = Module(
    # Its main.go calls Vault's own command line.
    source=resources.files("labtui.lab") / "vaultmod",
    programs={"vault": "."},
    flags=("-tags", "minimal"),
    # Without a commit `vault -version` prints a comma that hvac's tests stumble over.
    ldflags="-s -w -X github.com/hashicorp/vault/version.GitCommit=gomod",
    downloads=365,
)
RECIPE = Recipe(
    title=f"Vault {VERSION}",
    name="vault-build",
    modules=(MODULE,),
    minutes=6,
    # Modules 2.9, build cache 1.9, Go 0.3, the program and what the linker needs.
    disk_gib=7,
    go=(1, 25, 3),
)


def folder(lab: Lab) -> Path:
    """What the machine binds: the program appears in it as `vault` when it is ready."""
    return lab.cache / ("vault-path" if on_path() else f"vault-{VERSION}")


def binary(lab: Lab) -> Path | None:
    """The Vault that the lab runs, once it is there."""
    built = folder(lab) / "vault"
    return built if built.is_file() else None


def lock_file(lab: Lab) -> Path:
    """Held by whoever builds: one at a time over all labs."""
    return RECIPE.lock(lab)


def health(lab: Lab) -> Health:
    """How the build is: building with its percentage, interrupted, failed and why, or done."""
    return gobuild.health(lab, RECIPE, folder(lab))


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
    """The program, built if need be, or this machine's own. Raises LabError."""
    gobuild.ensure(lab, RECIPE, folder(lab), say, on_path())
    return folder(lab) / "vault"
