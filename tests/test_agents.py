"""What a node's report becomes on screen, and the node's own scripts, run as they are."""

# ruff: noqa: ASYNC240 - these files are on this machine
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import jinja2
import pytest

import realservers
from labtui.actions.offered import VAULT
from labtui.actions.vault import Doors
from labtui.actions.vault import agents as agent_actions
from labtui.actions.vault.wanted import policy
from labtui.collectors.agents import AgentCollector, build
from labtui.config import Config, parse
from labtui.hosts.base import Completed, HostError
from labtui.hosts.local import LocalHost
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import operation
from labtui.model import Agent, OldHolder, Secret
from labtui.plays.catalogue import INSTALL
from labtui.sources import agents as source
from labtui.sources.agents import AgentReport, new_salt
from labtui.store import Fault, Reading, Store
from labtui.views import agents as view
from sample_lab import EVIL
from standin import answer, certificate, running, standing_in
from vaultset import vault_set

SCRIPTS = INSTALL / "files/vault-agent"
NOW = 1_800_000_000.0
VALUE = "nvapi-very-secret-value"

CONFIG = """
[nodes.here]
transport = "local"
[nodes.gone]
transport = "local"
[vault]
agents = ["here", "gone"]
[vault.nodes]
one = "https://127.0.0.1:8200"
[vault.secrets.ngc]
path = "secret/ngc"
file = "/run/secrets/ngc-api-key"
env = ["NGC_API_KEY"]
registry = "nvcr.io"
"""


def config() -> Config:
    return parse(CONFIG, "test")


def report(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "report": 1, "now": NOW, "version": "1.21.2", "address": "https://10.0.0.1:8200",
        "unit": {"load": "loaded", "active": "active", "sub": "running", "restarts": 0},
        "token": {"ttl": 3000.0, "creation_ttl": 3600, "renewed_at": NOW - 600},
        "word": "", "kept": ["ngc"], "secret_id": "secret-id.cred", "old": [],
        "files": [{
            "name": "ngc", "path": "/run/secrets/ngc-api-key", "age": 7200.0, "mode": "0600",
            "owner": "root:root", "sha256": "ab" * 32,
        }],
    }  # fmt: skip
    return told | changes


def completed(stdout: str = "", rc: int = 0, stderr: str = "") -> Completed:
    return Completed((), rc, stdout, stderr, 0.1)


def parsed(**changes: Any) -> Agent:
    return source.parse("here", completed(json.dumps(report(**changes)))).agent


def test_a_good_report() -> None:
    found = source.parse("here", completed(json.dumps(report())))
    agent = found.agent
    assert (agent.state, agent.alive, agent.token_ttl_s, agent.token_life_s) == (
        "running", True, 3000.0, 3600.0,
    )  # fmt: skip
    (secret,) = agent.secrets
    assert (secret.mode, secret.owner, secret.hash) == ("0600", "root:root", "abababababab")
    assert found.digests == {"ngc": "ab" * 32}
    assert view.severity(agent) == 0


@pytest.mark.parametrize(
    ("changes", "state", "alive", "severity"),
    [
        ({"unit": {"load": "not-found", "active": "inactive"}}, "absent", False, 1),
        ({"unit": {"load": "loaded", "active": "failed"}}, "failed", False, 2),
        ({"unit": {"load": "loaded", "active": "inactive"}}, "inactive", False, 2),
        ({"unit": {"load": "loaded", "active": "activating", "sub": "auto-restart"}}, "failing",
         False, 2),
        ({"token": {"error": "503", "ttl": 100.0}}, "retrying, 503", True, 2),
        ({"token": {"error": "refused"}}, "retrying, refused", True, 2),
        ({"token": {"error": "403"}}, "token refused", True, 2),
        ({"token": {"error": "it holds no token"}}, "logging in", True, 2),
        ({"token": {"error": "it holds no token"},
          "word": "[ERROR] agent.auth.handler: error authenticating: * invalid role or secret ID"},
         "login refused", True, 2),
        ({"token": {"ttl": 300.0, "creation_ttl": 3600}}, "running", True, 2),  # below a tenth
        ({"files": [{"name": "ngc", "path": "/x", "fault": "missing"}]}, "running", True, 3),
        ({"files": [{"name": "ngc", "path": "/x", "mode": "0644", "fault": "readable by all"}]},
         "running", True, 3),
        ({"old": [{"secret": "ngc", "kind": "process", "id": "7", "name": "sleep"}]}, "running",
         True, 1),
    ],
)  # fmt: skip
def test_states_and_how_bad_they_are(
    changes: dict[str, Any], state: str, alive: bool, severity: int
) -> None:
    agent = parsed(**changes)
    assert (agent.state, agent.alive) == (state, alive)
    assert view.severity(agent) == severity


