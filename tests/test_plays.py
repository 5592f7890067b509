"""ansible-playbook as a subprocess: followed, refused, broken off; here and against a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labtui.actions.base import ActionError
from labtui.actions.plays import PlayAction, diff_lines
from labtui.actions.runner import Runner
from labtui.config import Config, parse
from labtui.history import AuditLine
from labtui.plays import folder as folders
from labtui.plays import run as runs
from labtui.plays.catalogue import INSTALL, Book, book, books, targets
from labtui.plays.events import Began, Ended, Event, Report, Result, TaskBegan
from labtui.plays.events import parse as event_of
from labtui.plays.inventory import PlayError, inventory
from labtui.plays.variables import variables
from sample_lab import EVIL
from test_hosts_ssh import SSHD, Sshd

LOCAL = '[nodes.here]\ntransport = "local"\n'
AGENTS = """
[vault]
agents = ["here"]
[vault.nodes]
one = "https://127.0.0.1:8200"
[vault.secrets.ngc]
path = "secret/ngc"
"""


def config(text: str = LOCAL) -> Config:
    return parse(text, "test")


def written(folder: Path, name: str, tasks: str, **more: str) -> Book:
    """A playbook with a head, and its undo and check where given."""
    head = f"# A {name}\n# on: all\n#\n# For a test.\n"
    play = "- hosts: all\n  become: true\n  gather_facts: false\n  tasks:\n"
    (folder / f"{name}.yml").write_text(head + play + tasks)
    for kind, body in more.items():
        (folder / f"{name}.{kind}.yml").write_text(play + body)
    return books([folder])[name]


def put(path: Path, content: str = "hello\\n") -> str:
    return f"""\
    - name: Put it there
      copy: {{content: "{content}", dest: {path}, mode: "0600"}}
"""


STOP = "    - name: Stop\n      fail: {msg: not here}\n"


def gone(path: Path) -> str:
    return f"""\
    - name: Take it away
      file: {{path: {path}, state: absent}}
"""


async def play(
    book: Path, settings: Config, *hosts: str, check: bool = False, **more: Any
) -> tuple[Report, list[Event]]:
    seen: list[Event] = []
    async with runs.prepared(settings, book, hosts or ("here",), check=check, **more) as ready:
        assert ready.folder.stat().st_mode & 0o777 == 0o700
        report = await runs.run(ready, seen.append)
    assert not ready.folder.exists()
    return report, seen


# The catalogue


def test_every_playbook_of_ours_has_a_head_an_undo_and_a_check() -> None:
    found = books([INSTALL])
    assert set(found) == {"vault-agent"}
    for one in found.values():
        assert one.title and one.words
        assert one.undo is not None and one.verify is not None


@pytest.mark.parametrize("path", sorted(INSTALL.glob("*.yml")), ids=lambda p: p.name)
def test_plain_ansible_playbook_accepts_it(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "--syntax-check",
         str(path)],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_file_without_a_head_is_no_playbook(tmp_path: Path) -> None:
    (tmp_path / "tasks.yml").write_text("- hosts: all\n")
    (tmp_path / "Odd Name.yml").write_text("# A title\n# on: all\n")
    (tmp_path / "latin.yml").write_bytes(b"# caf\xe9\n# on: all\n")
    (tmp_path / "folder.yml").mkdir()
    assert set(books([tmp_path, tmp_path / "none"])) == {"latin"}
    with pytest.raises(PlayError, match="no playbook 'x'"):
        book("x")


def test_where_it_runs(tmp_path: Path) -> None:
    agent = book("vault-agent")
    assert targets(agent, config(LOCAL + AGENTS)) == ["here"]
    with pytest.raises(PlayError, match="no node is named in"):
        targets(agent, config())
    with pytest.raises(PlayError, match="does not run on 'elsewhere'"):
        targets(agent, config(LOCAL + AGENTS), ["elsewhere"])


# The inventory


def test_an_ssh_node_is_reached_as_labtui_reaches_it() -> None:
    text = """
