"""The sections of the configuration, typed."""

from __future__ import annotations

from typing import Literal

import msgspec


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Cluster(_Section, frozen=True, kw_only=True):
    name: str = "lab"
    read_only: bool = False


class LabRef(_Section, frozen=True, kw_only=True):
    """The configuration is of a lab on this machine: connections start in its namespace."""

    name: str = "lab"
    namespace: str = ""
    state: str = ""


class NodeConfig(_Section, frozen=True, kw_only=True):
    address: str = ""
    transport: Literal["ssh", "local", "kubectl"] = "ssh"
    user: str = ""
    port: int = 22
    identity_file: str = ""
    known_hosts: str = ""
    proxy_jump: str = ""
    ssh_config: str = ""
    """Path of an ssh_config to honour; empty: ~/.ssh/config when there is one."""
    services: tuple[str, ...] = ()
    """systemd units whose state the nodes screen shows."""
    mounts: tuple[str, ...] = ()
    """Mount points that must be mounted."""
    slurm: bool = False
    """slurmd runs here."""
    kubectl: tuple[str, ...] = ("kubectl",)
    namespace: str = ""
    selector: str = ""
    container: str = ""
    chroot: str = ""


class SlurmConfig(_Section, frozen=True, kw_only=True):
    login: str = ""
    """The node through which Slurm's commands run; empty: no Slurm."""
    interval_s: float = 2.0
    timeout_s: float = 8.0
    history_h: float = 24.0
    """How far back finished jobs are shown."""
    tasks: bool = False
    """Every task of an array on a row of its own, as Slurm lists them with `squeue -r`."""


class UrlConfig(_Section, frozen=True, kw_only=True):
    url: str = ""
    interval_s: float = 5.0
    timeout_s: float = 4.0
    ca_file: str = ""


class VaultConfig(_Section, frozen=True, kw_only=True):
    nodes: dict[str, str] = {}
    """Node name -> https address of that very server, never a balancer's. Plain http is taken for
    this machine alone."""
    ca_file: str = ""
    interval_s: float = 2.0
    timeout_s: float = 3.0
    role: str = "compute-node"
    """The AppRole that the agents log in with."""
    agents: tuple[str, ...] = ()
    """Nodes on which vault-agent runs, or is to."""
    secrets: dict[str, SecretConfig] = {}
    token_gpg: str = ""
    """A file with an operator's token that gpg decrypts, offered where one is asked."""
    agent_binary: str = ""
    """A file on this machine: the vault program that is installed on the agents' nodes; empty:
    each node's is downloaded from releases.hashicorp.com, its checksum checked."""
    storage: dict[str, StorageConfig] = {}
    """Of servers with file storage: where it is, and how they are stopped and started."""


class StorageConfig(_Section, frozen=True, kw_only=True):
    """A server's file storage, which is copied while the server is stopped."""

    data: str
    """The folder on the node: `/mnt/tank/vault-data/data`."""
    stop: tuple[str, ...]
    """`["docker", "compose", "-f", "/mnt/tank/vault-data/docker-compose.yml", "stop", "vault"]`."""
    start: tuple[str, ...]
    sudo: bool = False
    """These, tar and mv as root, by `sudo -n`."""


class SecretConfig(_Section, frozen=True, kw_only=True):
    """A secret in Vault and the file that each agent renders of it."""

    path: str = ""
    """Mount and path in the KV version 2 engine: `secret/ngc`."""
    field: str = "api_key"
    file: str = ""
    """On the nodes; empty: /run/secrets/NAME."""
    env: tuple[str, ...] = ()
    """Variables in which programs hold it: `["NGC_API_KEY"]`."""
    registry: str = ""
    """The container registry that it logs in to: `nvcr.io`."""


class GpuConfig(_Section, frozen=True, kw_only=True):
    metrics: tuple[str, ...] = ()
    """`host:port` of GPU exporters, as Prometheus calls the instances."""
    nvml: tuple[str, ...] = ()
    """Nodes whose cards are read by NVML on this machine."""
    smi: tuple[str, ...] = ()
    """Nodes whose cards are read with nvidia-smi, through the node's own transport."""
    jetson: tuple[str, ...] = ()
    """Nodes whose GPU is read from devfreq or tegrastats."""
    interval_s: float = 5.0
    """Seconds between two looks at a card; 2 at least, faster ones slow the card's own work."""
    sysfs: str = "/sys"
    """Where a Jetson's sysfs is; the lab's stand-in keeps one elsewhere."""


class KubernetesConfig(_Section, frozen=True, kw_only=True):
    kubectl: tuple[str, ...] = ()
    """The command, for example `["microk8s", "kubectl"]`; empty: no Kubernetes."""
    kubeconfig: str = ""
    """A file; empty: kubectl's own choice. Never a token: it would stand in the command line."""
    context: str = ""
    via: str = ""
    """The node on which kubectl runs; empty: here."""
    interval_s: float = 5.0
    timeout_s: float = 5.0


class UiConfig(_Section, frozen=True, kw_only=True):
    theme: str = ""
    mouse: bool = False
    ascii: bool = False
    editor: str = ""


class Config(_Section, frozen=True, kw_only=True):
    cluster: Cluster = Cluster()
    lab: LabRef | None = None
    slurm: SlurmConfig = SlurmConfig()
    nodes: dict[str, NodeConfig] = {}
    prometheus: UrlConfig = UrlConfig()
    alertmanager: UrlConfig = UrlConfig()
    mlflow: UrlConfig = UrlConfig()
    vault: VaultConfig = VaultConfig()
    gpu: GpuConfig = GpuConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    ui: UiConfig = UiConfig()
    keys: dict[str, str] = {}
    """Action or command id -> key; checked against the registry when the app starts."""