def test_no_script_is_absent_and_says_what_to_press() -> None:
    found = source.parse("here", completed(rc=66)).agent
    assert found.state == "absent"
    assert "n installs" in (found.detail or "")
    assert view.severity(found) == 1


@pytest.mark.parametrize(
    ("done", "kind", "says"),
    [
        (completed(rc=1, stderr="sudo: a password is required\n"), "permission", "n mends"),
        (completed("not json"), "protocol", "not what it should be"),
        (completed("[" * 100_000), "protocol", "not what it should be"),
        (completed('{"report": 2}'), "protocol", "another release"),
        (completed(rc=1, stderr="Traceback\nKeyError: \x1b[31mx"), "protocol", "ended with 1"),
        (completed("x" * (3 << 20)), "protocol", "not what it should be"),
    ],
)
def test_what_is_no_report_is_told_as_what_it_is(done: Completed, kind: str, says: str) -> None:
    with pytest.raises(HostError, match=says) as failed:
        source.parse("here", done)
    assert failed.value.kind == kind
    assert "\x1b" not in failed.value.message


def test_a_hostile_report_does_nothing_but_look_odd() -> None:
    evil = report(
        version=EVIL, address=EVIL, word=EVIL, unit={"active": EVIL, "sub": 3, "restarts": "no"},
        token={"ttl": "NaN", "creation_ttl": [], "renewed_at": {}, "error": EVIL},
        files=[{"name": EVIL, "path": EVIL, "age": -1e400, "mode": EVIL, "owner": EVIL,
                "sha256": "z", "fault": EVIL}, 7, None],
        old=[{"secret": EVIL, "kind": "job", "id": EVIL, "name": EVIL}, {"kind": "bomb"}, "x"],
    )  # fmt: skip
    evil["files"][0]["age"] = "-1e400"
    agent = source.parse("here", completed(json.dumps(evil))).agent
    store = Store()
    lines = [str(line) for line in view.detail(agent, store, NOW)]
    cells = [str(c.text(agent)) for c in view.SUBJECT.columns]
    for text in [*lines, *cells, view.SUBJECT.searchable(agent)]:
        assert "\x1b" not in text and "\n" not in text.replace("\\n", "")


# The view


def filled(value: Any = None, error: Fault | None = None) -> Store:
    store = Store()
    store.declare("agents.here", "local", 10.0)
    store.declare("agents.gone", "local", 10.0)
    if value is not None:
        store.put(Reading("agents.here", value, None, NOW, 0.1))
    if error is not None:
        store.put(Reading("agents.here", None, error, NOW + 5, 0.1))
    return store


def test_a_node_that_went_down_keeps_nothing_as_true() -> None:
    store = filled(parsed(), Fault("unreachable", "here: no route"))
    here, gone = view.items(store, config(), NOW + 6)
    assert here.state == "unknown (down)"
    assert (here.alive, here.token_ttl_s, here.secrets) == (None, None, ())
    assert view.severity(here) == 1, "the node's own row says it"
    assert (gone.state, gone.detail) == (None, "no answer yet")


def test_time_goes_on_between_two_reports() -> None:
    here, _ = view.items(filled(parsed()), config(), NOW + 60)
    assert here.token_ttl_s == 2940.0
    assert here.secrets[0].age_s == 7260.0


def test_rows_fit_80_columns_and_show_no_value() -> None:
    agent = parsed()
    shown = [c for c in view.SUBJECT.columns if not c.min_total]
    assert sum(c.width + 1 for c in shown) <= 80
    assert view.SUBJECT.heading is not None
    assert view.SUBJECT.heading([agent]) == "1 of 1 running"
    texts = [getattr(cell, "text", cell) for cell in (c.text(agent) for c in shown)]
    assert texts[:3] == ["here", "running", "50m"]
    assert texts[-1] == "ngc 2h00"