[nodes.far]
address = "10.0.0.7"
user = "ops"
port = 2222
identity_file = "/keys/id"
known_hosts = "/keys/known hosts"
proxy_jump = "gate"
"""
    host = inventory(config(text), ["far"], {})["all"]["hosts"]["far"]
    assert (host["ansible_host"], host["ansible_port"], host["ansible_user"]) == (
        "10.0.0.7", 2222, "ops",
    )  # fmt: skip
    common = host["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=yes" in common
    assert "'UserKnownHostsFile=\"/keys/known hosts\"'" in common
    assert "-J gate" in common
    assert "ansible_become" not in host


def test_what_cannot_be_played_is_refused_in_words() -> None:
    pods = '[nodes.pod]\ntransport = "kubectl"\nselector = "a=b"\n'
    with pytest.raises(PlayError, match="reached by kubectl"):
        inventory(config(pods), ["pod"], {})
    with pytest.raises(PlayError, match="no node 'x'"):
        inventory(config(), ["x"], {})
    with pytest.raises(PlayError, match="braces are not for playbooks"):
        inventory(config(), ["here"], {"a": [{"b": "{{ lookup('pipe', 'id') }}"}]})


def test_variables_hold_no_secret_and_name_each_file() -> None:
    told = variables(config(LOCAL + AGENTS))
    assert told["vault_secrets"] == [
        {"name": "ngc", "path": "secret/ngc", "field": "api_key", "file": "/run/secrets/ngc",
         "env": [], "registry": ""},
    ]  # fmt: skip
    assert told["vault_addresses"] == ["https://127.0.0.1:8200"]


# Events


@pytest.mark.parametrize(
    "line",
    [
        b"", b"PLAY [x]", b"{", b"[]", b'{"event": "bomb"}', b'{"event": "result"}',
        b'{"event": "result", "status": 7}', b'{"event": "begin", "pid": 1}',
        b'{"event": "begin", "pid": "x"}', b"{" * 5000, b'{"a": "' + b"x" * (1 << 18) + b'"}',
        b"\xff\xfe{", b"{\x00}",
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_event_is_none(line: bytes) -> None:
    assert event_of(line) is None


def test_outside_text_in_an_event_is_inert() -> None:
    told = {"event": "result", "status": "changed", "host": EVIL, "task": EVIL, "message": EVIL,
            "diff": f"--- a\n+++ b\n+{EVIL}\n"}  # fmt: skip
    found = event_of(json.dumps(told).encode())
    assert isinstance(found, Result)
    for text in (found.host, found.task, found.message, *found.diff):
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
    report = Report()
    report.take(found)
    assert "\x1b" not in "\n".join([*diff_lines(report), report.left()])


# Running


async def test_a_preview_tells_the_difference_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    one = written(tmp_path, "one", put(target))
    report, seen = await play(one.path, config(), check=True)
    assert report.good and report.changes == 1
    assert not target.exists()
    assert "+hello" in report.hosts["here"].changed[0].diff
    assert isinstance(seen[0], Began) and isinstance(seen[-1], Ended)
    assert [e.name for e in seen if isinstance(e, TaskBegan)] == ["Put it there"]


async def test_applied_it_changes_once(tmp_path: Path) -> None:
    target = tmp_path / "target"
    one = written(tmp_path, "one", put(target))
    report, _ = await play(one.path, config())
    assert report.good and report.changes == 1 and target.read_text() == "hello\n"
    report, _ = await play(one.path, config())
    assert report.good and report.changes == 0


async def test_a_failure_and_a_dead_machine_cost_only_themselves(tmp_path: Path) -> None:
    text = LOCAL + '[nodes.dead]\naddress = "127.0.0.1"\nport = 1\n'
    one = written(tmp_path, "one", put(tmp_path / "t") + STOP)
    report, _ = await play(one.path, config(text), "here", "dead")
    assert report.ended and not report.good
    dead, here = report.hosts["dead"], report.hosts["here"]
    assert dead.state == "unreachable" and "refused" in (dead.failed.message if dead.failed else "")
    assert here.state == "failed" and here.failed and here.failed.message == "not here"
    assert len(here.changed) == 1


async def test_hostile_output_and_a_flood_are_borne(tmp_path: Path) -> None:
    (tmp_path / "flood.sh").write_text(
        "head -c 3000000 /dev/zero | tr '\\0' x\n"
        'printf \'\\033[31m\\n{"event": "end"}\\n\' | tee /dev/stderr; exit 3\n'
    )
    one = written(tmp_path, "one", f"    - name: Flood\n      command: sh {tmp_path}/flood.sh\n")
    report, _ = await play(one.path, config())
    failed = report.hosts["here"].failed
    assert failed is not None and len(failed.message) <= 2000
    assert "\x1b" not in failed.message


async def test_nothing_of_a_no_log_task_is_told(tmp_path: Path) -> None:
    hidden = """\
    - name: Hidden
      command: {argv: [sh, -c, "cat; cat >&2; exit 3"], stdin: "{{ handed.token }}"}
      no_log: true
