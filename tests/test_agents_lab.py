"""vault-agent on the lab's three compute nodes, by the program: previewed, applied, read, lost and
found again, taken away. One story: each test goes on where the one before it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest

from labtui.lab import drill, fault, machines, net, vault, vault_build
from labtui.lab.layout import Lab
from labtui.lab.system import wait_for
from tmux import terminal

NODES = ("desktop-gpu", "xps15-cpu", "jetson-edge")
LOST = "jetson-edge"
"""The one that is switched off."""
FILES = {"ngc": "/run/secrets/ngc-api-key", "huggingface": "/run/secrets/hf-token"}
PUT = (
    "etc/vault-agent", "var/lib/vault-agent", "usr/local/libexec/labtui-agent-report",
    "usr/local/libexec/labtui-agent-keep", "usr/local/libexec/labtui-agent-secret-id",
    "etc/systemd/system/vault-agent.service", "etc/systemd/system/vault-agent-keep.path",
    "etc/systemd/system/vault-agent-keep.service", "etc/sudoers.d/labtui-agent",
    "etc/systemd/system/vault-agent-restore.service",
)  # fmt: skip


@dataclass
class Site:
    lab: Lab
    config: Path
    folder: Path
    root: str
    shares: list[str]

    @property
    def env(self) -> dict[str, str]:
        return {
            "GNUPGHOME": str(self.folder / "gnupg"), "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_STATE_HOME": str(self.folder / "state"), "HOME": str(self.folder),
        }  # fmt: skip

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "labtui", "--config", str(self.config), *words]

    def labtui(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words), env=os.environ | self.env, capture_output=True, text=True,
            timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def agents(self) -> dict[str, dict[str, Any]]:
        told = json.loads(self.labtui("get", "agents", "--json").stdout)
        return {item["node"]: item for item in told["items"]}

    def run(self, node: str, *argv: str, check: bool = True) -> str:
        return machines.run(self.lab, node, argv, check=check, timeout=60).stdout

    def vault(self, function: Callable[[hvac.Client], Any]) -> Any:
        client = hvac.Client(url=vault.URL, token=self.root, verify=str(self.lab.ca))
        return net.call(self.lab, function, client)

    def unseal(self) -> None:
        self.vault(lambda c: c.sys.is_sealed() and c.sys.submit_unseal_keys(self.shares[:3]))

        def standby() -> str:
            answer = self.vault(lambda c: c.sys.read_health_status(method="GET"))
            return "" if isinstance(answer, dict) or answer.status_code == 200 else "not active"

        wait_for("Vault", standby, timeout=30)

    def seal(self) -> None:
        self.vault(lambda c: c.sys.is_sealed() or c.sys.seal())

    def value(self, name: str) -> str:
        read = self.vault(
            lambda c: c.secrets.kv.v2.read_secret_version(name, raise_on_deleted_version=True)
        )
        field = tomllib.loads(self.config.read_text())["vault"]["secrets"][name]["field"]
        return str(read["data"]["data"][field])

    def upper(self, node: str) -> Path:
        """What is on the node's own disk."""
        return self.lab.machine_dir(node) / "upper"


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("agents")
    init = json.loads(vault.shares_file(lab).read_text())
    kept = tomllib.loads(lab.config.read_text())
    config = folder / "labtui.toml"
    config.write_text(_with_agents(lab, kept))
    found = Site(lab, config, folder, init["root_token"], init["unseal_keys_b64"])
    (folder / "gnupg").mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(folder / "gnupg"), "--batch", "--quiet"]
    make = [*gpg, "--passphrase", "", "--quick-gen-key", "t@t", "default", "default", "never"]
    subprocess.run(make, check=True, capture_output=True)
    lock = [*gpg, "--trust-model", "always", "-r", "t@t", "-e", "-o", str(folder / "token.gpg")]
    subprocess.run(lock, input=init["root_token"].encode(), check=True)
    found.unseal()
    yield found
    found.unseal()
    if any((found.upper(node) / "etc/vault-agent").exists() for node in NODES):
        found.labtui("play", "undo", "vault-agent", "--confirm", "vault-agent",
                     "--token-gpg", str(folder / "token.gpg"))  # fmt: skip
    found.seal()
    subprocess.run(["gpgconf", "--homedir", str(folder / "gnupg"), "--kill", "all"])


def _with_agents(lab: Lab, kept: dict[str, Any]) -> str:
    """The lab's own configuration, with agents where it does not name them yet."""
    text = lab.config.read_text()
    section = kept["vault"]
    binary = vault_build.folder(lab) / "vault"
    more = {"agents": list(NODES), "agent_binary": str(binary)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items() if key not in section]
    text = text.replace("[vault]\n", "\n".join(["[vault]", *lines, ""]), 1)
    if "secrets" not in section:
        for name, file in FILES.items():
            text += f'\n[vault.secrets.{name}]\npath = "secret/{name}"\nfield = "api_key"\n'
            text += f'file = "{file}"\nenv = ["{name.upper()}_KEY"]\nregistry = "nvcr.io"\n'
    return text


