"""The TOML file -> a typed, validated inventory. Errors name file, key and fix.

msgspec checks types; this module adds what a person needs: every unknown key at once with the
nearest spelling, line numbers, and checks across keys.
"""

from __future__ import annotations

import difflib
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


class GpuConfig(_Section, frozen=True, kw_only=True):
    metrics: tuple[str, ...] = ()
    """`host:port` of GPU exporters, as Prometheus calls the instances."""
    nvml: tuple[str, ...] = ()
    """Nodes whose cards are read by NVML on this machine."""


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
        raise ConfigError([f"{name}: not valid TOML: {error}"]) from None
    problems = [
        f"{name}:{_line(source, where)}: {'.'.join(where)}: unknown key{hint}; remove or rename it"
        for where, hint in _unknown(data, Config, ())
    ]
    if problems:
        raise ConfigError(problems)
    try:
        config = msgspec.convert(data, Config, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError([_explain(str(error), source, name)]) from None
    problems = [
        f"{name}:{_line(source, where)}: {'.'.join(where)}: {text}"
        for where, text in _check(config)
    ]
    if problems:
        raise ConfigError(problems)
    return config


def _struct(kind: Any) -> Any:
    """The struct class within `X`, `X | None`."""
    for candidate in (kind, *getattr(kind, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _unknown(data: dict[str, Any], kind: Any, where: tuple[str, ...]) -> list[tuple[Any, str]]:
    found: list[tuple[Any, str]] = []
    fields = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            found.append(((*where, key), f" (did you mean {near[0]!r}?)" if near else ""))
            continue
        if not isinstance(value, dict):
            continue
        kind_of = fields[key]
        if getattr(kind_of, "__origin__", None) is dict:
            item = _struct(kind_of.__args__[1])
            for name, entry in value.items():
                if item is not None and isinstance(entry, dict):
                    found += _unknown(entry, item, (*where, key, name))
        elif (inner := _struct(kind_of)) is not None:
            found += _unknown(value, inner, (*where, key))
    return found


def _explain(message: str, source: str, name: str) -> str:
    """msgspec's `Expected `int`, got `str` - at `$.nodes[...].port`` as file:line: key: ..."""
    text, _, path = message.partition(" - at `")
    keys = tuple(re.findall(r"[A-Za-z_][\w-]*", path.rstrip("`").lstrip("$")))
    if "[...]" in path:
        keys = tuple(k for k in keys if k)
    place = _line(source, keys)
    label = path.rstrip("`").removeprefix("$.") or "the file"
    return f"{name}:{place}: {label}: {text[0].lower() + text[1:]}; write a value of that type"


def _line(source: str, where: tuple[str, ...]) -> int:
    """Best guess of the line of a key: its table header first, then the key below it."""
    if not where:
        return 1
    lines = source.splitlines()
    start = 0
    for depth in range(len(where), 0, -1):
        header = r"\s*\.\s*".join(rf'"?{re.escape(k)}"?' for k in where[:depth])
        pattern = re.compile(rf"\s*\[\s*{header}\s*\]")
        hit = next((i for i, line in enumerate(lines) if pattern.match(line)), None)
        if hit is not None:
            start = hit
            if depth == len(where):
                return hit + 1
            break
    key = re.compile(rf'\s*"?{re.escape(where[-1])}"?\s*=')
    for i in range(start, len(lines)):
        if key.match(lines[i]):
            return i + 1
    return start + 1


_URL = re.compile(r"https?://[^\s/]+")


def _check(config: Config) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    names = ", ".join(config.nodes) or "none"
    login = config.slurm.login
    if login and login not in config.nodes:
        found.append((("slurm", "login"), f"no node {login!r} in [nodes] (there: {names})"))
    for name, node in config.nodes.items():
        where = ("nodes", name)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            found.append((where, "a node's name may hold letters, digits, '.', '_' and '-'"))
        if node.transport == "ssh" and not node.address:
            found.append(((*where, "address"), "missing: ssh needs an address or host name"))
        if node.address.startswith("-"):
            found.append(((*where, "address"), "may not start with '-'"))
        if not 0 < node.port < 65536:
            found.append(((*where, "port"), f"{node.port} is not a port (1 to 65535)"))
        if node.transport == "kubectl" and not node.selector:
            found.append(((*where, "selector"), "missing: kubectl finds the pod by its label"))
    for section in ("prometheus", "alertmanager", "mlflow"):
        url = getattr(config, section).url
        if url and not _URL.match(url):
            found.append(((section, "url"), f"{url!r} is not an http(s) address"))
    for name, url in config.vault.nodes.items():
        if not _URL.match(url):
            found.append((("vault", "nodes", name), f"{url!r} is not an https address"))
    for path, section in ((config.vault.ca_file, "vault"),):
        if path and not Path(path).is_absolute():
            found.append(((section, "ca_file"), "write an absolute path"))
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
