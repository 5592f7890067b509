"""Where the configuration is, and how it is read. Errors name file, key and fix."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec

from labtui.config.checks import check
from labtui.config.reading import line_of, mistyped, unknown
from labtui.config.sections import Cluster, Config, NodeConfig, SlurmConfig

LAB_CONFIG = Path("/var/lib/labtui/lab/labtui.toml")
"""Where `labtui lab up` writes the default lab's configuration."""


class ConfigError(Exception):
    """What is wrong, where (file:line and key), what to do; one problem a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    found = unknown(data, Config, ()) or mistyped(data, Config, ())
    if not found:
        config = msgspec.convert(data, Config, strict=True)
        found = check(config)
    if found:
        raise ConfigError(
            [f"{name}:{line_of(source, where)}: {'.'.join(where)}: {text}" for where, text in found]
        )
    return config


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
