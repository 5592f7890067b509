"""The files that a lab is made of, as texts."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from labtui.config import load
from labtui.lab import inventory, kube_build, memory, services, slurm, vault_build
from labtui.lab.layout import MACHINES, SUITES, Lab


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path))
    return Lab("demo")


def test_writes_a_config_that_labtui_takes(kept: Lab) -> None:
    inventory.save(kept)
    assert stat.S_IMODE(kept.config.stat().st_mode) == 0o600
    config = load(kept.config)
    assert config.lab is not None
    assert config.lab.namespace == "labtui-demo"
    assert set(config.nodes) == set(MACHINES)
    assert config.slurm.login == "desktop-gpu"
    assert [name for name, node in config.nodes.items() if node.slurm] == [
        "desktop-gpu",
        "xps15-cpu",
        "jetson-edge",
    ]


def test_config_has_the_agreed_keys(kept: Lab) -> None:
    document = tomllib.loads(inventory.text(kept))
    assert document["nodes"]["truenas"]["address"] == "10.77.0.50"
    assert document["nodes"]["desktop-gpu"]["mounts"] == ["/mnt/nfs"]
    assert "slurmctld" in document["nodes"]["desktop-gpu"]["services"]
    assert document["vault"]["nodes"] == {"truenas": "https://10.77.0.50:8200"}
    assert document["vault"]["agents"] == ["desktop-gpu", "xps15-cpu", "jetson-edge"]
    assert document["vault"]["agent_binary"] == str(vault_build.folder(kept) / "vault")
    assert document["vault"]["secrets"]["huggingface"] == {
        "path": "secret/huggingface",
        "field": "token",
        "file": "/run/secrets/hf-token",
        "env": ["HF_TOKEN"],
    }
    assert document["vault"]["secrets"]["ngc"]["registry"] == "nvcr.io"
    assert document["gpu"]["metrics"] == ["10.77.0.10:9400", "10.77.0.40:9400"]
    assert document["gpu"]["smi"] == ["desktop-gpu"]
    assert document["gpu"]["jetson"] == ["jetson-edge"]
    kubernetes = document["kubernetes"]
    assert kubernetes["kubectl"] == [str(kube_build.kubectl(kept))]
    assert kubernetes["kubeconfig"] == str(kept.state / "kubeconfig")


def test_a_set_of_vault_servers_is_remembered_and_named(kept: Lab) -> None:
    memory.save(kept, memory.Memory("trixie", "root-x", vault_ha=True))
    inventory.save(kept)
    config = load(kept.config)
    assert config.vault.nodes == {
        "truenas": "https://10.77.0.50:8200",
        "xps15-cpu": "https://10.77.0.20:8200",
        "desktop-gpu": "https://10.77.0.10:8200",
    }
    assert [n for n, node in config.nodes.items() if "vault" in node.services] == [
        "desktop-gpu",
        "xps15-cpu",
        "truenas",
    ]
    found = [s.machine for s in services.of(kept) if s.name == "vault"]
    assert found == ["truenas", "xps15-cpu", "desktop-gpu"]
    assert [s.machine for s in services.of(Lab("other")) if s.name == "vault"] == ["truenas"]


@pytest.mark.parametrize("suite", SUITES)
def test_slurm_conf_names_nodes_before_partitions(suite: str) -> None:
    lines = slurm.slurm_conf(Lab("demo", suite)).splitlines()
    nodes = [i for i, line in enumerate(lines) if line.startswith("NodeName=")]
    partitions = [i for i, line in enumerate(lines) if line.startswith("PartitionName=")]
    assert len(nodes) == len(partitions) == 3
    assert max(nodes) < min(partitions)
    assert "ClusterName=demo" in lines
    assert sum("Default=YES" in line for line in lines) == 1


def test_gres_conf_has_a_device_for_each_gpu() -> None:
    lines = slurm.gres_conf().splitlines()
    assert sum("NodeName=desktop-gpu Name=gpu File=" in line for line in lines) == 4
    assert lines[-1] == "NodeName=jetson-edge Name=gpu Type=jetson File=/dev/jetson0"


def test_memory_survives_and_forgives(kept: Lab) -> None:
    assert memory.load(kept) == memory.Memory()
    known = memory.Memory("trixie", "root-x", {"truenas": ["slow=64"]}, {"truenas": 1.5})
    memory.save(kept, known)
    assert memory.load(kept) == known
    (kept.state / "lab.json").write_text('{"suite": "tri')
    assert memory.load(kept) == memory.Memory()
