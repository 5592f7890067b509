"""Kubernetes' own programs and kwok, built once from their Go modules and kept in the cache.

Debian, PyPI and npm have no API server. Kubernetes 1.34.2 builds as a dependency with one
`replace` for each of the modules that it keeps in its own tree. kwok's versions of them differ: it
has a module of its own. Both are under the Apache License 2.0; nothing of them is shipped here.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from labtui.lab import gobuild
from labtui.lab.gobuild import Module, Recipe
from labtui.lab.layout import Health, Lab, Say

VERSION = "1.34.2"
_SET = "-X k8s.io/component-base/version"

KUBERNETES = Module(
    source=resources.files("labtui.lab") / "kubemod",
    programs={
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-scheduler", "kubectl")
    },
    flags=(),
    # Without these it calls itself v0.0.0-master, and clients take it for an old one.
    ldflags=f"-s -w {_SET}.gitVersion=v{VERSION} {_SET}.gitMajor=1 {_SET}.gitMinor=34",
    downloads=142,
    weight=3.0,
)
KWOK = Module(
    source=resources.files("labtui.lab") / "kwokmod",
    programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    flags=(),
    ldflags="-s -w",
    downloads=63,
)
RECIPE = Recipe(
    title=f"Kubernetes {VERSION}",
    name="kube-build",
    modules=(KUBERNETES, KWOK),
    minutes=6,
    # Modules 0.8, build cache, Go 0.3, the programs twice and what the linker needs.
    disk_gib=4,
    go=(1, 24, 0),
)


def folder(lab: Lab) -> Path:
    """What the machine binds: the programs appear in it when they are ready."""
    return lab.cache / f"kubernetes-{VERSION}"


def kubectl(lab: Lab) -> Path:
    """The kubectl that the console runs."""
    return folder(lab) / "kubectl"


def built(lab: Lab) -> bool:
    return gobuild.built(RECIPE, folder(lab))


def health(lab: Lab) -> Health:
    """How the build is: building with its percentage, interrupted, failed and why, or done."""
    return gobuild.health(lab, RECIPE, folder(lab))


def ensure(lab: Lab, say: Say) -> None:
    """Build what is missing. Raises LabError."""
    gobuild.ensure(lab, RECIPE, folder(lab), say)
