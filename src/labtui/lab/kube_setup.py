"""What is in the lab's Kubernetes: applied or created by kubectl, safe to do again."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from labtui.lab import kube_access, machines, net
from labtui.lab.kubeapi import Api, ApiError
from labtui.lab.layout import CONTROLLER, Lab, Say
from labtui.lab.system import LabError, wait_for

MANIFESTS = resources.files("labtui.lab") / "kube"
RIGHTS = resources.files("labtui.playbooks") / "kubernetes" / "rbac.yaml"
"""labtui's own rights: the file that the guide points to."""

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=20s")

CREATED = ("node", "gpu-operator", "soperator", "pods")
"""Manifests whose objects people may change: made where they are missing, never set back."""


def fill(lab: Lab, say: Say) -> None:
    """Everything; what is there already stays. Raises LabError."""

    def kubectl(*arguments: str, stdin: str | None = None) -> str:
        argv = [*KUBECTL, *arguments]
        return machines.run(lab, CONTROLLER, argv, stdin=stdin, timeout=60).stdout

    apply = ("apply", "--server-side", "--force-conflicts", "--filename=-")
    for text in (_text("base"), _text("crds"), RIGHTS.read_text(), _text("accounts")):
        kubectl(*apply, stdin=text)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    # Its discovery lags a moment behind the kinds that are new.
    wait_for("its new kinds", lambda: _create(lab, "gpu-operator"), timeout=30, every=0.5)
    for name in CREATED:
        if why := _create(lab, name):
            raise LabError(f"Kubernetes' {name}: {why}")
    kubectl(*apply, "--subresource=status", stdin=_text("status"))

    def accepts(kubeconfig: Path) -> bool:
        try:
            net.call(lab, Api(kubeconfig).get, "/version")
        except ApiError as error:
            return error.status == 403
        except (OSError, ValueError, KeyError):
            return False
        return True

    kube_access.issue(lab, kubectl, accepts)
    say("Kubernetes is set up")


def _create(lab: Lab, name: str) -> str:
    """Create what is not there; why it could not be, or ""."""
    argv = [*KUBECTL, "create", "--filename=-"]
    done = machines.run(lab, CONTROLLER, argv, stdin=_text(name), timeout=60, check=False)
    failed = [line for line in done.stderr.splitlines() if "already exists" not in line]
    return failed[0] if done.returncode and failed else ""


def _text(name: str) -> str:
    return (MANIFESTS / f"{name}.yaml").read_text()