"""
    one = written(tmp_path, "one", hidden)
    text = one.path.read_text().replace(
        "  tasks:",
        "  vars:\n    handed: \"{{ lookup('labtui_handed', labtui_handed_fd) }}\"\n  tasks:",
    )
    one.path.write_text(text)
    handed = os.memfd_create("handed")
    os.write(handed, b'{"token": "hvs.single-use"}')
    report, seen = await play(one.path, config(), handed=handed)
    os.close(handed)
    failed = report.hosts["here"].failed
    assert failed is not None and failed.hidden and not failed.message
    assert "hvs.single-use" not in repr(seen) + report.said


async def test_for_which_machine_a_program_is_comes_from_its_header(tmp_path: Path) -> None:
    names = {"one": 62, "two": 183, "three": 243}
    for name, number in names.items():
        head = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little")
        (tmp_path / name).write_bytes(head + number.to_bytes(2, "little"))
    (tmp_path / "four").write_text("#!/bin/sh\necho vault\n")
    words = [f"{{{{ lookup('labtui_elf', '{tmp_path}/{n}') }}}}" for n in (*names, "four")]
    tell = f'    - name: Tell\n      fail: {{msg: "{"; ".join(words)}"}}\n'
    report, _ = await play(written(tmp_path, "elf", tell).path, config())
    failed = report.hosts["here"].failed
    assert failed is not None
    assert failed.message == "amd64; arm64; another machine (243); no ELF program"


async def test_settings_and_tokens_of_the_caller_do_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VAULT_TOKEN", "ANSIBLE_LOG_PATH", "ANSIBLE_KEEP_REMOTE_FILES", "HTTPS_PROXY"):
        monkeypatch.setenv(name, str(tmp_path / "leak"))
    out = tmp_path / "out"
    one = written(tmp_path, "one", f"    - shell: env > {out}\n")
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nlog_path = {tmp_path}/leak\n")
    monkeypatch.chdir(tmp_path)
    report, _ = await play(one.path, config())
    assert report.good
    assert "leak" not in out.read_text()
    assert not (tmp_path / "leak").exists()


async def test_broken_off_it_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "memory"  # where other tests have none of theirs
    own.mkdir()
    monkeypatch.setattr(folders, "memory", lambda: str(own))
    mark = f"4{os.getpid()}.25"
    tasks = put(tmp_path / "t") + f"    - name: Wait long\n      command: sleep {mark}\n"
    one = written(tmp_path, "one", tasks)
    action = PlayAction(config(), one, ["here"])
    told: list[str] = []
    task = asyncio.create_task(action.run(told.append))
    deadline = time.monotonic() + 30
    while not _running(mark):
        assert time.monotonic() < deadline and not task.done()
        await asyncio.sleep(0.05)
    assert len(list(own.iterdir())) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _running(mark)
    assert "stopped in 'Wait long'" in told[-1] and "here 1" in told[-1]
    assert "Wait long" in action.interrupted()
    assert list(own.iterdir()) == []


async def test_killed_from_outside_it_leaves_no_worker(tmp_path: Path) -> None:
    """Its workers have sessions of their own, and only a living parent ends them."""
    mark = f"4{os.getpid()}.75"
    one = written(tmp_path, "one", f"    - name: Wait long\n      command: sleep {mark}\n")
    action = PlayAction(config(), one, ["here"])
    task = asyncio.create_task(action.run(lambda line: None))
    deadline = time.monotonic() + 30
    while not _running(mark):
        assert time.monotonic() < deadline and not task.done()
        await asyncio.sleep(0.05)
    os.kill(min(_processes(str(one.path))), signal.SIGKILL)
    with pytest.raises(ActionError, match="was killed by signal 9"):
        await task
    assert not _running(mark)


PLAYS = """
import asyncio, pathlib, sys
from labtui.plays import folder, run
from test_plays import config

