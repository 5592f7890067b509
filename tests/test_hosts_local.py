"""Commands on this machine, pods by a stand-in kubectl, the lab's namespace, Config -> hosts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labtui.config import Config, LabRef, NodeConfig
from labtui.hosts.base import HostError
from labtui.hosts.command import as_user, read_lines
from labtui.hosts.connect import connect
from labtui.hosts.kubectl import KubectlHost
from labtui.hosts.local import LocalHost
from labtui.hosts.namespace import NamespaceError, enter, inside
from labtui.hosts.ssh import SshHost
from test_hosts_ssh import HOSTILE, gone, running

here = LocalHost("here")


async def test_a_command_runs_with_its_arguments_as_they_are() -> None:
    done = await here.run(["printf", "%s\\0", *HOSTILE], timeout=5)
    assert done.stdout.split("\0")[:-1] == HOSTILE
    assert (done.rc, done.argv[0], done.stderr) == (0, "printf", "")


async def test_how_it_ended_is_told() -> None:
    assert (await here.run(["sh", "-c", "exit 3"], timeout=5)).rc == 3
    assert (await here.run(["sh", "-c", "kill -9 $$"], timeout=5)).rc == 128 + signal.SIGKILL
    assert (await here.run(["/no/such/command"], timeout=5)).rc == 127
    assert (await here.run(["/etc/passwd"], timeout=5)).rc == 126
    with pytest.raises(HostError):
        await here.run(["echo", "a\0b"], timeout=5)


async def test_stdin_is_given_or_closed() -> None:
    text = "ünï\n" * 100_000
    assert (await here.run(["cat"], stdin=text, timeout=5)).stdout == text
    assert (await here.run(["cat"], timeout=5)).stdout == ""
    assert (await here.run(["true"], stdin=b"x" * 5_000_000, timeout=5)).rc == 0


async def test_a_timeout_ends_the_whole_family() -> None:
    began = time.monotonic()
    with pytest.raises(HostError) as caught:
        await here.run(["sh", "-c", "sleep 8181.25 & sleep 8181.25; true"], timeout=0.4)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 2
    assert await gone("sleep 8181.25")


async def test_a_cancelled_call_ends_its_process() -> None:
    task = asyncio.create_task(here.run(["sleep", "8282.25"], timeout=60))
    while not running("sleep 8282.25"):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone("sleep 8282.25")


async def test_too_much_output_is_an_error() -> None:
    with pytest.raises(HostError, match="more than 64 MiB"):
        await here.run(["head", "-c", str(70 << 20), "/dev/zero"], timeout=30)


async def test_a_stream_yields_lines_and_closing_kills() -> None:
    lines = here.stream(["sh", "-c", "echo one; echo two; exec sleep 8383.25"])
    assert [await anext(lines), await anext(lines)] == ["one", "two"]
    await lines.aclose()  # type: ignore[attr-defined]
    assert await gone("sleep 8383.25")
    with pytest.raises(HostError, match="No such file") as caught:
        [x async for x in here.stream(["tail", "-f", "/no/such"])]
    assert caught.value.kind == "not-found"
    with pytest.raises(HostError) as caught:
        [x async for x in here.stream(["/no/such/command"])]
    assert caught.value.kind == "not-found"


async def test_a_line_without_end_comes_in_pieces() -> None:
    async def chunks() -> list[str]:
        data = [b"a\n" + b"x" * 150_000, b"yz", b"\nlast"]
        feed = iter([*data, b""])

        async def read(_: int) -> bytes:
            return next(feed)

        return [line async for line in read_lines(read)]

    lines = await chunks()
    assert lines[0] == "a" and lines[-1] == "last"
    assert "".join(lines[1:-1]) == "x" * 150_000 + "yz"
    assert max(map(len, lines)) <= 1 << 16


async def test_files_go_and_come(tmp_path: Path) -> None:
    path = tmp_path / "-a 'file' $(x)"
    await here.put(b"\0\xff" * 1000, str(path), mode=0o600)
    assert path.read_bytes() == await here.get(str(path)) == b"\0\xff" * 1000
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(HostError, match="larger than 5 bytes"):
        await here.get(str(path), limit=5)
    for path in (tmp_path / "none", tmp_path / "none/none"):
        with pytest.raises(HostError) as caught:
            await here.get(str(path))
        assert caught.value.kind == "not-found"


async def test_another_user_is_reached_by_sudo_that_never_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert as_user(["id"], None) == ["id"]
    assert as_user(["id", "-u"], "ana") == ["sudo", "-n", "-u", "ana", "--", "id", "-u"]
    stand_in(tmp_path, "sudo", "import sys; sys.exit('sudo: a password is required')")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(HostError, match="password is required") as caught:
        await here.run(["id"], timeout=5, user="ana")
    assert caught.value.kind == "permission"


# kubectl


def stand_in(folder: Path, name: str, body: str) -> None:
    """A program on PATH that stands in for the real one."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)