@pytest.fixture(scope="module")
def installed(site: Site) -> Site:
    """By keyboard at 80x24: what would change is read first, the token is pasted."""
    with terminal(*site.argv("--screen", "vault"), **site.env) as t:
        t.wait("AGENTS")
        t.wait("desktop-gpu +absent", timeout=40)
        t.keys("n")
        t.wait("a token that may make wrapped secret-ids")
        t.wait(r"│ _ +│")
        t.paste(site.root)
        t.wait("●●●")
        t.keys("Enter")
        plan = t.wait("Apply vault-agent on", timeout=60)
        assert "Deliver a" in plan and site.root not in plan
        time.sleep(0.5)
        t.keys("y")
        t.wait("vault-agent is in place and checked on", timeout=100)
        t.keys("Enter")
        t.wait(r"xps15-cpu +running +\d+m +ngc", timeout=60)
        t.keys("p")
        t.wait("3 of 3 running", timeout=40)
        t.wait("/run/secrets/ngc-api-key .* root:root +0600 +[0-9a-f]{12}")
        assert site.root not in t.scrollback
        t.keys("q")
        t.wait("ended with 0")
    return site


def test_a_preview_tells_what_would_change_and_changes_nothing(site: Site) -> None:
    seen = site.labtui("play", "preview", "vault-agent", "--json")
    assert seen.returncode == 0, seen.stderr
    rows = {row["node"]: row for row in json.loads(seen.stdout)["items"]}
    assert set(rows) == set(NODES)
    for node, row in rows.items():
        assert row["changes"] == [
            "Copy the vault program", "Write its files", "Deliver a secret-id",
        ]  # fmt: skip
        assert [put for put in PUT if (site.upper(node) / put).exists()] == []


def test_a_program_for_another_machine_is_refused(site: Site) -> None:
    other = site.folder / "vault-arm64"
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + bytes((2, 0, 183, 0)))
    own = tomllib.loads(site.config.read_text())["vault"]["agent_binary"]
    kept = site.config.read_text()
    site.config.write_text(kept.replace(json.dumps(own), json.dumps(str(other))))
    try:
        seen = site.labtui("play", "preview", "vault-agent", "--on", LOST)
    finally:
        site.config.write_text(kept)
    assert seen.returncode == 1
    assert f"{other} is for arm64, and this machine is amd64" in seen.stdout


def test_each_node_renders_the_secrets_for_root_alone(installed: Site) -> None:
    for node in NODES:
        for name, file in FILES.items():
            found = installed.run(node, "stat", "-c", "%a %U:%G", file).strip()
            assert found == "600 root:root"
            assert installed.run(node, "cat", file) == installed.value(name)  # no newline
            assert installed.run(node, "stat", "-f", "-c", "%T", file).strip() == "tmpfs"
        assert installed.run(node, "stat", "-c", "%a", "/run/vault-agent/token").strip() == "600"
        installed.run(node, "visudo", "-cf", "/etc/sudoers.d/labtui-agent")


def test_no_secret_is_anywhere_but_in_memory(installed: Site) -> None:
    looked_for = [installed.value(name).encode() for name in FILES]
    for node in NODES:
        secret_id = installed.run(
            node, "systemd-creds", "decrypt", "--name=secret-id", "/etc/vault-agent/secret-id.cred",
            "-",
        )  # fmt: skip
        assert len(secret_id) == 36
        looked_for.append(secret_id.encode())
        looked_for.append(installed.run(node, "cat", "/run/vault-agent/token").encode())
    places = [installed.upper(node) for node in NODES] + [installed.folder, Path("/dev/shm")]
    for place in places:
        for file in place.rglob("*"):
            if file.is_file() and not file.is_symlink() and file.stat().st_size < 64 << 20:
                content = file.read_bytes()
                assert not any(value in content for value in looked_for), file
    for process in Path("/proc").glob("[0-9]*"):
        for kind in ("cmdline", "environ"):
            try:
                content = (process / kind).read_bytes()
            except OSError:
                continue
            assert not any(value in content for value in looked_for), process
    for node in NODES:
        journal = installed.run(node, "journalctl", "--no-pager", "--output=cat").encode()
        assert not any(value in journal for value in looked_for)
        left = "find /home/labop/.ansible /root/.ansible /tmp /var/tmp -name 'ansible*' -type f"
        assert installed.run(node, "sh", "-c", f"{left} 2>/dev/null; true") == ""
    assert list(Path("/dev/shm").glob("labtui-*")) == []


def test_a_second_time_nothing_changes_and_no_token_is_asked(installed: Site) -> None:
    again = installed.labtui("play", "apply", "vault-agent", "--yes")
    assert again.returncode == 0, again.stderr
    assert "nothing had to be changed" in again.stdout
    assert "secret-id" not in again.stderr


