"""The labtui configuration of a lab: what `lab up` writes and the console opens."""

from __future__ import annotations

import json

from labtui.lab import kube_build, vault, vault_build
from labtui.lab.layout import (
    CONTROLLER,
    MACHINES,
    MONITOR,
    OPERATOR,
    PORTS,
    SHARE,
    UNITS,
    Lab,
)
from labtui.lab.system import write

JETSON_SYSFS = "/run/labtui-jetson/sys"
"""Where the stand-in of jetson-edge's GPU has its part of /sys."""

AGENTS = [m.name for m in MACHINES.values() if m.partition]
"""Where vault-agent runs, once `labtui play apply vault-agent` has put it there."""
SECRETS: dict[str, dict[str, object]] = {
    "ngc": {
        "path": "secret/ngc",
        "field": "api_key",
        "file": "/run/secrets/ngc-api-key",
        "env": ["NGC_API_KEY"],
        "registry": "nvcr.io",
    },
    "huggingface": {
        "path": "secret/huggingface",
        "field": "token",
        "file": "/run/secrets/hf-token",
        "env": ["HF_TOKEN"],
    },
}
"""What the agents are to render: [vault.secrets]."""


def text(lab: Lab) -> str:
    """The TOML document."""
    lines = ["# Written by `labtui lab up`; the next one writes it anew."]

    def table(name: str, /, **values: object) -> None:
        lines.append(f"\n[{name}]")
        # A JSON string, list of strings, number or boolean is the same in TOML.
        lines.extend(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())

    monitor = MACHINES[MONITOR].address
    servers = vault.servers(lab)
    table("cluster", name=lab.name)
    table("lab", name=lab.name, namespace=lab.namespace, state=str(lab.state))
    table("slurm", login=CONTROLLER)
    for m in MACHINES.values():
        table(
            f"nodes.{m.name}",
            address=m.address,
            transport="ssh",
            user=OPERATOR,
            identity_file=str(lab.ssh / "id"),
            known_hosts=str(lab.ssh / "known_hosts"),
            services=[*UNITS[m.name], *(["vault"] if m.name in servers[1:] else [])],
            mounts=[SHARE],
            slurm=bool(m.partition),
        )
    table("prometheus", url=f"http://{monitor}:{PORTS['prometheus']}")
    table("alertmanager", url=f"http://{monitor}:{PORTS['alertmanager']}")
    table("mlflow", url=f"http://{monitor}:{PORTS['mlflow']}")
    program = str(vault_build.folder(lab) / "vault")
    table("vault", ca_file=str(lab.ca), agents=list(AGENTS), agent_binary=program)
    table("vault.nodes", **{machine: vault.url(machine) for machine in servers})
    for name, secret in SECRETS.items():
        table(f"vault.secrets.{name}", **secret)
    exporters = [f"{m.address}:{PORTS['gpu-exporter']}" for m in MACHINES.values() if m.gres]
    jetsons = [m.name for m in MACHINES.values() if "jetson" in m.gres]
    cards = [m.name for m in MACHINES.values() if m.gres and m.name not in jetsons]
    table("gpu", metrics=exporters, smi=cards, jetson=jetsons, sysfs=JETSON_SYSFS)
    kubectl, kubeconfig = str(kube_build.kubectl(lab)), str(lab.state / "kubeconfig")
    table("kubernetes", kubectl=[kubectl], kubeconfig=kubeconfig)
    return "\n".join(lines) + "\n"


def save(lab: Lab) -> None:
    """Write the lab's configuration, readable by root alone: it names a private key."""
    write(lab.config, text(lab), 0o600)