KUBECTL = """
import json, os, subprocess, sys, time
from pathlib import Path
here = Path(__file__).parent
argv = sys.argv[1:]
with (here / "calls").open("a") as log:
    log.write(json.dumps(argv) + "\\n")
if "get" in argv:
    print((here / "pods.json").read_text())
    sys.exit(0)
mode = (here / "mode").read_text()
if mode == "run":
    i = argv.index("--")
    rc = subprocess.run(argv[i + 1 :]).returncode
    if rc:
        print(f"command terminated with exit code {rc}", file=sys.stderr)
    sys.exit(rc)
if mode == "hang":
    time.sleep(8484)
if mode == "gone":
    (here / "pods.json").write_text((here / "pods.json").read_text().replace("agent-1", "agent-2"))
    (here / "mode").write_text("run")
    sys.exit('Error from server (NotFound): pods "agent-1" not found')
sys.exit(mode)
"""


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stand_in(folder, "kubectl", KUBECTL)
        self.pods({"agent-1": True, "agent-0": False})
        self.mode("run")

    def pods(self, ready: dict[str, bool]) -> None:
        items = [
            {"metadata": {"name": n}, "status": {"containerStatuses": [{"ready": r}]}}
            for n, r in ready.items()
        ]
        (self.folder / "pods.json").write_text(json.dumps({"items": items}))

    def mode(self, text: str) -> None:
        (self.folder / "mode").write_text(text)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Cluster(tmp_path)


NODE = NodeConfig(
    transport="kubectl", namespace="ops", selector="app=agent", container="main", chroot=""
)


async def test_kubectl_gets_an_argument_list(cluster: Cluster) -> None:
    host = KubectlHost("pod", NODE)
    done = await host.run(["printf", "%s\\0", *HOSTILE], timeout=5)
    assert done.stdout.split("\0")[:-1] == HOSTILE
    await host.run(["cat"], stdin="given", timeout=5)
    found, first, second = cluster.calls()
    assert found[:2] == ["--request-timeout=5s", "get"]
    assert found[3:7] == ["-n", "ops", "-l", "app=agent"]
    assert first == [
        "--request-timeout=5s", "exec", "-n", "ops", "agent-1", "-c", "main", "--",
        "printf", "%s\\0", *HOSTILE,
    ]  # fmt: skip
    assert second[1:3] == ["exec", "-i"]
    assert host.shell_argv() == [
        "kubectl", "exec", "-i", "-t", "-n", "ops", "agent-1", "-c", "main", "--", "sh",
    ]  # fmt: skip


async def test_the_commands_own_failure_is_its_own(cluster: Cluster) -> None:
    done = await KubectlHost("pod", NODE).run(["sh", "-c", "echo no >&2; exit 3"], timeout=5)
    assert (done.rc, done.stderr) == (3, "no\n")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('Error from server (Forbidden): pods "x" is forbidden', "permission"),
        ("error: You must be logged in to the server (Unauthorized)", "auth"),
        ("The connection to the server 127.0.0.1:6443 was refused - did you", "refused"),
        ("Unable to connect to the server: dial tcp: lookup k8s: no such host", "unreachable"),
        ("Unable to connect to the server: net/http: TLS handshake timeout", "timeout"),
        ('Error from server (NotFound): namespaces "ops" not found', "not-found"),
        ("what?\x1b[2J", "protocol"),
    ],
)
async def test_errors_are_told_apart(cluster: Cluster, said: str, kind: str) -> None:
    cluster.mode(said)
    with pytest.raises(HostError) as caught:
        await KubectlHost("pod", NODE).run(["true"], timeout=5)
    assert caught.value.kind == kind
    assert "\x1b" not in caught.value.message


