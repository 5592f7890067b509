"""The guide's Test 3 on the lab: a secret is rotated by one command, and each node's file has it,
with evidence; what holds the old one is named; and back. One story, as in test_agents_lab.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labtui.keyholder.operations.setup import SECONDS
from labtui.lab import fault
from labtui.lab.system import wait_for
from pgpkeys import run_gpg
from test_agents_lab import (  # noqa: F401 - fixtures
    FILES,
    LOST,
    NODES,
    Site,
    installed,
    site,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
NEW = "nvapi-rotated-in-the-lab-and-never-shown"
said: list[str] = []


def vault(site: Site, *words: str) -> tuple[int, dict[str, Any], str]:  # noqa: F811
    """Exit status, the outcome's document, standard error."""
    token = str(site.folder / "token.gpg")
    done = site.labtui("vault", *words, "--token-gpg", token, "--yes", "--json")
    said.append(done.stdout + done.stderr)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def wrapped(site: Site, value: str) -> str:  # noqa: F811
    home, plain = site.folder / "gnupg", site.folder / "plain"
    path = site.folder / f"value-{len(said)}.gpg"
    plain.write_text(value)
    run_gpg(home, "--trust-model", "always", "-r", "t@t", "-o", str(path), "-e", str(plain))
    plain.unlink()
    return str(path)


def rotate(site: Site, value: str, *words: str) -> tuple[int, dict[str, Any], str]:  # noqa: F811
    return vault(site, "rotate", "secret/ngc", "--value-gpg", wrapped(site, value), *words)


def holds(site: Site, node: str, value: str) -> bool:  # noqa: F811
    return site.run(node, "cat", FILES["ngc"]) == value


def test_one_command_and_each_node_has_it(installed: Site) -> None:  # noqa: F811
    before = installed.value("ngc")
    code, told, steps = rotate(installed, NEW)
    assert code == 0, told
    assert (told["outcome"], told["arrived"], told["nodes"]) == ("done", "3", "3")
    for node in NODES:
        assert told[f"node {node}"] == "arrived"
        assert float(told[f"seconds {node}"]) < 60
        assert told[f"before {node}"] == told["hash_before"]
        assert told[f"after {node}"] == told["hash"] != told["hash_before"]
        assert holds(installed, node, NEW)
    assert "(the value, not shown)" in steps

    code, told, _ = vault(installed, "rollback", "ngc")
    assert code == 0 and told["arrived"] == "3", told
    assert all(holds(installed, node, before) for node in NODES)


def test_what_holds_the_old_one_is_named(installed: Site) -> None:  # noqa: F811
    before = installed.value("ngc")
    start = 'NGC_API_KEY="$(cat "$1")" exec sleep 300'
    installed.run(LOST, "systemd-run", "--unit=older", "sh", "-c", start, "sh", FILES["ngc"])
    try:
        code, told, _ = rotate(installed, f"{NEW}-2")
        assert code == 0, told
        assert "NGC_API_KEY" in told[f"old {LOST}"]
        assert f"on {LOST}" in told["message"] and "still with the old value" in told["message"]
    finally:
        installed.run(LOST, "systemctl", "stop", "older", check=False)
    code, told, _ = vault(installed, "rollback", "ngc")
    assert code == 0 and f"old {LOST}" not in told, told
    assert holds(installed, LOST, before)


def test_a_node_that_is_down_is_named_and_gets_it_when_it_is_back(
    installed: Site,  # noqa: F811
) -> None:
    fault.make(installed.lab, LOST, "stop", print)
    try:
        code, told, steps = rotate(installed, f"{NEW}-3")
        assert code == 1 and told["outcome"] == "failed" and told["arrived"] == "2", told
        assert told[f"node {LOST}"].startswith("not arrived: ")
        assert f"{LOST} does NOT have it" in told["message"]
        assert f"{LOST} will not have it until that is mended" in steps
    finally:
        fault.make(installed.lab, LOST, "heal", print)

    def back() -> str:
        run = installed.labtui("get", "agents", LOST, "--json")
        return "" if '"running"' in run.stdout and holds(installed, LOST, f"{NEW}-3") else "not yet"

    wait_for("the agent that was away", back, timeout=90, every=2.0)
    code, told, _ = vault(installed, "rollback", "ngc")
    assert code == 0, told


def test_set_up_binds_the_role_to_the_nodes_and_they_log_in_still(
    installed: Site,  # noqa: F811
) -> None:
    role = installed.vault(lambda c: c.auth.approle.read_role("compute-node")["data"])
    rules = installed.vault(lambda c: c.sys.read_policy("compute-node")["data"]["rules"])
    try:
        code, told, steps = vault(installed, "setup")
        assert code == 0 or "nothing to do" in steps, told
        bound = installed.vault(lambda c: c.auth.approle.read_role("compute-node")["data"])
        assert len(bound["secret_id_bound_cidrs"]) == len(NODES)
        for node in NODES:
            installed.run(node, "systemctl", "restart", "vault-agent")

        def running() -> str:
            states = {name: a["state"] for name, a in installed.agents().items()}
            return "" if set(states.values()) == {"running"} else str(states)

        wait_for("the agents", running, timeout=60, every=2.0)
        code, told, _ = rotate(installed, f"{NEW}-4")
        assert code == 0 and told["arrived"] == "3", told
        assert vault(installed, "rollback", "ngc")[0] == 0
    finally:
        fields = {k: v for k, v in role.items() if k in SECONDS or k.endswith("_bound_cidrs")}
        fields |= {k: v or [] for k, v in fields.items() if k.endswith("_bound_cidrs")}
        installed.vault(lambda c: c.adapter.post("/v1/auth/approle/role/compute-node", json=fields))
        installed.vault(lambda c: c.sys.create_or_update_policy("compute-node", rules))


def test_nothing_secret_was_printed_or_kept(installed: Site) -> None:  # noqa: F811
    secrets = [NEW, installed.root, *(installed.value(name) for name in FILES)]
    printed = "\n".join(said)
    for secret in secrets:
        assert secret not in printed
        for file in Path(installed.folder).rglob("*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes(), file