folder.memory = lambda: sys.argv[2]

async def main():
    async with run.prepared(config(), pathlib.Path(sys.argv[1]), ["here"]) as ready:
        await run.run(ready)

asyncio.run(main())
"""


def test_what_a_killed_labtui_leaves_the_next_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "memory"
    own.mkdir()
    monkeypatch.setattr(folders, "memory", lambda: str(own))

    async def folders_of_another() -> int:
        async with folders.folder():
            return len(list(own.iterdir()))

    mark = f"4{os.getpid()}.5"
    one = written(tmp_path, "one", f"    - name: Wait long\n      command: sleep {mark}\n")
    paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    argv = [sys.executable, "-c", PLAYS, str(one.path), str(own)]
    with subprocess.Popen(argv, env=os.environ | paths) as process:
        _until(lambda: _running(mark))
        assert asyncio.run(folders_of_another()) == 2 and _running(mark), "it lives"
        process.kill()
    _until(lambda: not _running(mark))
    (left,) = own.iterdir()
    stray = ["sleep", f"{mark}1"]  # as ssh's masters are
    env = {"ANSIBLE_LOCAL_TEMP": str(left / "tmp")}
    with subprocess.Popen(stray, env=os.environ | env) as stray_process:
        assert asyncio.run(folders_of_another()) == 1
        assert stray_process.wait(5) == -signal.SIGKILL


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_out_of_time_it_is_ended(tmp_path: Path) -> None:
    one = written(tmp_path, "one", "    - name: Wait\n      command: sleep 300\n")
    report, _ = await play(one.path, config(), timeout=4.0)
    assert not report.ended
    assert report.said == "not done within 4 s"
    assert "nothing was changed" in report.left()


async def test_connections_that_hang_hold_up_neither_the_console_nor_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nexec sleep 30\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    turns: list[float] = []

    async def count() -> None:
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0.02)

    one = written(tmp_path, "one", put(tmp_path / "t"))
    async with runs.prepared(config(), one.path, ["here"]) as ready:
        for name in "abc":
            (ready.folder / "cp" / name).touch()
        began = time.monotonic()
        counter = asyncio.create_task(count())
    took = time.monotonic() - began
    counter.cancel()
    assert not ready.folder.exists()
    assert took < folders.CLOSING + 1.5
    assert max(b - a for a, b in itertools.pairwise(turns)) < 0.5
    assert len(turns) > 20


def _running(word: str) -> bool:
    return bool(_processes(word))


def _processes(word: str) -> list[int]:
    """The processes that have this argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if SSHD is None:
        pytest.skip("no sshd here: apt install openssh-server")
    server = Sshd(tmp_path)
    server.start()
    yield server
    server.kill()


def _of(server: Sshd) -> Config:
    node = server.node()
    lines = [
        f"{key} = {json.dumps(getattr(node, key))}"
        for key in ("address", "port", "user", "identity_file", "known_hosts", "ssh_config")
    ]
    return config("[nodes.far]\n" + "\n".join(lines) + "\n")