async def test_a_replaced_pod_is_found_again(cluster: Cluster) -> None:
    host = KubectlHost("pod", NODE)
    await host.run(["true"], timeout=5)
    cluster.mode("gone")
    assert (await host.run(["echo", "moved"], timeout=5)).stdout == "moved\n"
    assert "agent-2" in cluster.calls()[-1]


async def test_no_ready_pod_is_said(cluster: Cluster) -> None:
    cluster.pods({"agent-0": False})
    with pytest.raises(HostError, match="no ready pod with label app=agent in ops"):
        await KubectlHost("pod", NODE).run(["true"], timeout=5)
    (cluster.folder / "pods.json").write_text("garbage")
    with pytest.raises(HostError) as caught:
        await KubectlHost("pod", NODE).run(["true"], timeout=5)
    assert caught.value.kind == "protocol"


async def test_a_kubectl_that_hangs_is_ended(cluster: Cluster) -> None:
    host = KubectlHost("pod", NODE)
    await host.run(["true"], timeout=5)
    cluster.mode("hang")
    with pytest.raises(HostError) as caught:
        await host.run(["true"], timeout=0.5)
    assert caught.value.kind == "timeout"
    assert await gone(str(cluster.folder / "kubectl"))


async def test_a_kubectl_that_is_not_there_is_said() -> None:
    node = NodeConfig(transport="kubectl", selector="a=b", kubectl=("/no/kubectl",))
    with pytest.raises(HostError, match="no such command") as caught:
        await KubectlHost("pod", node).run(["true"], timeout=5)
    assert caught.value.kind == "not-found"


async def test_a_pod_may_show_the_machine_by_chroot(cluster: Cluster) -> None:
    node = NodeConfig(transport="kubectl", selector="a=b", chroot="/host", kubectl=("kubectl",))
    await KubectlHost("pod", node).run(["uptime"], timeout=5)
    assert cluster.calls()[-1][-4:] == ["--", "chroot", "/host", "uptime"]
    lines = KubectlHost("pod", NODE).stream(["printf", "a\\nb\\n"])
    assert [line async for line in lines] == ["a", "b"]


# The lab's namespace


def test_a_lab_that_is_not_up_is_said_and_nothing_changes() -> None:
    own = Path("/proc/self/ns/net").readlink()
    with pytest.raises(NamespaceError, match="the lab is not up: start it with") as caught:
        enter("labtui-no-such-lab")
    assert caught.value.kind == "lab-down"
    for bad in ("../../proc/1/ns/net", "", "a/b", "-x"):
        with pytest.raises(NamespaceError):
            enter(bad)
    assert Path("/proc/self/ns/net").readlink() == own


ENTER = """
import os, socket, sys, threading
from labtui.hosts.namespace import NamespaceError, enter, inside
if "thread" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    enter("labtui-test-ns")
except NamespaceError as error:
    print(error.kind, error)
else:
    enter("labtui-test-ns")
    print(inside("labtui-test-ns"), [name for _, name in socket.if_nameindex()])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes a network namespace")
def test_the_namespace_is_entered_before_any_thread() -> None:
    def run(*argv: str) -> str:
        out = subprocess.run([sys.executable, "-c", ENTER, *argv], capture_output=True, text=True)
        return out.stdout.strip() or out.stderr

    subprocess.run(["ip", "netns", "add", "labtui-test-ns"], check=True)
    try:
        assert run() == "True ['lo']"
        assert "before any thread" in run("thread")
        assert not inside("labtui-test-ns")
    finally:
        subprocess.run(["ip", "netns", "del", "labtui-test-ns"], check=True)
    stale = Path("/run/netns/labtui-test-ns")  # what a crash leaves: a name with nothing behind
    stale.touch()
    try:
        assert run().startswith("lab-down the lab is not up")
    finally:
        stale.unlink()


def test_hosts_are_made_from_the_config_and_only_inside_the_lab() -> None:
    nodes = {
        "a": NodeConfig(address="10.0.0.1"),
        "b": NodeConfig(transport="local"),
        "c": NODE,
    }
    made = connect(Config(nodes=nodes))
    assert [type(h) for h in made.values()] == [SshHost, LocalHost, KubectlHost]
    assert [h.name for h in made.values()] == ["a", "b", "c"]
    with pytest.raises(NamespaceError, match="nothing is sent"):
        connect(Config(nodes=nodes, lab=LabRef(namespace="labtui-no-such-lab")))