def test_the_detail_names_files_hashes_and_who_holds_an_older_one() -> None:
    old = OldHolder(kind="job", id="42", name="python", variable="NGC_API_KEY")
    secret = Secret(path="/run/secrets/ngc-api-key", name="ngc", age_s=60.0, mode="0600",
                    owner="root:root", hash="0123456789ab", old=(old,))  # fmt: skip
    agent = Agent(node="here", alive=True, state="running", secrets=(secret,), token_ttl_s=100.0,
                  token_life_s=3600.0, renewed_at=NOW - 10, address="https://v:8200")  # fmt: skip
    text = "\n".join(getattr(x, "text", x) for x in view.detail(agent, Store(), NOW))  # type: ignore[misc]
    assert "0123456789ab" in text and "root:root" in text and "0600" in text
    assert "job 42 python still holds another ngc in NGC_API_KEY" in text
    assert "never by value" in text


async def test_the_collector_asks_as_root_or_by_sudo(tmp_path: Path) -> None:
    collectors = build(config(), {"here": LocalHost("here")})
    assert [c.name for c in collectors] == ["agents.here"]
    assert isinstance(collectors[0], AgentCollector)
    if Path(source.SCRIPT).exists():
        pytest.skip("an agent is installed on this machine")
    assert (await collectors[0].collect()).state == "absent"


def test_salts_differ_and_are_hex() -> None:
    assert new_salt() != new_salt()
    assert re.fullmatch(r"[0-9a-f]{32}", new_salt())


# The node's own scripts


