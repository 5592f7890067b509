"""The ssh transport against a real sshd on loopback, with host keys of its own."""

# ruff: noqa: ASYNC240 - these files are on this machine
from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from labtui.config import NodeConfig
from labtui.hosts.base import HostError, UnknownHostKey
from labtui.hosts.ssh import SshHost

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/sbin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd here: apt install openssh-server")

HOSTILE = [
    "$(touch /tmp/labtui-pwned)",
    "`id`",
    "a b  c",
    "it's",
    'say "x"',
    "two\nlines",
    "back\\slash",
    "*",
    "~root",
    "$HOME",
    "; reboot",
    "ünï→𝔘",
    "",
    "-n",
    "!!",
    "#",
    "\t",
]


class Sshd:
    """A real sshd on a free port of loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.key = folder / "id"
        self.known_hosts = folder / "known_hosts"
        keygen(self.key)
        keygen(folder / "hostkey")
        (folder / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/hostkey\n"
            f"PidFile {folder}/pid\nAuthorizedKeysFile {folder}/authorized_keys\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "StrictModes no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n"
            # bash reads ~/.bashrc under sshd: the tester's own may hang, and be killed at it.
            f"SetEnv HOME={folder}\n"
        )
        self.trust()

    def trust(self) -> None:
        public = (self.folder / "hostkey.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        argv = [str(SSHD), "-D", "-f", f"{self.folder}/sshd_config", "-E", f"{self.folder}/log"]
        self.process = subprocess.Popen(argv, start_new_session=True)
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """The listener and every connection: what a machine that dies does."""
        if self.process is not None:
            for child in reversed(children(self.process.pid)):  # sshd before what it runs
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def node(self, **changes: object) -> NodeConfig:
        fields: dict[str, object] = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "identity_file": str(self.key),
            "known_hosts": str(self.known_hosts),
            "ssh_config": "/dev/null",
        }
        return NodeConfig(**(fields | changes))  # type: ignore[arg-type]


def keygen(path: Path, kind: str = "ed25519") -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)


def children(pid: int) -> list[int]:
    """All descendants."""
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    direct = [int(p) for p in out.split()]
    return [p for d in direct for p in (*children(d), d)]


def fingerprint(public: Path) -> str:
    out = subprocess.run(["ssh-keygen", "-lf", str(public)], capture_output=True, text=True)
    return out.stdout.split()[1]


def running(marker: str) -> bool:
    return subprocess.run(["pgrep", "-f", marker], capture_output=True).returncode == 0


def how_many(marker: str) -> int:
    out = subprocess.run(["pgrep", "-fc", f"^sleep {marker}"], capture_output=True).stdout
    return int(out)


def end(marker: str) -> None:
    subprocess.run(["pkill", "-f", f"^{marker}$"])


async def gone(marker: str) -> bool:
    for _ in range(60):
        if not running(marker):
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path)
    server.start()
    yield server
    server.kill()


Make = Callable[..., SshHost]


@pytest.fixture
async def make(sshd: Sshd) -> AsyncIterator[Make]:
    made: list[SshHost] = []

    def build(node: NodeConfig | None = None, **options: float) -> SshHost:
        made.append(SshHost("here", node or sshd.node(), **options))
        return made[-1]

    yield build
    for host in made:
        await host.close()


async def test_a_command_runs_and_tells_its_end(make: Make) -> None:
    host = make()
    done = await host.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=5)
    assert (done.rc, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert 0 < done.took < 5
    killed = await host.run(["sh", "-c", "kill -TERM $$"], timeout=5)
    assert killed.rc == 128 + signal.SIGTERM


async def test_hostile_arguments_arrive_as_they_are(make: Make) -> None:
    done = await make().run(["printf", "%s\\0", *HOSTILE], timeout=5)
    assert done.stdout.split("\0")[:-1] == HOSTILE
    assert not Path("/tmp/labtui-pwned").exists()


async def test_stdin_is_given_or_closed(make: Make) -> None:
    host = make()
    text = "ünï\n" * 100_000
    assert (await host.run(["cat"], stdin=text, timeout=10)).stdout == text
    assert (await host.run(["cat"], timeout=5)).stdout == ""
    unread = await host.run(["true"], stdin=b"x" * 5_000_000, timeout=10)
    assert unread.rc == 0


async def test_output_that_is_not_text_is_replaced(make: Make) -> None:
    done = await make().run(["printf", "a\\377b"], timeout=5)
    assert done.stdout == "a\N{REPLACEMENT CHARACTER}b"


async def test_too_much_output_is_an_error(make: Make) -> None:
    host = make()
    with pytest.raises(HostError, match="more than 64 MiB") as caught:
        await host.run(["head", "-c", str(70 << 20), "/dev/zero"], timeout=60)
    assert caught.value.kind == "protocol"
    assert (await host.run(["echo", "still here"], timeout=5)).rc == 0


async def test_a_timeout_kills_the_remote_process(make: Make) -> None:
    host = make()
    with pytest.raises(HostError) as caught:
        await host.run(["sleep", "7171.25"], timeout=0.6)
    assert caught.value.kind == "timeout"
    assert await gone("sleep 7171.25")
    assert (await host.run(["echo", "again"], timeout=5)).stdout == "again\n"


async def test_a_cancelled_call_kills_the_remote_process(make: Make) -> None:
    host = make()
    await host.run(["true"], timeout=5)
    task = asyncio.create_task(host.run(["sleep", "7272.25"], timeout=60))
    while not running("sleep 7272.25"):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone("sleep 7272.25")


async def test_a_channel_opened_after_its_caller_left_is_given_back(make: Make) -> None:
    host = make()
    await host.run(["true"], timeout=5)
    for _ in range(30):  # three times what sshd allows to be open at once
        task = asyncio.create_task(host.run(["sleep", "7373.25"], timeout=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await host.run(["echo", "free"], timeout=5)).stdout == "free\n"
    assert await gone("sleep 7373.25")


async def test_a_stream_yields_lines_and_closing_kills(make: Make) -> None:
    host = make()
    script = "for i in 1 2 3; do echo line $i; done; exec sleep 7474.25"
    lines = host.stream(["sh", "-c", script])
    got = [await anext(lines) for _ in range(3)]
    assert got == ["line 1", "line 2", "line 3"]
    assert running("sleep 7474.25")
    await lines.aclose()  # type: ignore[attr-defined]
    assert await gone("sleep 7474.25")


async def test_a_stream_ends_with_its_command(make: Make) -> None:
    host = make()
    assert [x async for x in host.stream(["printf", "a\\r\\nb\\n\\nno end"])] == [
        "a", "b", "", "no end",
    ]  # fmt: skip
    with pytest.raises(HostError, match="No such file") as caught:
        [x async for x in host.stream(["tail", "-f", "/no/such/file"])]
    assert caught.value.kind == "not-found"


async def test_files_go_and_come(make: Make, tmp_path: Path) -> None:
    host = make()
    path = tmp_path / "a 'file' $(x)"
    data = bytes(range(256)) * 1000
    await host.put(data, str(path), mode=0o640)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o640
    assert await host.get(str(path)) == data
    with pytest.raises(HostError) as caught:
        await host.get(str(path), limit=10)
    assert caught.value.kind == "protocol"
    for do in (host.get(f"{tmp_path}/none"), host.put(b"", f"{tmp_path}/none/none")):
        with pytest.raises(HostError) as caught:
            await do
        assert caught.value.kind == "not-found"
    assert sorted(p.name for p in tmp_path.iterdir() if "file" in p.name) == [path.name]


async def test_twenty_calls_share_one_connection_and_eight_channels(make: Make, sshd: Sshd) -> None:
    host = make()
    marker = "7575.25"
    counts: list[int] = []

    async def watch() -> None:
        while True:
            counts.append(how_many(marker))
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    calls = [host.run(["sh", "-c", f"timeout 0.4 sleep {marker}; echo {i}"], timeout=20)
             for i in range(20)]  # fmt: skip
    results = await asyncio.gather(*calls)
    watcher.cancel()
    assert [r.stdout.strip() for r in results] == [str(i) for i in range(20)]
    assert 1 <= max(counts) <= 8
    assert sshd.log().count("Accepted publickey") == 1


async def test_a_session_that_sshd_has_no_room_for_yet_is_tried_again(
    make: Make, sshd: Sshd
) -> None:
    sshd.kill()
    with (sshd.folder / "sshd_config").open("a") as config:
        config.write("MaxSessions 6\n")
    sshd.start()
    host = make()
    calls = [host.run(["sh", "-c", f"sleep 0.1; echo {i}"], timeout=20) for i in range(16)]
    results = await asyncio.gather(*calls)
    assert [r.stdout.strip() for r in results] == [str(i) for i in range(16)]


async def test_an_unknown_key_is_shown_and_nothing_is_sent(make: Make, sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    host = make()
    with pytest.raises(UnknownHostKey) as caught:
        await host.run(["true"], timeout=5)
    error = caught.value
    assert error.fingerprint == fingerprint(sshd.folder / "hostkey.pub")
    assert error.fingerprint.startswith("SHA256:") and error.fingerprint in error.message
    assert not error.changed and error.kind == "host-key"
    assert "Accepted" not in sshd.log() and "userauth" not in sshd.log()
    with pytest.raises(UnknownHostKey):  # while it backs off, too
        await host.run(["true"], timeout=5)
    host.trust(error)
    assert (await host.run(["echo", "in"], timeout=5)).stdout == "in\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
async def test_a_changed_key_is_refused(make: Make, sshd: Sshd, kind: str) -> None:
    keygen(sshd.folder / "other", kind)
    public = (sshd.folder / "other.pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {public}")
    host = make()
    with pytest.raises(UnknownHostKey, match="changed") as caught:
        await host.run(["true"], timeout=5)
    assert caught.value.changed
    assert "Accepted" not in sshd.log()
    with pytest.raises(HostError, match="remove the old one"):
        host.trust(caught.value)
    assert sshd.known_hosts.read_text().count("\n") == 1


async def test_a_missing_known_hosts_file_trusts_nobody(make: Make, sshd: Sshd) -> None:
    with pytest.raises(UnknownHostKey):
        await make(sshd.node(known_hosts=f"{sshd.folder}/none")).run(["true"], timeout=5)


async def test_ssh_config_cannot_turn_the_check_off(make: Make, sshd: Sshd) -> None:
    config = sshd.folder / "config"
    config.write_text("Host *\n  UserKnownHostsFile none\n  StrictHostKeyChecking no\n")
    with pytest.raises(HostError, match="host key") as caught:
        await make(sshd.node(known_hosts="", ssh_config=str(config))).run(["true"], timeout=5)
    assert caught.value.kind == "host-key"
    assert "Accepted" not in sshd.log()


async def test_ssh_config_is_honoured(make: Make, sshd: Sshd) -> None:
    config = sshd.folder / "config"
    config.write_text(
        f"Host gpu\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n  RemoteCommand echo hijacked\n"
    )
    host = make(NodeConfig(address="gpu", ssh_config=str(config)))
    assert (await host.run(["echo", "via config"], timeout=5)).stdout == "via config\n"


@pytest.mark.parametrize("by", ["labtui", "ssh_config"])
async def test_a_jump_host_is_checked_and_used(make: Make, sshd: Sshd, by: str) -> None:
    user = getpass.getuser()
    config = sshd.folder / "config"
    config.write_text(f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n")
    jump = f"{user}@127.0.0.1:{sshd.port}"
    if by == "ssh_config":
        config.write_text(config.read_text() + f"  ProxyJump {jump}\n")
        jump = ""
    node = sshd.node(address="inner", port=22, proxy_jump=jump, ssh_config=str(config))
    host = make(node)
    assert (await host.run(["echo", "inside"], timeout=5)).stdout == "inside\n"
    assert sshd.log().count("Accepted publickey") == 2
    await host.close()
    keygen(sshd.folder / "other")
    public = (sshd.folder / "other.pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {public}")
    with pytest.raises(UnknownHostKey, match="changed"):
        await make(node).run(["true"], timeout=5)


async def test_refused_and_login_denied_are_told_apart(make: Make, sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HostError) as caught:
        await make(sshd.node(port=port)).run(["true"], timeout=5)
    assert caught.value.kind == "refused"
    keygen(sshd.folder / "stranger")
    stranger = sshd.node(identity_file=f"{sshd.folder}/stranger")
    with pytest.raises(HostError) as caught:
        await make(stranger).run(["true"], timeout=5)
    assert caught.value.kind == "auth"
    with pytest.raises(HostError, match="no such file") as caught:
        await make(sshd.node(identity_file="/no/key")).run(["true"], timeout=5)
    assert caught.value.kind == "auth"


async def test_a_silent_machine_is_a_timeout_and_backs_off(make: Make, sshd: Sshd) -> None:
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    port = silent.getsockname()[1]
    fill = []
    for _ in range(4):  # a full backlog: the next SYN is dropped
        s = socket.socket()
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.connect(("127.0.0.1", port))
        fill.append(s)
    host = make(sshd.node(port=port), connect_timeout=0.3)
    with pytest.raises(HostError) as caught:
        await host.run(["true"], timeout=3)
    assert (caught.value.kind, caught.value.message) == ("timeout", "ssh: timeout after 0.3 s")
    began = time.monotonic()
    with pytest.raises(HostError, match=r"ssh: timeout after 0.3 s, next in \d+ s"):
        await host.run(["true"], timeout=3)
    assert time.monotonic() - began < 0.1
    host.retry()
    with pytest.raises(HostError, match=r"timeout after 0\.3 s"):
        await host.run(["true"], timeout=3)
    with pytest.raises(HostError, match=r"timeout after 0.3 s, 2 tries, next in \d s"):
        await host.run(["true"], timeout=3)
    for s in (*fill, silent):
        s.close()


async def test_what_is_not_ssh_is_said(make: Make, sshd: Sshd) -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n" * 2000)
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(HostError) as caught:
        await make(sshd.node(port=port)).run(["true"], timeout=5)
    assert caught.value.kind in ("protocol", "unreachable")
    server.close()


async def test_a_killed_server_is_an_error_and_comes_back(make: Make, sshd: Sshd) -> None:
    host = make(backoff_max=0.5)
    await host.run(["true"], timeout=5)
    waiting = asyncio.create_task(host.run(["sleep", "7676.25"], timeout=20))
    while not running("sleep 7676.25"):
        await asyncio.sleep(0.02)
    sshd.kill()
    with pytest.raises(HostError) as caught:
        await waiting
    assert caught.value.kind == "unreachable"
    end(r"sleep 7676\.25")  # its sshd was killed before it could
    with pytest.raises(HostError) as caught:
        await host.run(["true"], timeout=5)
    assert caught.value.kind == "refused"
    sshd.start()
    began = time.monotonic()
    while True:
        with contextlib.suppress(HostError):
            done = await host.run(["echo", "back"], timeout=5)
            break
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.1)
    assert done.stdout == "back\n"
    assert host.tries == 0


async def test_a_hung_server_is_noticed_by_keepalive(make: Make, sshd: Sshd) -> None:
    host = make(backoff_max=0.5)
    await host.run(["true"], timeout=5)
    assert sshd.process is not None
    stopped = [*children(sshd.process.pid), sshd.process.pid]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match=r"no answer within 0\.5 s"):
            await host.run(["true"], timeout=0.5)
        with pytest.raises(HostError) as caught:
            await host.run(["true"], timeout=15)
        assert caught.value.kind in ("unreachable", "timeout")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    host.retry()
    assert (await host.run(["echo", "woken"], timeout=15)).stdout == "woken\n"


def test_the_shell_command_reaches_the_same_machine(sshd: Sshd) -> None:
    argv = SshHost("here", sshd.node()).shell_argv()
    assert argv[0] == "ssh"
    argv.remove("-t")
    done = subprocess.run(
        [*argv, "echo", "shell"], capture_output=True, text=True, timeout=10,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout == "shell\n", done.stderr


async def test_closing_while_connecting_leaves_nothing(make: Make, sshd: Sshd) -> None:
    host = make()
    task = asyncio.create_task(host.run(["true"], timeout=5))
    await asyncio.sleep(0.05)
    await host.close()
    with contextlib.suppress(HostError, asyncio.CancelledError):
        await task
    assert not [t for t in asyncio.all_tasks() if t.get_name() == "ssh here"]
