"""labtui-containers: a stand-in of the containers that a kubelet would run on desktop-gpu.

For each running pod that holds a slice there is one real process, named like the pod's app, in the
control group that a kubelet with systemd's driver would have made, with the variables that the
device plug-in sets. It sleeps. The lab's stand-in of a card takes it for a process on the card.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtui.lab.kubeapi import Api, each_second

NAME = "labtui-containers"
KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
PROGRAMS = Path("/run/labtui-containers")
CARD = Path("/run/labtui-nvml.state")
"""Where the stand-in of the card tells its UUID."""
RESOURCE = re.compile(r"nvidia\.com/(gpu(\.shared)?|mig-.+)")
MEMORY, UTILISATION = "labtui.dev/gpu-mib", "labtui.dev/gpu-util"
TREES = (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup"))
"""Where systemd keeps its groups: of the old hierarchy, of the unified one."""
SCOPE = re.compile(r"cri-containerd-([0-9a-f]{64})\.scope")


@dataclass(frozen=True)
class Container:
    """One process to have."""

    id: str
    app: str
    slice: str
    """systemd's name of the pod's control group: each `-` is a level."""
    environment: tuple[tuple[str, str], ...]


def containers(pods: Mapping[str, Any], card: str) -> list[Container]:
    """Those of the running pods with a limit of GPUs. A pod in its grace period still has them."""
    found = []
    for pod in pods.get("items") or ():
        meta, spec = pod["metadata"], pod["spec"]
        if (pod.get("status") or {}).get("phase") != "Running" or "deletionTimestamp" in meta:
            continue
        notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
        quality = (pod["status"].get("qosClass") or "BestEffort").lower()
        level = "kubepods" if quality == "guaranteed" else f"kubepods-{quality}"
        for one in spec["containers"]:
            limits = (one.get("resources") or {}).get("limits") or {}
            if not any(RESOURCE.fullmatch(name) for name in limits):
                continue
            app = labels.get("app.kubernetes.io/name") or labels.get("app") or one["name"]
            environment = {
                "NVIDIA_VISIBLE_DEVICES": card,
                "HOSTNAME": meta["name"],
                "LABTUI_GPU_MIB": number(notes.get(MEMORY), 2048),
                "LABTUI_GPU_UTIL": number(notes.get(UTILISATION), 25),
            }
            key = hashlib.sha256(f"{meta['uid']} {one['name']}".encode()).hexdigest()
            pod_slice = f"{level}-pod{meta['uid'].replace('-', '_')}.slice"
            # The kernel cuts a process's name at 15.
            name = re.sub(r"[^A-Za-z0-9_.-]", "", app)[:15] or "app"
            found.append(Container(key, name, pod_slice, tuple(environment.items())))
    return found


def number(text: str | None, otherwise: int) -> str:
    """An annotation's number, or what holds without one."""
    return text if text and text.isdecimal() and len(text) < 7 else str(otherwise)


def running() -> set[str]:
    """Ids of the containers that have a process, as the kernel has them."""
    found = set()
    for tree in TREES:
        for group in tree.glob("kubepods.slice/**/cri-containerd-*.scope"):
            named = SCOPE.fullmatch(group.name)
            try:
                if named and (group / "cgroup.procs").read_text():
                    found.add(named[1])
            except OSError:
                continue  # it is being removed
    return found


def start(one: Container) -> subprocess.Popen[bytes]:
    """Its process, in a scope of systemd's: it outlives this program, as a container would."""
    program = PROGRAMS / one.app
    PROGRAMS.mkdir(exist_ok=True)
    if not program.is_symlink():
        program.symlink_to("/usr/bin/sleep")
    argv = ["systemd-run", "--quiet", "--scope", "--collect", f"--slice={one.slice}"]
    argv += [f"--unit=cri-containerd-{one.id}.scope", str(program), "infinity"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **dict(one.environment)}
    return subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def stop(key: str) -> None:
    argv = ["systemctl", "stop", f"cri-containerd-{key}.scope"]
    subprocess.run(argv, timeout=20, check=False)


def card_uuid() -> str:
    """What the device plug-in would name the card by."""
    try:
        found = re.search(r"^0\.uuid=(\S+)$", CARD.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "all"


def follow(api: Api, node: str, children: list[subprocess.Popen[bytes]]) -> str:
    """One look, and what it asks for done; in words, or "". Raises OSError."""
    children[:] = [child for child in children if child.poll() is None]
    wanted = {
        one.id: one
        for one in containers(
            api.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"), card_uuid()
        )
    }
    there = running()
    said = []
    for key in sorted(there - set(wanted)):
        stop(key)
        said.append(f"ended {key[:12]}")
    for key in sorted(set(wanted) - there):
        children.append(start(wanted[key]))
        said.append(f"started {wanted[key].app} {key[:12]}")
    return ", ".join(said)


def main() -> None:
    node, api = sys.argv[1], Api(KUBECONFIG)
    children: list[subprocess.Popen[bytes]] = []
    each_second(NAME, lambda: follow(api, node, children))


if __name__ == "__main__":
    main()