class Node:
    """A folder in the place of a node's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("etc/vault-agent", "run/vault-agent", "run/secrets", "var/lib/vault-agent",
                       "usr/local/bin", "root/.docker"):  # fmt: skip
            (root / folder).mkdir(parents=True)
        (root / "proc").symlink_to("/proc")
        self.about("https://127.0.0.1:1")

    def about(self, address: str, ca: str = "", **more: Any) -> None:
        secrets = [{"name": "ngc", "file": "/run/secrets/ngc-api-key"}]
        told = {"address": address, "ca_file": ca, "role": "compute-node", "sealed": False,
                "secrets": secrets} | more  # fmt: skip
        (self.root / "etc/vault-agent/labtui.json").write_text(json.dumps(told))

    @property
    def secret(self) -> Path:
        return self.root / "run/secrets/ngc-api-key"

    def render(self, value: str = VALUE, mode: int = 0o600) -> None:
        self.secret.write_text(value)
        self.secret.chmod(mode)

    def run(self, script: str, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run_text((SCRIPTS / script).read_text(), script, *argv, stdin=stdin)

    def run_text(
        self, text: str, name: str, *argv: str, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        assert text.count('ROOT = ""  # tests look elsewhere') == 1
        path = self.root / name
        path.write_text(text.replace('ROOT = ""', f"ROOT = {str(self.root)!r}"))
        return subprocess.run(
            [sys.executable, str(path), *argv], input=stdin, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip

    def report(self, **asked: Any) -> dict[str, Any]:
        done = self.run("labtui-agent-report", stdin=json.dumps(asked))
        assert done.returncode == 0, done.stderr
        assert VALUE not in done.stdout
        told: dict[str, Any] = json.loads(done.stdout)
        return told


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


def test_the_report_hashes_with_the_salt_and_tells_mode_and_age(node: Node) -> None:
    node.render()
    os.utime(node.secret, (time.time() - 100, time.time() - 100))
    (file,) = node.report(salt="00ff")["files"]
    assert file["sha256"] == hashlib.sha256(b"\x00\xff" + VALUE.encode()).hexdigest()
    assert file["mode"] == "0600"
    assert 99 < file["age"] < 130
    assert "fault" not in file
    assert "sha256" not in node.report()["files"][0]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda n: None, "missing"),
        (lambda n: n.render(mode=0o644), "readable by all"),
        (lambda n: n.render(mode=0o602), "writable by all"),
        (lambda n: n.render(value=""), "empty"),
        (lambda n: n.secret.symlink_to("/etc/passwd"), "too many levels of symbolic links"),
        (lambda n: n.secret.mkdir(), "no ordinary file"),
        (lambda n: os.mkfifo(n.secret), "no ordinary file"),
    ],
)
def test_the_report_says_what_is_wrong_with_a_file(
    node: Node, make: Callable[[Node], None], fault: str
) -> None:
    make(node)
    assert node.report(salt="00")["files"][0]["fault"] == fault


def test_only_files_of_the_manifest_are_hashed(node: Node) -> None:
    told = node.report(salt="00", files={"shadow": "/etc/shadow"})
    assert [f["name"] for f in told["files"]] == ["ngc"]


def test_who_holds_another_value_is_found(node: Node) -> None:
    node.render()
    mine = {"H4_TEST_KEY": VALUE}
    others = {"H4_TEST_KEY": "older", "SLURM_JOB_ID": "77"}
    runs = [
        subprocess.Popen(["sleep", "60"], env={"PATH": "/bin:/usr/bin"} | env)
        for env in (mine, others)
    ]
    login = {"auths": {"nvcr.io": {"auth": base64.b64encode(b"$oauthtoken:older").decode()},
                       "other": {"auth": "!!"}}}  # fmt: skip
    (node.root / "root/.docker/config.json").write_text(json.dumps(login))
    try:
        told = node.report(env={"ngc": ["H4_TEST_KEY"]}, registries={"ngc": "nvcr.io"})
    finally:
        for run in runs:
            run.kill()
            run.wait()
    job, registry = told["old"]
    assert (job["kind"], job["id"], job["pid"]) == ("job", "77", runs[1].pid)
    assert job["variable"] == "H4_TEST_KEY"
    assert (registry["kind"], registry["id"]) == ("registry", "nvcr.io")
    assert "older" not in json.dumps(told)


def _deep(file: Path) -> None:
    file.write_text("[" * 60_000)


@pytest.mark.parametrize("make", [_deep, os.mkfifo, lambda f: f.symlink_to("/dev/zero")],
                         ids=["deep", "fifo", "link"])  # fmt: skip
def test_no_user_of_a_node_can_blind_its_report(node: Node, make: Callable[[Path], None]) -> None:
    file = node.root / "home/mallory/.docker/config.json"
    file.parent.mkdir(parents=True)
    make(file)
    node.render()
    began = time.monotonic()
    told = node.report(salt="00", registries={"ngc": "nvcr.io"})
    assert told["files"][0]["sha256"] and told["old"] == [] and told["old_whole"] is True
    assert time.monotonic() - began < 5


def test_a_look_that_does_not_end_costs_itself_alone(node: Node) -> None:
    """Memory of a process can be made to wait for ever, and so can a home folder."""
    script = (SCRIPTS / "labtui-agent-report").read_text()
    hung = script.replace("\ndef processes(wanted, contents):\n",
                          "\ndef processes(wanted, contents):\n    time.sleep(60)\n")  # fmt: skip
    assert hung != script
    node.render()
    began = time.monotonic()
    told = json.loads(node.run_text(hung, "hung", stdin='{"salt": "00"}').stdout)
    assert time.monotonic() - began < 8
    assert told["files"][0]["sha256"] and told["old_whole"] is False
    agent = source.parse("here", completed(json.dumps(told))).agent
    assert "who holds an older value is not fully known" in (agent.detail or "")


def test_a_flood_in_a_variable_is_not_told(node: Node) -> None:
    node.render()
    env = {"PATH": "/bin:/usr/bin", "H4_TEST_KEY": "older", "SLURM_JOB_ID": "9" * 100_000}
    run = subprocess.Popen(["sleep", "60"], env=env)
    try:
        told = node.report(env={"ngc": ["H4_TEST_KEY"]})
    finally:
        run.kill()
        run.wait()
    assert [(h["kind"], h["id"]) for h in told["old"]] == [("process", str(run.pid))]


def test_the_report_refuses_what_is_no_json(node: Node) -> None:
    for junk in ("{", "[]", '{"salt": "xyz"}', '{"salt": 5}'):
        assert node.run("labtui-agent-report", stdin=junk).returncode == 1


def test_a_token_is_not_sent_on_with_a_redirect(node: Node, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "tls")
    (node.root / "run/vault-agent/token").write_text("hvs.secret-token")
    with standing_in(answer(200, b"{}"), (cert, key)) as thief:
        turn = answer(307, b"", Location=f"{thief.url}/v1/auth/token/lookup-self")
        with standing_in(turn, (cert, key)) as server:
            node.about(server.url, str(cert))
            assert node.report()["token"] == {"error": "307"}
        assert thief.requests == []


@pytest.mark.parametrize("sealed", [False, True])
def test_a_kept_copy_comes_back_and_is_not_plain(node: Node, sealed: bool) -> None:
    if sealed and (shutil.which("systemd-creds") is None or os.geteuid()):
        pytest.skip("SKIPPED LOUDLY: systemd-creds and root are needed for this one")
    if not sealed and shutil.which("openssl") is None:
        pytest.skip("SKIPPED LOUDLY: no openssl here")
    node.about("https://127.0.0.1:1", sealed=sealed)
    node.render()
    os.utime(node.secret, (1000, 1000))
    saved = node.run("labtui-agent-keep", "save")
    assert saved.returncode == 0, saved.stderr
    kept = node.root / "var/lib/vault-agent/ngc.kept"
    assert VALUE.encode() not in kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    node.secret.unlink()  # a reboot
    assert "back from the kept copy" in node.run("labtui-agent-keep", "restore").stdout
    assert node.secret.read_text() == VALUE
    assert node.secret.stat().st_mode & 0o777 == 0o600
    assert node.secret.stat().st_mtime == 1000
    node.render("newer")  # what is there is never replaced by an older one
    node.run("labtui-agent-keep", "restore")
    assert node.secret.read_text() == "newer"


def test_kept_copies_come_back_after_systemd_became_one_that_encrypts(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From openssl's to systemd-creds': each copy is opened by what made it."""
    creds = node.root / "bin/systemd-creds"
    creds.parent.mkdir()
    creds.write_text('#!/bin/sh\n[ "$1" = encrypt ] && exec base64\nexec base64 -d\n')
    creds.chmod(0o755)
    monkeypatch.setenv("PATH", f"{creds.parent}:{os.environ['PATH']}")
    secrets = [{"name": n, "file": f"/run/secrets/{n}"} for n in ("ngc", "hf", "late")]
    files = {n: node.root / f"run/secrets/{n}" for n in ("ngc", "hf", "late")}
    kept = node.root / "var/lib/vault-agent"
    for file in files.values():
        file.write_text(VALUE)
    node.about("https://127.0.0.1:1", secrets=secrets)
    assert node.run("labtui-agent-keep", "save").returncode == 0
    node.about("https://127.0.0.1:1", secrets=secrets, sealed=True)
    files["ngc"].write_text("newer")
    files["late"].unlink()  # its copy is still openssl's, and needs the key
    assert node.run("labtui-agent-keep", "save").returncode == 0
    for name in ("ngc", "hf"):
        base64.b64decode((kept / f"{name}.kept").read_bytes(), validate=False).decode()
        files[name].unlink()
    assert (kept / "key").exists()
    told = node.run("labtui-agent-keep", "restore").stdout
    assert told.count("back from the kept copy") == 3
    assert [f.read_text() for f in files.values()] == ["newer", VALUE, VALUE]
    assert node.run("labtui-agent-keep", "save").returncode == 0
    assert not (kept / "key").exists()


