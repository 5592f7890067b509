"""The lab's drills: a seal during a running job, and a restore. They pass and leave no trace."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.lab import drill, drill_jobs, drill_restore, machines, net, vault, vault_service
from labtui.lab.drill_record import Record
from labtui.lab.layout import MACHINES, Lab
from labtui.lab.system import LabError

# Without a lab


def test_evidence_says_when_what_and_whether(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path))
    said: list[str] = []
    record = Record(Lab("paper"), "seal", said.append)
    passed = [record.passed]
    record.step("it is sealed", "sealed")
    passed.append(record.passed)
    assert passed == [False, True], "a drill that did nothing proves nothing"
    record.step("it goes on", "it does not", ok=False)
    record.facts["job"] = {"id": "7"}
    path = record.save()
    assert path.parent == tmp_path / "paper/evidence"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(path.read_text())
    assert (told["schema"], told["drill"], told["passed"]) == ("labtui/drill/1", "seal", False)
    assert [(s["what"], s["found"], s["ok"]) for s in told["steps"]] == [
        ("it is sealed", "sealed", True),
        ("it goes on", "it does not", False),
    ]
    assert told["job"] == {"id": "7"}
    assert said[1].endswith("FAIL  it goes on: it does not")


def test_no_drill_of_a_lab_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path))
    with pytest.raises(LabError, match="the lab is not up"):
        drill.run(Lab("nolab"), "seal", print)


# In the lab


@pytest.fixture
def as_found(lab: Lab) -> Iterator[Lab]:
    """The test may unseal; Vault is as it was before afterwards."""
    sealed = net.call(lab, vault.is_sealed, lab)
    yield lab
    if sealed != net.call(lab, vault.is_sealed, lab):
        if sealed:
            net.call(lab, vault.seal, lab, kept(lab)["root_token"])
        else:
            unseal(lab)


def kept(lab: Lab) -> dict[str, Any]:
    found = vault.kept(lab)
    assert found is not None
    return found


def unseal(lab: Lab) -> None:
    net.call(lab, vault.unseal, lab, kept(lab)["unseal_keys_b64"], *vault.servers(lab))


def values(lab: Lab) -> list[str]:
    """Every secret that a drill has in its hands; Vault is open."""
    document = kept(lab)
    shares = [*document["unseal_keys_b64"], *document["unseal_keys_hex"]]

    def read() -> list[str]:
        client = vault.client(lab, token=document["root_token"])
        found = []
        for path in ("ngc", "huggingface"):
            answer = client.secrets.kv.v2.read_secret_version(
                path, mount_point="secret", raise_on_deleted_version=True
            )
            found += answer["data"]["data"].values()
        return found

    return [*shares, document["root_token"], *net.call(lab, read)]


def test_a_job_goes_on_while_vault_is_sealed_and_a_new_need_fails_clearly(as_found: Lab) -> None:
    unseal(as_found)
    secret = values(as_found)
    net.call(as_found, vault.seal, as_found, kept(as_found)["root_token"])
    argv = [sys.executable, "-m", "labtui.lab.commands", "drill", "seal", "--json"]
    done = subprocess.run(
        [*argv, "--name", as_found.name], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["passed"]
    job = told["job"]
    assert (job["state"], job["exit_code"]) == ("COMPLETED", "0:0")
    assert job["readings"] > 10
    assert len(job["salted_hashes"]) == 1
    assert job["longest_gap_s"] < 5
    found = {s["what"]: s["found"] for s in told["steps"]}
    for what in ("an AppRole login at truenas is refused", "a read at truenas is refused"):
        assert found[what] == "503 Vault is sealed"
    failed = found["a new job that needs a fresh secret fails, and says why"]
    assert "FAILED, exit 1:0: Vault says 503: Vault is sealed" in failed
    assert "COMPLETED" in found["AppRole login and a read work again"]
    assert not any(value in done.stdout + done.stderr for value in secret)
    assert net.call(as_found, vault.is_sealed, as_found), "it was found sealed"
    for machine in (m.name for m in MACHINES.values() if m.partition):
        left = machines.run(as_found, machine, ["ls", drill_jobs.FOLDER], check=False)
        assert left.returncode, "no file of the drill is left"


def test_lost_data_comes_back_from_a_snapshot_with_the_original_shares(as_found: Lab) -> None:
    unseal(as_found)
    secret = values(as_found)
    said: list[str] = []
    passed, evidence = drill.run(as_found, "restore", said.append)
    assert passed, said
    told = evidence.read_text()
    found = {s["what"]: s["found"] for s in json.loads(told)["steps"]}
    assert found["the data is gone"] == "not initialised"
    assert found["restarted, it asks for the original shares"] == "sealed, 3 of 5"
    assert found["the marker is as it was in the snapshot"] == found["a marker is put"]
    assert found["the marker is changed"] != found["a marker is put"]
    assert not any(value in told + "".join(said) for value in secret)
    assert not net.call(as_found, vault.is_sealed, as_found), "it was found open"
    assert values(as_found) == secret


def test_a_drill_that_fails_gives_vault_its_data_back(
    as_found: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseal(as_found)
    secret = values(as_found)

    def spoilt(lab: Lab, kept: dict[str, Any], path: Path) -> dict[str, int]:
        path.write_bytes(b"no snapshot at all")
        return {"size": 18, "index": 0}

    monkeypatch.setattr(drill_restore, "_take", spoilt)
    said: list[str] = []
    passed, evidence = drill.run(as_found, "restore", said.append)
    assert not passed
    last = json.loads(evidence.read_text())["steps"][-1]
    assert (last["what"], last["ok"]) == ("the drill runs to its end", False)
    assert values(as_found) == secret
    assert not (as_found.secrets / "drill.snap").exists()


def test_who_reads_along_may_go_and_who_interrupts_it_finds_vault_as_it_was(
    as_found: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.call(as_found, vault.seal, as_found, kept(as_found)["root_token"])
    told: list[str] = []

    def noted(lab: Lab, kept: dict[str, Any], record: Record) -> None:
        assert not vault.is_sealed(lab)
        record.step("it is open", "open")
        told.append("went on")

    def closed(line: str) -> None:
        raise BrokenPipeError

    monkeypatch.setitem(drill.DRILLS, "seal", noted)
    passed, _ = drill.run(as_found, "seal", closed)
    assert passed and told == ["went on"]
    assert net.call(as_found, vault.is_sealed, as_found)

    def interrupted(lab: Lab, kept: dict[str, Any], record: Record) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(drill.DRILLS, "seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drill.run(as_found, "seal", closed)
    assert net.call(as_found, vault.is_sealed, as_found)


def test_a_drill_that_was_killed_is_put_right_by_the_next_up(as_found: Lab) -> None:
    net.call(as_found, vault.set_aside, as_found, "truenas")
    net.call(as_found, vault.start, as_found, "truenas")
    assert not net.call(as_found, lambda: vault.client(as_found).sys.is_initialized())
    vault_service.Vault().finish(as_found, print)
    unseal(as_found)
    assert values(as_found)
