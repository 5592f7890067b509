"""The TOML file -> a typed, validated inventory. Errors name file, key and fix.

msgspec checks types; this module adds what a person needs: every unknown key at once with the
nearest spelling, line numbers, and checks across keys.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

LAB_CONFIG = Path("/var/lib/labtui/lab/labtui.toml")
"""Where `labtui lab up` writes the default lab's configuration."""


class ConfigError(Exception):
    """What is wrong, where (file:line and key), what to do; one problem a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    """Node name -> https address of that very server, never a balancer's."""
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


def local_config() -> Config:
    """This machine alone: what the first-run screen offers when there is nothing else."""
    import shutil
    import socket

    name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname().split(".")[0]) or "localhost"
    slurm = shutil.which("squeue") is not None
    return Config(
        cluster=Cluster(name=name),
        nodes={name: NodeConfig(transport="local", slurm=slurm)},
        slurm=SlurmConfig(login=name if slurm else ""),
    )


def user_config_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "labtui" / "config.toml"


def find() -> Path | None:
    """`$LABTUI_CONFIG`, the user's own, or that of the default lab on this machine."""
    named = os.environ.get("LABTUI_CONFIG")
    if named:
        return Path(named)
    for path in (user_config_path(), LAB_CONFIG):
        try:
            if path.is_file():
                return path
        except OSError:
            continue
    return None


def load(path: Path) -> Config:
    """Read and check `path`. Raises ConfigError with every problem found."""
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: no such file; `labtui config init` writes one to start from"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    return parse(source, str(path))


def parse(source: str, name: str) -> Config:
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        text, _, place = str(error).partition(" (at ")
        hit = re.match(r"line (\d+)", place)
        line = int(hit[1]) if hit else max(1, len(source.splitlines()))
        raise ConfigError([f"{name}:{line}: not valid TOML: {text}; correct that line"]) from None
    found = _unknown(data, Config, ()) or _mistyped(data, Config, ())
    if not found:
        config = msgspec.convert(data, Config, strict=True)
        found = _check(config)
    if found:
        raise ConfigError(
            [f"{name}:{_line(source, where)}: {'.'.join(where)}: {text}" for where, text in found]
        )
    return config


def _struct(kind: Any) -> Any:
    """The struct class within `X`, `X | None`."""
    for candidate in (kind, *getattr(kind, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


Where = tuple[str, ...]
"""The keys from the top down to the one that is meant."""


def _unknown(data: dict[str, Any], kind: Any, where: Where) -> list[tuple[Where, str]]:
    """Keys that no section has."""
    found: list[tuple[Where, str]] = []
    fields = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            found.append(((*where, key), f"unknown key{hint}; remove or rename it"))
            continue
        for inner, entry, path in _tables(value, fields[key], (*where, key)):
            found += _unknown(entry, inner, path)
    return found


def _mistyped(data: dict[str, Any], kind: Any, where: Where) -> list[tuple[Where, str]]:
    """Values of a wrong type. Converted one by one: of an entry of a table of tables, msgspec
    tells only that it is one of them."""
    found: list[tuple[Where, str]] = []
    for field in msgspec.structs.fields(kind):
        if field.name not in data:
            continue
        value, path = data[field.name], (*where, field.name)
        tables = list(_tables(value, field.type, path))
        for inner, entry, below in tables:
            found += _mistyped(entry, inner, below)
        if tables:
            continue
        of_dict = getattr(field.type, "__origin__", None) is dict
        if of_dict and isinstance(value, dict):
            for key, entry in value.items():
                found += _convert(entry, field.type.__args__[1], (*path, key))
        else:
            found += _convert(value, field.type, path)
    return found


def _tables(value: Any, kind: Any, where: Where) -> list[tuple[Any, dict[str, Any], Where]]:
    """The tables with keys of their own directly in a value: (struct, table, its place)."""
    if not isinstance(value, dict):
        return []
    if getattr(kind, "__origin__", None) is dict:
        item = _struct(kind.__args__[1])
        tables = [(item, v, (*where, k)) for k, v in value.items() if isinstance(v, dict)]
        return tables if item is not None and len(tables) == len(value) else []
    inner = _struct(kind)
    return [(inner, value, where)] if inner is not None else []


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": 'text in "quotes"',
    "bool": "true or false",
    "array": 'a list: ["a", "b"]',
    "object": "a table: [section] with its keys below",
}


def _convert(value: Any, kind: Any, where: Where) -> list[tuple[Where, str]]:
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, _ = str(error).partition(" - at `")
        wanted = re.match(r"Expected `(\w+)", text)
        fix = f"write {_TYPES.get(wanted[1], wanted[1])}" if wanted else ""
        options = [str(a) for a in getattr(kind, "__args__", ()) if isinstance(a, str)]
        if options:
            fix = f"write one of {', '.join(options)}"
        return [(where, f"{text[0].lower()}{text[1:]}; {fix or 'correct it'}")]
    return []


_KEY = r"(?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)"
_DOTTED = rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*"


def _line(source: str, where: Where) -> int:
    """The line of a key, or of the nearest table around it. A guess only inside long strings."""
    best, depth = 1, 0
    table: Where = ()
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(rf"\s*\[\[?{_DOTTED}\]", line):
            path = table = _keys(header[1])
        elif entry := re.match(rf"{_DOTTED}=", line):
            path = (*table, *_keys(entry[1]))
        else:
            continue
        if len(path) > depth and where[: len(path)] == path:
            best, depth = number, len(path)
    return best


def _keys(dotted: str) -> Where:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))