def test_a_kept_copy_that_was_changed_is_not_taken(node: Node) -> None:
    node.render()
    node.run("labtui-agent-keep", "save")
    kept = node.root / "var/lib/vault-agent/ngc.kept"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    node.secret.unlink()
    told = node.run("labtui-agent-keep", "restore")
    assert "changed since it was kept" in told.stdout
    assert not node.secret.exists()


def test_what_is_no_secret_any_more_is_not_kept(node: Node) -> None:
    node.render()
    node.run("labtui-agent-keep", "save")
    told = json.loads((node.root / "etc/vault-agent/labtui.json").read_text())
    told["secrets"] = []
    (node.root / "etc/vault-agent/labtui.json").write_text(json.dumps(told))
    node.run("labtui-agent-keep", "save")
    assert list((node.root / "var/lib/vault-agent").glob("*.kept")) == []


def test_wrapped_secret_ids_against_a_real_vault(node: Node, tmp_path: Path) -> None:
    with vault_set(tmp_path / "vault", unseal=True) as vaults:
        client = vaults.client()
        client.sys.enable_auth_method("approle")
        client.auth.approle.create_or_update_approle("compute-node", token_ttl="1h")
        url = vaults.urls[vaults.first]
        node.about(url, vaults.ca)
        door = Door("one", url, vaults.ca)
        handed = os.memfd_create("handed")
        try:
            memory = f"/proc/{os.getpid()}/fd/{handed}"
            params = {"role": "compute-node", "nodes": ["here"], "ttl": "2m", "memory": memory}
            secrets = {"token": bytearray(vaults.token.encode())}
            told = operation("approle.deliver").run(door, secrets, params)
            body = json.loads(os.pread(handed, 1 << 16, 0))
        finally:
            os.close(handed)
        first = told["accessors"]["here"]
        assert told == {"nodes": ["here"], "accessors": {"here": first}, "older": {"here": []},
                        "unknown": ""}  # fmt: skip
        wrapped = body["wrapped"]["here"]
        assert wrapped not in json.dumps(told)

        taken = node.run("labtui-agent-secret-id", stdin=wrapped)
        assert (taken.returncode, taken.stdout.strip()) == (0, "stored")
        stored = node.root / "etc/vault-agent/secret-id"
        assert stored.stat().st_mode & 0o777 == 0o400
        login = client.auth.approle.login(body["role_id"], stored.read_text(), use_token=False)
        assert login["auth"]["metadata"]["node"] == "here"

        again = node.run("labtui-agent-secret-id", stdin=wrapped)
        assert again.returncode == 1
        assert "somebody else may have it" in again.stdout

        other = client.adapter.post("/v1/sys/wrapping/wrap", json={"secret_id": "x"}, wrap_ttl="1m")
        swapped = node.run("labtui-agent-secret-id", stdin=other["wrap_info"]["token"])
        assert swapped.returncode == 1
        assert "somebody may have swapped it" in swapped.stdout
        assert wrapped not in again.stdout + again.stderr

        (node.root / "run/vault-agent/token").write_text(login["auth"]["client_token"])
        token = node.report()["token"]
        assert 3500 < token["ttl"] <= 3600 and token["renewable"] is True
        vaults.seal()
        sealed = node.report()["token"]
        assert sealed["error"] == "503" and 3500 < sealed["ttl"] <= 3600  # as it was told before
        vaults.unseal()

        # Another one for the same node: the first is known by its metadata, and destroyed.
        handed = os.memfd_create("handed")
        params["memory"] = f"/proc/{os.getpid()}/fd/{handed}"
        told = operation("approle.deliver").run(door, secrets, params)
        os.close(handed)
        assert told["older"]["here"] == [first]
        destroyed = operation("approle.destroy").run(
            door, secrets, {"role": "compute-node", "accessors": told["older"]["here"]}
        )
        assert destroyed == {"destroyed": 1, "of": {}}
        with pytest.raises(hvac.exceptions.InvalidRequest):
            client.auth.approle.login(body["role_id"], stored.read_text(), use_token=False)
        assert node.run("labtui-agent-secret-id", "forget").returncode == 0
        with pytest.raises(hvac.exceptions.Forbidden):
            client.auth.token.lookup(login["auth"]["client_token"]) and vaults.client(
                token=login["auth"]["client_token"]
            ).auth.token.lookup_self()

        for bad, why in (({"role": "none"}, "labtui vault setup"), ({"role": "../x"}, "no name"),
                         ({"memory": "/tmp/x"}, "only written into memory")):  # fmt: skip
            with pytest.raises(Refused, match=why):
                operation("approle.deliver").run(door, secrets, params | bad)


