"""Vault is sealed while a job runs: the job goes on, a new need fails clearly, unsealing mends it.

The guide's second fault test, with evidence. Where vault-agent is installed the job reads the file
that the agent renders; else the drill renders one, and says so.
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from hvac.exceptions import VaultError

from labtui.lab import drill_jobs, machines, vault
from labtui.lab.drill_record import Record
from labtui.lab.layout import MACHINES, Lab
from labtui.lab.system import LabError, wait_for

AGENT_FILE = "/run/secrets/ngc-api-key"
REPORT = "/usr/local/libexec/labtui-agent-report"
PREFERRED = "xps15-cpu"
"""Whose CPUs are most often free."""
SEALED = "Vault is sealed"


def run(lab: Lab, kept: Mapping[str, Any], record: Record) -> None:
    """The drill; Vault is open when it begins. Raises LabError, VaultError or OSError."""
    salt = secrets.token_hex(16)
    agents = {m: report for m in _compute() if (report := _report(lab, m, salt))}
    node = PREFERRED if PREFERRED in agents or not agents else next(iter(agents))
    root = vault.client(lab, vault.wait_active(lab), kept["root_token"])
    asked, accessor = drill_jobs.login(lab, root)
    file = AGENT_FILE if agents else drill_jobs.CACHED
    jobs: list[str] = []
    try:
        drill_jobs.prepare(lab, node, asked, "" if agents else _secret(root))
        jobs.append(drill_jobs.reader(lab, node, file, salt))
        _drill(lab, kept, record, node, jobs[0], agents, salt, file)
    finally:
        drill_jobs.clear(lab, node, *jobs)
        vault.unseal(lab, kept["unseal_keys_b64"], *vault.servers(lab))
        active = vault.client(lab, vault.wait_active(lab), kept["root_token"])
        drill_jobs.destroy(active, accessor)


def _drill(
    lab: Lab,
    kept: Mapping[str, Any],
    record: Record,
    node: str,
    job: str,
    agents: Mapping[str, dict[str, Any]],
    salt: str,
    file: str,
) -> None:
    names = vault.servers(lab)
    record.facts["agents"] = sorted(agents) or "not installed"
    record.step(
        "agents",
        f"installed on {', '.join(agents)}" if agents else "not installed; the file is the drill's",
    )
    before = drill_jobs.wait_readings(lab, node, job, 0.0)
    hashes = {r.hash for r in before}
    record.step(
        f"job {job} runs on {node} and reads {file}",
        f"{len(before)} readings, one hash {before[0].hash[:12]}",
        len(hashes) == 1,
    )
    fresh = drill_jobs.need(lab, node)
    record.step(
        "a job that needs a fresh secret gets it", _ended(fresh), fresh.state == "COMPLETED"
    )

    sealed_at = time.time()
    told = vault.seal(lab, kept["root_token"])
    record.step(
        "Vault is sealed", ", then ".join(told), all(vault.is_sealed(lab, m) for m in names)
    )
    for machine in names:
        _refused(lab, kept, record, machine)
    fresh = drill_jobs.need(lab, node)
    record.step(
        "a new job that needs a fresh secret fails, and says why",
        _ended(fresh),
        fresh.state == "FAILED" and SEALED in fresh.said,
    )
    during = drill_jobs.wait_readings(lab, node, job, max(sealed_at, time.time() - 1.0))
    state = drill_jobs.state(lab, job)[0]
    record.step(
        f"job {job} goes on, its cached secret is the same",
        f"{state}, {len(during)} more readings, hash {during[-1].hash[:12]}",
        state == "RUNNING" and {r.hash for r in during} == hashes,
    )
    for machine, earlier in agents.items():
        now = _report(lab, machine, salt) or {}
        record.step(
            f"{machine}: the agent keeps its files",
            f"{_files(now)}, token {_token(now)}",
            bool(_hashes(now)) and _hashes(now) == _hashes(earlier),
        )

    sealed_s = time.time() - sealed_at
    vault.unseal(lab, kept["unseal_keys_b64"], *names)
    active = vault.wait_active(lab)
    record.step("unsealing brings it back", f"health 200 on {active} after {sealed_s:.1f} s sealed")
    fresh = drill_jobs.need(lab, node)
    record.step("AppRole login and a read work again", _ended(fresh), fresh.state == "COMPLETED")
    for machine in agents:
        _works_again(lab, record, machine, salt)
    machines.run(lab, node, ["touch", drill_jobs.STOP])
    end = drill_jobs.ended(lab, node, job)
    read = drill_jobs.readings(lab, node, job)
    gap = max(b.at - a.at for a, b in itertools.pairwise(read))
    record.facts["job"] = {
        "id": job,
        "node": node,
        "state": end.state,
        "exit_code": end.exit_code,
        "readings": len(read),
        "longest_gap_s": round(gap, 2),
        "salted_hashes": sorted({r.hash[:12] for r in read}),
        "sealed_s": round(sealed_s, 2),
    }
    record.step(
        f"job {job} ends as if nothing had been",
        f"{end.state}, exit {end.exit_code}, {len(read)} readings, the longest gap {gap:.1f} s",
        (end.state, end.exit_code) == ("COMPLETED", "0:0") and {r.hash for r in read} == hashes,
    )


def _refused(lab: Lab, kept: Mapping[str, Any], record: Record, machine: str) -> None:
    """A login, which needs no token, and a read with one that is valid otherwise."""
    for what, path, token, body in (
        ("an AppRole login", "auth/approle/login", "", {"role_id": "-", "secret_id": "-"}),
        ("a read", "secret/data/ngc", kept["root_token"], None),
    ):
        adapter = vault.client(lab, machine, token).adapter
        try:
            if body:
                adapter.post(f"/v1/{path}", json=body)
            else:
                adapter.get(f"/v1/{path}")
            found, ok = "it was answered", False
        except VaultError as error:
            said = "; ".join(map(str, error.errors or [])) or type(error).__name__
            ok = type(error).__name__ == "VaultDown" and SEALED in said
            found = f"503 {said}" if ok else said
        record.step(f"{what} at {machine} is refused", found, ok)


def _secret(root: Any) -> str:
    found = root.secrets.kv.v2.read_secret_version(
        "ngc", mount_point="secret", raise_on_deleted_version=True
    )
    return str(found["data"]["data"]["api_key"])


def _ended(job: drill_jobs.Ended) -> str:
    return f"job {job.job} {job.state}, exit {job.exit_code}: {job.said}"


def _compute() -> list[str]:
    return [m.name for m in MACHINES.values() if m.partition]


def _report(lab: Lab, machine: str, salt: str) -> dict[str, Any] | None:
    """What the agent's own script tells there; None where none is installed."""
    asked = json.dumps({"salt": salt})
    script = f"[ -x {REPORT} ] && systemctl is-active --quiet vault-agent && exec {REPORT}"
    try:
        done = machines.run(lab, machine, ["sh", "-c", script], stdin=asked, check=False)
        found = json.loads(done.stdout)
    except (LabError, ValueError):
        return None
    return found if isinstance(found, dict) and _hashes(found) else None


def _hashes(report: Mapping[str, Any]) -> dict[str, str]:
    return {f["path"]: f["sha256"] for f in report.get("files", []) if f.get("sha256")}


def _files(report: Mapping[str, Any]) -> str:
    return ", ".join(f"{p} {h[:12]}" for p, h in sorted(_hashes(report).items())) or "no file"


def _token(report: Mapping[str, Any]) -> str:
    token = report.get("token", {})
    if error := token.get("error"):
        return f"cannot be looked up: {error}"
    return f"valid for {token['ttl']:.0f} s" if token.get("ttl") else "unknown"


def _works_again(lab: Lab, record: Record, machine: str, salt: str) -> None:
    """Its token is looked up at Vault by the report: that works as soon as Vault answers it."""
    last: list[dict[str, Any]] = [{}]

    def mute() -> str:
        last[0] = _report(lab, machine, salt) or {}
        token = last[0].get("token", {"error": "no agent"})
        return str(token.get("error") or "")

    try:
        wait_for(f"the agent on {machine}", mute, timeout=60, every=0.5)
        record.step(f"{machine}: the agent's token works again", _token(last[0]))
    except LabError as error:
        record.step(f"{machine}: the agent's token works again", str(error), ok=False)