def test_renewals_are_seen_and_who_holds_an_older_value(installed: Site) -> None:
    def life(ttl: str) -> None:
        installed.vault(
            lambda c: c.auth.approle.create_or_update_approle(
                "compute-node", token_policies=["compute-node"], token_ttl=ttl, token_max_ttl="24h"
            )
        )

    life("12s")
    variable = tomllib.loads(installed.config.read_text())["vault"]["secrets"]["ngc"]["env"][0]
    login = {"auths": {"nvcr.io": {"auth": "JG9hdXRodG9rZW46b2xk"}}}
    try:
        installed.run(LOST, "systemctl", "restart", "vault-agent")
        installed.run(LOST, "mkdir", "-p", "/root/.docker")
        machines.run(installed.lab, LOST, ["tee", "/root/.docker/config.json"],
                     stdin=json.dumps(login))  # fmt: skip
        installed.run(LOST, "systemd-run", "--unit=older", f"--setenv={variable}=old",
                      "sleep", "100")  # fmt: skip
        first: dict[str, Any] = {}

        def renewed() -> str:
            now = installed.agents()[LOST]
            if not first and now["renewed_at"] and now["state"] == "running":
                first.update(now)
            later = first and (now["renewed_at"] or 0) > first["renewed_at"] + 2
            return "" if later else f"{now['state']}, {now['renewed_at']}"

        wait_for("a renewal", renewed, timeout=40, every=1.0)
        assert first["token_life_s"] == 12
        assert 0 < first["token_ttl_s"] <= 12
        assert first["version"] == "1.21.2"
        ngc = next(s for s in first["secrets"] if s["name"] == "ngc")
        assert {(o["kind"], o["variable"]) for o in ngc["old"]} >= {
            ("process", variable), ("registry", None),
        }  # fmt: skip
        text = installed.labtui("get", "agents").stdout
        assert "ngc" in text
        assert not any(installed.value(name) in text for name in FILES)
    finally:
        life("1h")
        installed.run(LOST, "systemctl", "stop", "older", check=False)
        installed.run(LOST, "rm", "-rf", "/root/.docker")
        installed.run(LOST, "systemctl", "restart", "vault-agent")


def test_after_a_reboot_with_a_sealed_vault_the_secrets_are_back(installed: Site) -> None:
    value = installed.value("ngc")
    before = installed.run(LOST, "stat", "-c", "%Y", FILES["ngc"])
    installed.seal()
    try:
        fault.make(installed.lab, LOST, "stop", print)
        down = installed.agents()[LOST]
        assert down["state"].startswith("unknown (")
        assert down["secrets"] == [] and down["token_ttl_s"] is None and down["alive"] is None
        fault.make(installed.lab, LOST, "heal", print)

        def back() -> str:
            found = machines.run(installed.lab, LOST, ["cat", FILES["ngc"]], check=False).stdout
            return "" if found == value else "not there"

        wait_for("the kept copy", back, timeout=30)
        assert installed.run(LOST, "stat", "-c", "%a %U", FILES["ngc"]).strip() == "600 root"
        assert installed.run(LOST, "stat", "-c", "%Y", FILES["ngc"]) == before  # as old as it is
        said: dict[str, Any] = {}

        def retries() -> str:
            said.update(installed.agents()[LOST])
            return "" if "503" in f"{said['state']} {said['detail']}" else f"{said['state']}"

        wait_for("the agent to try", retries, timeout=30, every=1.0)
        assert said["alive"] is True
    finally:
        installed.unseal()

    def fresh() -> str:
        now = installed.agents()[LOST]
        return "" if now["state"] == "running" else f"{now['state']}: {now['detail']}"

    wait_for("the agent", fresh, timeout=60, every=1.0)


def test_the_seal_drill_with_agents_on_every_node(installed: Site) -> None:
    """The guide's fault test 2, whole: agents and their files through a seal during a job."""
    passed, path = drill.run(installed.lab, "seal", print)
    assert passed, path.read_text()
    assert json.loads(path.read_text())["agents"] == sorted(NODES)


def test_undone_it_leaves_nothing(installed: Site) -> None:
    undone = installed.labtui(
        "play", "undo", "vault-agent", "--confirm", "vault-agent",
        "--token-gpg", str(installed.folder / "token.gpg"),
    )  # fmt: skip
    assert undone.returncode == 0, undone.stdout + undone.stderr
    for node in NODES:
        assert [p for p in PUT if _there(installed, node, p)] == []
        for file in (*FILES.values(), "/run/vault-agent", "/run/secrets"):
            assert not _there(installed, node, file)
        assert "vault-agent" not in installed.run(node, "systemctl", "list-units", "--all")
    assert not installed.vault(_nodes_with_a_secret_id) & set(NODES)
    assert {a["state"] for a in installed.agents().values()} == {"absent"}


def _there(site: Site, node: str, path: str) -> bool:
    found = machines.run(site.lab, node, ["test", "-e", f"/{path.lstrip('/')}"], check=False)
    return found.returncode == 0


def _nodes_with_a_secret_id(client: hvac.Client) -> set[str]:
    listed = client.list("auth/approle/role/compute-node/secret-id")
    keys = listed["data"]["keys"] if listed else []
    found = [client.auth.approle.read_secret_id_accessor("compute-node", key) for key in keys]
    return {(one["data"]["metadata"] or {}).get("node", "") for one in found}