@pytest.mark.slow
def test_an_agent_finds_secrets_in_mounts_of_any_name(tmp_path: Path) -> None:
    """Set up as labtui does it, read by a real agent with the playbook's own template."""
    values = {"secret/ngc": "one", "team/kv/ngc": "two", "secret/data/ngc": "three"}
    texts = [
        {"path": path, "field": "api_key", "file": str(tmp_path / value)}
        for path, value in values.items()
    ]
    environment = jinja2.Environment(trim_blocks=True)
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((INSTALL / "templates/vault-agent/agent.hcl.j2").read_text())
    with vault_set(tmp_path / "vault", unseal=True) as vaults:
        client = vaults.client()
        client.sys.enable_auth_method("approle")
        for mount in ("secret", "team/kv"):
            client.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
        door = Door("one", vaults.urls[vaults.first], vaults.ca)
        secrets = {"token": bytearray(vaults.token.encode())}
        params = {"role": "compute-node", "paths": list(values)}
        places = operation("setup.read").run(door, secrets, params)["places"]
        for path, (mount, rest) in places.items():
            client.secrets.kv.v2.create_or_update_secret(
                rest, {"api_key": values[path]}, mount_point=mount
            )
        client.sys.create_or_update_policy("compute-node", policy(places.values()))
        client.auth.approle.create_or_update_approle(
            "compute-node", token_policies=["compute-node"]
        )
        role_id, secret_id = tmp_path / "role-id", tmp_path / "secret-id"
        role_id.write_text(client.auth.approle.read_role_id("compute-node")["data"]["role_id"])
        made = client.auth.approle.generate_secret_id("compute-node")
        secret_id.write_text(made["data"]["secret_id"])
        text = template.render(address=door.address, vault_ca_file=vaults.ca,
                               render_interval="30s", vault_secrets=texts)  # fmt: skip
        for there, here in (("/etc/vault-agent/ca.pem", vaults.ca),
                            ("/etc/vault-agent/role-id", str(role_id)),
                            ("/run/credentials/vault-agent.service/secret-id", str(secret_id)),
                            ("/run/vault-agent/token", str(tmp_path / "token"))):  # fmt: skip
            assert there in text
            text = text.replace(there, here)
        (tmp_path / "agent.hcl").write_text(text)

        def rendered() -> bool:
            return all((tmp_path / value).is_file() for value in values.values())

        argv = [realservers.program("vault"), "agent", f"-config={tmp_path}/agent.hcl"]
        with running(argv, rendered, tmp_path / "agent.log"):
            for value in values.values():
                assert (tmp_path / value).read_text() == value