async def test_over_ssh_nothing_lies_in_a_file(sshd: Sshd, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    look = (
        "    - name: Look\n      shell: {cmd: \"cat; grep -rls pipelined-word $HOME /tmp/ansible* "
        f"2>/dev/null | grep -v one.yml > {seen}; true\", stdin: pipelined-word}}\n"
    )  # fmt: skip
    one = written(tmp_path, "one", look)
    report, _ = await play(one.path, _of(sshd), "far")
    if report.failures and "sudo" in str(report.failures[0].failed):
        pytest.skip("no sudo here, and not root")
    assert report.good, report.failures
    assert seen.read_text() == ""
    deadline = time.monotonic() + 5
    while "Disconnected from user" not in sshd.log() and "disconnected" not in sshd.log():
        assert time.monotonic() < deadline, "ssh's master was left open"
        await asyncio.sleep(0.05)


async def test_a_key_that_changed_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = sshd.known_hosts.read_text().split()
    (tmp_path / "id.pub").read_text()
    sshd.known_hosts.write_text(f"{other[0]} {(tmp_path / 'id.pub').read_text()}")
    one = written(tmp_path, "one", put(tmp_path / "t"))
    report, _ = await play(one.path, _of(sshd), "far")
    assert report.hosts["far"].state == "unreachable"
    assert not (tmp_path / "t").exists()


# As an action


async def test_an_action_previews_applies_checks_and_undoes(tmp_path: Path) -> None:
    target = tmp_path / "target"
    check = f"    - name: It is there\n      command: test -e {target}\n"
    one = written(tmp_path, "one", put(target), undo=gone(target), verify=check)
    audit: list[AuditLine] = []
    runner = Runner(audit.append, cluster="t")
    told: list[str] = []

    action = PlayAction(config(), one, ["here"])
    plan = await runner.plan(action)
    assert "+hello" in plan.preview and "1 changes: Put it there" in plan.steps[1].what
    assert not target.exists()
    outcome = await runner.perform(action, plan, told.append)
    assert outcome.ok and target.exists(), outcome
    assert "in place and checked on here: 1 changes" in outcome.message
    assert told == ["Put it there"]

    again = PlayAction(config(), one, ["here"])
    outcome = await runner.perform(again, await runner.plan(again), told.append)
    assert outcome.ok and "nothing had to be changed" in outcome.message

    undo = PlayAction(config(), one, ["here"], undo=True)
    plan = await runner.plan(undo)
    assert plan.dangerous and plan.confirm_word == "one"
    outcome = await runner.perform(undo, plan, told.append)
    assert outcome.ok and not target.exists()
    assert [(line.action, line.outcome) for line in audit] == [
        ("play.apply", "done"), ("play.apply", "done"), ("play.undo", "done"),
    ]  # fmt: skip
    with pytest.raises(ActionError, match="read-only"):
        await Runner(audit.append, cluster="t", read_only=True).plan(undo)


async def test_what_does_not_work_is_failed_though_ansible_is_content(tmp_path: Path) -> None:
    one = written(tmp_path, "one", put(tmp_path / "t"),
                  verify="    - name: It works\n      command: test -e /nowhere\n")  # fmt: skip
    runner = Runner(lambda line: None, cluster="t")
    action = PlayAction(config(), one, ["here"])
    outcome = await runner.perform(action, await runner.plan(action), lambda line: None)
    assert outcome.kind == "failed" and "It works" in outcome.message

    restless = written(tmp_path, "two", "    - name: Again\n      command: 'true'\n"
                       "      check_mode: false\n")  # fmt: skip
    action = PlayAction(config(), restless, ["here"])
    outcome = await runner.perform(action, await runner.plan(action), lambda line: None)
    assert outcome.kind == "failed" and "a second look would change Again" in outcome.message


async def test_where_nobody_can_be_reached_there_is_no_plan(tmp_path: Path) -> None:
    text = '[nodes.dead]\naddress = "127.0.0.1"\nport = 1\n'
    one = written(tmp_path, "one", put(tmp_path / "t"))
    with pytest.raises(ActionError, match="on none of them: dead is unreachable") as told:
        await Runner(lambda line: None, cluster="t").plan(PlayAction(config(text), one, ["dead"]))
    assert told.value.kind == "unreachable"
    with pytest.raises(ActionError, match="has no undo"):
        PlayAction(config(text), one, ["dead"], undo=True)
    broken = tmp_path / "broken.yml"
    broken.write_text("# B\n# on: all\n- hosts: [\n")
    with pytest.raises(ActionError, match="no preview"):
        await PlayAction(config(), books([tmp_path])["broken"], ["here"]).plan()
