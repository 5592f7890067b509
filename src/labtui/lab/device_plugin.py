"""labtui-device-plugin: a stand-in of NVIDIA's device plug-in and of its feature discovery.

There is no GPU: it offers the node's slices as the real one would. Which time-slicing applies says
the node's label, else the ClusterPolicy's default; what it is, the ConfigMap that the policy names.
The node's capacity, allocatable and labels follow within two seconds.

It runs on the lab's desktop-gpu, with the Python and PyYAML of that machine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped,unused-ignore]

from labtui.lab.kubeapi import Api, each_second

NAME = "labtui-device-plugin"
KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
POLICY = "/apis/nvidia.com/v1/clusterpolicies/cluster-policy"
NAMESPACE = "gpu-operator"
LABEL = "nvidia.com/device-plugin.config"
RESOURCE, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
PRODUCT = "NVIDIA-GeForce-RTX-4090"
GPUS = 1


@dataclass(frozen=True)
class Slicing:
    """What one entry of the ConfigMap says."""

    replicas: int = 1
    renamed: bool = False


def slicing(text: str) -> Slicing:
    """An entry's text read. Raises ValueError where the real plug-in would not start with it."""
    try:
        document = yaml.safe_load(text)
        sharing = (document.get("sharing") or {}).get("timeSlicing") or {}
        for resource in sharing.get("resources") or ():
            if resource["name"] == RESOURCE:
                replicas = int(resource["replicas"])
                if replicas < 1:
                    raise ValueError("replicas must be 1 or more")
                return Slicing(replicas, bool(sharing.get("renameByDefault")))
    except (yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"not a config of the device plug-in: {error}") from None
    return Slicing()


def wanted(chosen: Slicing, status: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(status, labels) of the node under a slicing; of the status only what differs."""
    shared = chosen.replicas > 1
    offered = SHARED if shared and chosen.renamed else RESOURCE
    amounts = {offered: str(GPUS * chosen.replicas)}
    for part in ("capacity", "allocatable"):
        # A resource that nobody serves any more stays known, with none of it left.
        for name in (RESOURCE, SHARED):
            if name != offered and name in (status.get(part) or {}):
                amounts[name] = "0"
    labels = {
        "nvidia.com/gpu.count": str(GPUS),
        "nvidia.com/gpu.replicas": str(chosen.replicas),
        "nvidia.com/gpu.product": PRODUCT + ("-SHARED" if shared and not chosen.renamed else ""),
        "nvidia.com/gpu.sharing-strategy": "time-slicing" if shared else "none",
    }
    told = {
        part: amounts
        for part in ("capacity", "allocatable")
        if any((status.get(part) or {}).get(name) != value for name, value in amounts.items())
    }
    return told, labels


def follow(api: Api, node: str) -> str:
    """One look, and what it asks for done; what was changed in words, or "". Raises OSError,
    ValueError."""
    path = f"/api/v1/nodes/{node}"
    seen = api.get(path)
    labels = seen["metadata"].get("labels") or {}
    config = ((api.get(POLICY).get("spec") or {}).get("devicePlugin") or {}).get("config") or {}
    name = labels.get(LABEL) or config.get("default") or ""
    if not name:
        chosen = Slicing()
    else:
        where = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{config.get('name', '')}"
        entries = api.get(where).get("data") or {}
        if name not in entries:
            raise ValueError(f"no entry {name!r} in the ConfigMap: the slices stay as they are")
        chosen = slicing(entries[name])
    status, told = wanted(chosen, seen.get("status") or {})
    changed = {key: value for key, value in told.items() if labels.get(key) != value}
    if status:
        api.patch(f"{path}/status", {"status": status})
    if changed:
        api.patch(path, {"metadata": {"labels": changed}})
    return f"{name or 'no sharing'}: {chosen}" if status or changed else ""


def main() -> None:
    node, api = sys.argv[1], Api(KUBECONFIG)
    each_second(NAME, lambda: follow(api, node))


if __name__ == "__main__":
    main()