async def test_a_report_of_this_very_machine_is_understood(node: Node) -> None:
    """The script's own output through the reader of it."""
    node.render()
    told = node.run("labtui-agent-report", stdin=json.dumps({"salt": "aa"}))
    agent = source.parse("here", completed(told.stdout)).agent
    assert [s.name for s in agent.secrets] == ["ngc"]
    assert AgentReport(config().vault)._registries == {"ngc": "nvcr.io"}


def test_a_token_is_asked_unless_every_agent_runs() -> None:
    spec = {s.id: s for s in VAULT}
    wanted = spec["agents.install"].secrets
    assert wanted is not None
    row = Agent(node="here", state="absent")
    assert [w.name for w in wanted(row, Store())] == ["token"]
    assert wanted(Agent(node="here", alive=True, state="running"), Store()) == ()
    assert [w.name for w in wanted(object(), filled())] == ["token"]  # the other says nothing yet
    store = filled(Agent(node="here", alive=True, state="running"))
    store.put(Reading("agents.gone", Agent(node="gone", state="running"), None, NOW, 0.1))
    assert wanted(object(), store) == ()
    cannot = spec["agents.undo"].disabled
    assert cannot is not None and cannot(row) == "no agent is there"
    doors = Doors(config(), store, {})
    made = agent_actions.make("agents.install", [object()], "", {}, doors)
    assert isinstance(made, agent_actions.InstallAgents) and made.hosts == ["here", "gone"]
    undo = agent_actions.make("agents.undo", [row], "", {}, doors)
    assert isinstance(undo, agent_actions.UndoAgents) and undo.hosts == ["here"]
    assert agent_actions.make("vault.seal", [], "", {}, doors) is None
