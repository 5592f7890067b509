"""Kubernetes on desktop-gpu: a real control plane, with kwok and two programs of the lab's own in
the place of the kubelet, its containers and NVIDIA's device plug-in.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from labtui.lab import kube_access, kube_build, kube_setup, kube_units, machines, net, progress
from labtui.lab.kubeapi import Api
from labtui.lab.layout import CONTROLLER, Health, Lab, Say
from labtui.lab.progress import Progress
from labtui.lab.slurm import RETRY
from labtui.lab.system import enable, run, wait_for, write

CODE = resources.files("labtui.lab")
READY_S = 120.0
"""How long the API server may take on a busy machine, in seconds; alone it takes 3."""


class Kubernetes:
    """The whole: built in the background the first time, then set up again at each `up`."""

    name = "kubernetes"
    machine = CONTROLLER
    packages: Sequence[str] = ("etcd-server", "python3-yaml")

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return [(kube_build.folder(lab), kube_units.PROGRAMS)]

    def prepare(self, lab: Lab, say: Say) -> None:
        kube_build.folder(lab).mkdir(parents=True, exist_ok=True)
        root = lab.machine_root(self.machine)
        _prepare_access(lab, root)
        for name in ("kubeapi", "device_plugin", "containers"):
            text = (CODE / f"{name}.py").read_text()
            write(root / f"{kube_units.OURS.lstrip('/')}/labtui/lab/{name}.py", text)
        (root / "mnt/jail").mkdir(exist_ok=True)
        units = root / "etc/systemd/system"
        write(root / "etc/default/etcd", kube_units.ETCD_DEFAULTS)
        write(units / "etcd.service.d/labtui.conf", RETRY)
        enable(root, "etcd")
        for name, text in kube_units.UNITS.items():
            write(units / f"{name}.service", text)
            enable(root, name)
        write(root / "etc/profile.d/kubernetes.sh", kube_units.PROFILE)
        command = root / "usr/local/bin/kubectl"
        if not command.is_symlink():
            command.symlink_to(f"{kube_units.PROGRAMS}/kubectl")

    def finish(self, lab: Lab, say: Say) -> None:
        told = Progress(lab.progress / "kubernetes.json")
        told.tell("building", "Kubernetes is being built")
        kube_build.ensure(lab, say)
        told.tell("starting", "Kubernetes starts")
        units = [*kube_units.PARTS, *kube_units.STAND_INS]
        machines.run(lab, self.machine, ["systemctl", "start", "--no-block", *units])
        api = Api(kube_access.admin_config(lab))
        wait_for("Kubernetes", lambda: net.call(lab, api.ready), timeout=READY_S, every=0.3)
        kube_setup.fill(lab, say)
        wait_for("Kubernetes", lambda: _lacks(lab, api), timeout=60, every=0.3)
        told.tell("running", "")

    def health(self, lab: Lab) -> Health:
        if not kube_build.built(lab):
            return kube_build.health(lab)
        try:
            why = _lacks(lab, Api(kube_access.admin_config(lab)))
        except OSError as error:
            why = str(error)
        if not why:
            return Health("running", f"{CONTROLLER} is its node")
        told = lab.progress / "kubernetes.json"
        return progress.health(told, kube_build.RECIPE.lock(lab), Health("failed", why))


class Part:
    """One unit of it, for `lab status`."""

    machine = CONTROLLER
    packages: Sequence[str] = ()

    def __init__(self, name: str, detail: str = "") -> None:
        self.name = name
        self._detail = detail

    def binds(self, lab: Lab) -> Sequence[tuple[Path, str]]:
        return ()

    def prepare(self, lab: Lab, say: Say) -> None:
        """Nothing: Kubernetes writes all units."""

    def finish(self, lab: Lab, say: Say) -> None:
        """Nothing: Kubernetes starts them."""

    def health(self, lab: Lab) -> Health:
        argv = ["timeout", "4", "systemctl", "is-active", self.name]
        said = machines.run(lab, self.machine, argv, timeout=6, check=False).stdout.strip()
        if said in ("active", "reloading"):
            return Health("running", self._detail)
        if not kube_build.built(lab):
            return kube_build.health(lab)
        told = lab.progress / "kubernetes.json"
        why = Health("failed", said or "systemd does not answer")
        return progress.health(told, kube_build.RECIPE.lock(lab), why)


def services() -> list[Kubernetes | Part]:
    """The whole and its parts."""
    return [
        Kubernetes(),
        *(Part(name, "a stand-in" if name == "kwok" else "") for name in kube_units.PARTS),
        *(Part(name, "a stand-in") for name in kube_units.STAND_INS),
    ]


def _prepare_access(lab: Lab, root: Path) -> None:
    """Certificates, keys and tokens into the machine, for root alone."""
    kube_access.certificates(lab)
    tokens = kube_access.tokens(lab)
    admin = kube_access.kubeconfig(lab, "admin", tokens["admin"])
    write(kube_access.admin_config(lab), admin, 0o600)
    etc = root / kube_units.ETC.lstrip("/")
    key = kube_access.signing_key(lab)
    write(etc / "ca.pem", lab.ca.read_text())
    write(etc / "tokens.csv", kube_access.token_file(lab), 0o600)
    write(etc / "accounts.key", key, 0o600)
    write(etc / "accounts.pub", run(["openssl", "ec", "-pubout"], stdin=key).stdout)
    write(etc / "exec.yaml", (CODE / "kube" / "exec.yaml").read_text())
    for user, token in tokens.items():
        write(etc / f"{user}.conf", kube_access.kubeconfig(lab, user, token), 0o600)
    for server in ("kube-apiserver", "kubelet"):
        for suffix, mode in (("pem", 0o644), ("key", 0o600)):
            text = (lab.secrets / f"{server}.{suffix}").read_text()
            write(etc / f"{server}.{suffix}", text, mode)


def _lacks(lab: Lab, api: Api) -> str:
    """Why Kubernetes is not ready, or "": its server answers and its node is Ready."""
    if why := net.call(lab, api.ready):
        return why
    try:
        node = net.call(lab, api.get, f"/api/v1/nodes/{CONTROLLER}")
    except OSError as error:
        return str(error)
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return "" if ready else f"its node {CONTROLLER} is not Ready"