_URL = re.compile(r"https?://[^\s/]+")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]*")


_GPU_NODES = ("nvml", "smi", "jetson")


def _check(config: Config) -> list[tuple[Where, str]]:
    found: list[tuple[Where, str]] = []
    names = ", ".join(config.nodes) or "none"
    login = config.slurm.login
    if login and login not in config.nodes:
        text = f"no node {login!r} in [nodes] (there: {names}); name one of them"
        found.append((("slurm", "login"), text))
    if (
        config.lab is not None
        and config.lab.namespace
        and not _NAME.fullmatch(config.lab.namespace)
    ):
        found.append((("lab", "namespace"), "not the name of a lab; let `labtui lab up` write it"))
    for name, node in config.nodes.items():
        found += [(("nodes", name, *key), text) for key, text in _check_node(name, node)]
    for section in ("prometheus", "alertmanager", "mlflow"):
        url = getattr(config, section).url
        if url and not _URL.match(url):
            text = f"{url!r} is not an address; write http://host:port"
            found.append(((section, "url"), text))
    for name, url in config.vault.nodes.items():
        if not _URL.match(url):
            text = f"{url!r} is not an address; write https://host:8200"
            found.append((("vault", "nodes", name), text))
    for name, storage in config.vault.storage.items():
        where = ("vault", "storage", name)
        if name not in config.nodes or name not in config.vault.nodes:
            found.append((where, "no such server in [vault.nodes] and [nodes]; name one of both"))
        if not storage.data.startswith("/") or storage.data.rstrip("/") == "":
            text = f"{storage.data!r} is no absolute folder; write the one that Vault writes to"
            found.append(((*where, "data"), text))
        for key in ("stop", "start"):
            if not getattr(storage, key):
                found.append(((*where, key), "empty; write the command as a list"))
    for section in ("vault", "prometheus", "alertmanager", "mlflow"):
        ca_file = getattr(config, section).ca_file
        if ca_file and not Path(ca_file).is_absolute():
            text = f"{ca_file!r} is relative; write an absolute path"
            found.append(((section, "ca_file"), text))
    for section in ("slurm", "prometheus", "alertmanager", "mlflow", "vault", "gpu", "kubernetes"):
        for key in ("interval_s", "timeout_s", "history_h"):
            value = getattr(getattr(config, section), key, 1.0)
            if not 0 < value < math.inf:
                found.append(((section, key), f"{value} is no time; write a number above 0"))
    named = [("gpu", key, name) for key in _GPU_NODES for name in getattr(config.gpu, key)]
    if config.kubernetes.via:
        named.append(("kubernetes", "via", config.kubernetes.via))
    for section, key, name in named:
        if name not in config.nodes:
            text = f"no node {name!r} in [nodes] (there: {names}); name one of them"
            found.append(((section, key), text))
    if 0 < config.gpu.interval_s < 2:
        text = "faster than 2 s slows the card's own work; write 2 or more"
        found.append((("gpu", "interval_s"), text))
    return found


def _check_node(name: str, node: NodeConfig) -> list[tuple[Where, str]]:
    found: list[tuple[Where, str]] = []
    if not _NAME.fullmatch(name):
        found.append(((), "may hold letters, digits, '.', '_' and '-' only; rename it"))
    if node.transport == "ssh" and not node.address:
        found.append((("address",), "missing; ssh needs an address or a name of ssh_config"))
    if node.address.startswith("-"):
        found.append((("address",), "may not start with '-'; write a host name or address"))
    if not 0 < node.port < 65536:
        found.append((("port",), f"{node.port} is not a port; write 1 to 65535"))
    if node.transport == "kubectl" and not node.selector:
        found.append((("selector",), 'missing; write the label of the pod: "app=agent"'))
    if node.transport == "kubectl" and not all(node.kubectl or [""]):
        found.append((("kubectl",), 'empty; write the command: ["microk8s", "kubectl"]'))
    for mount in node.mounts:
        if not mount.startswith("/"):
            found.append((("mounts",), f"{mount!r} is relative; write where it is mounted"))
    for unit in node.services:
        if not _UNIT.fullmatch(unit):
            found.append((("services",), f"{unit!r} is not the name of a systemd unit; rename it"))
    return found


EXAMPLE = """\
# labtui's configuration. `labtui config check` says what is wrong with it, by line.

[cluster]
name = "lab"
# read_only = true            # no action that changes anything, whatever the command line says

[slurm]
login = "desktop-gpu"         # the node through which squeue, sbatch and scontrol run

[nodes.desktop-gpu]
address = "192.168.1.10"
user = "aiops"
services = ["ssh", "munge", "slurmd", "slurmctld"]
mounts = ["/mnt/nfs"]
slurm = true

[nodes.truenas]
address = "192.168.1.50"
user = "root"
services = ["ssh"]

# [prometheus]
# url = "http://192.168.1.20:9090"

# [mlflow]
# url = "http://192.168.1.20:5000"

# [vault]
# ca_file = "/usr/local/share/ca-certificates/lab-ca.crt"
# [vault.nodes]
# truenas = "https://192.168.1.50:8200"

# [keys]
# "queue.cancel" = "x"
"""


def write_example(path: Path) -> None:
    """Write the commented example. Raises ConfigError when there is a file already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError:
        raise ConfigError([f"{path}: exists already; edit it, or name another file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written: {error.strerror}"]) from None
