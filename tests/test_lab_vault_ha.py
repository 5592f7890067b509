"""A set of three real Vault servers in a lab: joined, sealed, unsealed in turn, a leader killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from labtui.config import load
from labtui.lab import inventory, machines, memory, monitoring, net, status, up, vault
from labtui.lab.layout import MACHINES, MONITOR, PORTS, STORAGE, Lab
from labtui.lab.system import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400, func_only=True)]

SET = (STORAGE, *vault.PEERS)


# Without a lab


@pytest.mark.parametrize("machine", SET)
def test_a_peer_asks_the_others_and_the_first_one_nobody(machine: str) -> None:
    others = [m for m in SET if m != machine] if machine != STORAGE else []
    found = vault.configuration(machine, others)
    joins = found["storage"]["raft"].get("retry_join")
    if machine == STORAGE:
        assert joins is None, "Vault refuses an empty list"
    else:
        assert [j["leader_api_addr"] for j in joins] == [vault.url(m) for m in others]
    tcp = found["listener"]["tcp"]
    assert tcp["cluster_address"].endswith(f":{PORTS['vault'] + 1}")
    assert found["api_addr"] == vault.url(machine)


# In a lab


@pytest.fixture(scope="module")
def ha(lab: Lab) -> Iterator[Lab]:
    """A lab of its own, which gets its set while it runs and its set-up is at work."""
    made = replace(lab, name=f"{lab.name[:9]}-set")
    up.bring_up(made, print)
    up.bring_up(made, print, vault_ha=True)
    wait_for("the set", lambda: _lacks(made), timeout=150, every=0.3)
    yield made
    up.take_down(made, print, forget=True)


def _lacks(lab: Lab) -> str:
    if (vault.kept(lab) or {}).get("joined") == list(vault.PEERS):
        return ""
    told = lab.progress / "vault.json"
    said = json.loads(told.read_text()) if told.is_file() else {}
    assert said.get("state") != "failed", said
    return "not set up yet"


def standing(lab: Lab) -> dict[str, str]:
    """Machine -> sealed, standby, active."""

    def ask() -> dict[str, str]:
        found = {}
        for machine in SET:
            answer = vault.client(lab, machine).sys.read_health_status(method="GET")
            code = 200 if isinstance(answer, dict) else answer.status_code
            found[machine] = {200: "active", 429: "standby", 503: "sealed"}.get(code, str(code))
        return found

    return net.call(lab, ask)


def sealed_alerts(lab: Lab) -> set[str]:
    url = f"http://{MACHINES[MONITOR].address}:{PORTS['prometheus']}/api/v1/alerts"
    found = json.loads(net.call(lab, monitoring.get, url))["data"]["alerts"]
    return {
        a["labels"]["node"]
        for a in found
        if a["labels"]["alertname"] == "VaultSealed" and a["state"] == "firing"
    }


def kept(lab: Lab) -> dict[str, Any]:
    found = vault.kept(lab)
    assert found is not None
    return found


def test_each_of_the_three_is_sealed_after_the_set_up(ha: Lab) -> None:
    assert standing(ha) == dict.fromkeys(SET, "sealed")
    found = [s for s in status.take(ha).services if s.name == "vault"]
    assert {s.machine for s in found} == set(SET)
    assert all(s.health.detail.startswith("sealed, 0 of 3 shares given") for s in found)
    config = load(ha.config)
    assert config.vault.nodes == {m: vault.url(m) for m in SET}
    assert all("vault" in config.nodes[m].services for m in SET)
    wait_for("an alert of each", lambda: "" if sealed_alerts(ha) == set(SET) else "no", timeout=30)


def test_no_core_file_no_right_and_no_shell_in_any_of_them(ha: Lab) -> None:
    for machine in SET:
        script = "P=$(systemctl show -p MainPID --value vault); cat /proc/$P/limits /proc/$P/status"
        said = machines.run(ha, machine, ["sh", "-c", script]).stdout.splitlines()
        told = {" ".join(line.split()[:-1]): line.split()[-1] for line in said if line.split()}
        limit = next(line.split()[-3:] for line in said if line.startswith("Max core file size"))
        assert limit == ["0", "0", "bytes"]
        assert told["CapBnd:"] == "0000000000000000"
        assert told["NoNewPrivs:"] == "1"


def test_it_serves_with_a_majority_and_another_takes_over_from_a_leader_killed(ha: Lab) -> None:
    shares = kept(ha)["unseal_keys_b64"]

    def give(machine: str) -> None:
        client = vault.client(ha, machine)
        for number, share in enumerate(shares[:3], 1):
            told = client.sys.submit_unseal_key(share)
            assert told["progress"] == number % 3

    net.call(ha, give, SET[0])
    found = standing(ha)
    assert found[SET[0]] != "active", "one of three is no majority"
    assert [found[m] for m in vault.PEERS] == ["sealed", "sealed"]
    net.call(ha, give, SET[1])
    first = net.call(ha, vault.wait_active, ha, 40)
    assert standing(ha)[SET[2]] == "sealed"
    net.call(ha, give, SET[2])
    wait_for(
        "two standbys",
        lambda: "" if sorted(standing(ha).values()) == ["active", "standby", "standby"] else "no",
        timeout=20,
    )

    machines.run(ha, first, ["systemctl", "kill", "--signal=KILL", "vault"])
    wait_for("another leader", lambda: "" if _leads(ha) not in ("", first) else "none", timeout=40)
    second = _leads(ha)
    root = vault.client(ha, second, kept(ha)["root_token"])
    assert net.call(ha, root.auth.token.lookup_self)["data"]["policies"] == ["root"]
    # systemd starts the killed one again, and that one alone has to be unsealed.
    wait_for("its return", lambda: "" if _standing(ha, first) == "sealed" else "no", timeout=20)
    wait_for("its alert", lambda: "" if sealed_alerts(ha) == {first} else "no", timeout=30)
    net.call(ha, vault.unseal, ha, shares, first)
    assert sorted(standing(ha).values()) == ["active", "standby", "standby"]


def _leads(lab: Lab) -> str:
    return net.call(lab, vault.active, lab)


def _standing(lab: Lab, machine: str) -> str:
    try:
        return standing(lab)[machine]
    except OSError:
        return "gone"


def test_down_and_up_without_the_flag_keeps_the_set_and_seals_it(ha: Lab) -> None:
    before = kept(ha)
    up.take_down(ha, print)
    assert memory.load(ha).vault_ha
    up.bring_up(ha, print)
    assert inventory.text(ha) == ha.config.read_text()
    assert set(load(ha.config).vault.nodes) == set(SET)
    net.call(ha, vault.start, ha, *SET)
    assert standing(ha) == dict.fromkeys(SET, "sealed")
    assert kept(ha) == before
    net.call(ha, vault.unseal, ha, before["unseal_keys_b64"], *SET)
    assert sorted(standing(ha).values()) == ["active", "standby", "standby"]
