"""Giving shares to a real Vault: what the person is told, what is sent, what the audit has."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from labtui.actions.base import Outcome
from labtui.actions.vault import Doors, unsealed
from labtui.actions.vault.ceremony import Ceremony, Standing
from labtui.actions.vault.giving import Giving
from labtui.actions.vault.unsealing import cannot_unseal
from labtui.cli import main
from labtui.commands.vault.prompt import fitted
from labtui.config import Config, load
from labtui.history import AuditLine
from labtui.hosts.base import HostError
from labtui.keyholder.holder import Keyholder, Typed
from labtui.keyholder.operation import Door
from labtui.model import Agent, VaultNode
from labtui.session import Session
from labtui.sources.agents import AgentReport
from labtui.spec import Tone
from labtui.store import Store
from standin import answer, hang, standing_in
from vaultset import VaultSet, vault_set


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    with vault_set(tmp_path_factory.mktemp("unseal"), unseal=True) as found:
        yield found


@pytest.fixture
def sealed(running: VaultSet) -> VaultSet:
    if not running.client("truenas", "").sys.is_sealed():
        running.wait_active()
        running.seal()
    running.client("truenas", "").sys.submit_unseal_key(reset=True)
    return running


def written(folder: Path, url: str, ca: str, **more: str) -> Path:
    path = folder / "labtui.toml"
    others = "".join(f'{name} = "{where}"\n' for name, where in more.items())
    path.write_text(
        f'[cluster]\nname = "loop"\n[vault]\nca_file = "{ca}"\ntimeout_s = 1.5\n'
        f'[vault.nodes]\ntruenas = "{url}"\n{others}'
    )
    return path


class Pty:
    """A keyboard whose other end the test has; lent for good."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.lent = 0

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[str]:
        self.lent += 1
        try:
            yield os.ttyname(self.theirs)
        finally:
            self.lent -= 1

    def press(self, text: str) -> None:
        os.write(self.ours, text.encode())


class Scripted:
    """A person who does `acts` one after another, whenever a keyholder asks or a key is awaited."""

    def __init__(self, pty: Pty, *acts: Callable[[], str] | str) -> None:
        self._pty, self._acts = pty, list(acts)
        self.said: list[str] = []
        self.standings: list[tuple[int, int]] = []
        self.answers: list[bool] = []
        self._asked = False

    def _act(self) -> None:
        act = self._acts.pop(0)
        text = act() if callable(act) else act
        asyncio.get_running_loop().call_later(0.1, self._pty.press, text)

    def begins(self, ceremony: Ceremony) -> None: ...

    def stands(self, standing: Standing, mine: int) -> None:
        self.standings.append((standing.progress, mine))

    def holds(self, holder: Keyholder | None) -> None:
        self._asked = False

    def typed(self, typed: Typed) -> None:
        if "already" in typed.shape:
            self.said.append(typed.shape)
            self._asked = False
        if not self._asked and typed.count == 0:
            self._asked = True
            self._act()

    def say(self, words: str, tone: Tone = "") -> None:
        self.said.append(words)

    def waits(self, keys: str) -> None:
        self.said.append(keys)
        self._act()

    async def go_on(self, words: str) -> bool:
        self.said.append(words)
        return self.answers.pop(0) if self.answers else False


class Bench:
    """A session without a screen, and everything that it wrote into its audit."""

    def __init__(self, config: Config, timeout: float = 10.0) -> None:
        self.session = Session(config, keep=False)
        self.audit: list[AuditLine] = []
        self.session.runner._audit = self.audit.append  # type: ignore[method-assign]
        self.pty = Pty()
        self.timeout = timeout

    async def give(self, *acts: Callable[[], str] | str) -> tuple[Outcome, Scripted]:
        person = Scripted(self.pty, *acts)
        ceremony = self.session.ceremony("vault.unseal", [VaultNode(node="truenas", address="")])
        assert ceremony is not None
        giving = Giving(ceremony, self.session.runner, self.pty, person)
        async with asyncio.timeout(60):
            outcome = await giving.run()
        assert self.pty.lent == 0
        await self.session.close()
        return outcome, person


@pytest.fixture
def bench(
    sealed: VaultSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bench]:
    def make(url: str = "", timeout: float = 10.0) -> Bench:
        path = written(tmp_path, url or sealed.urls["truenas"], "" if url else sealed.ca)
        door = Doors.door

        def quick(self: Doors, node: str) -> Door:
            found = door(self, node)
            return Door(found.node, found.address, found.ca_file, timeout)

        monkeypatch.setattr(Doors, "door", quick)
        return Bench(load(path), timeout)

    return make


async def test_each_share_is_one_line_of_the_audit_without_it(
    sealed: VaultSet, bench: Callable[..., Bench]
) -> None:
    run = bench()
    outcome, person = await run.give(*(f"{share}\r" for share in sealed.shares[:3]))
    assert outcome == Outcome("done", "truenas is unsealed: active, AppRole is not set up")
    assert [line.action for line in run.audit] == ["vault.share"] * 3 + ["vault.verify"]
    assert [line.message for line in run.audit[:3]] == [
        "1 of 3 shares are in", "2 of 3 shares are in", "share 3 of 3 is in: truenas is unsealed",
    ]  # fmt: skip
    assert not any(share[:8] in repr(run.audit) for share in sealed.shares)
    assert (2, 2) in person.standings


async def test_a_share_twice_is_not_sent(sealed: VaultSet, bench: Callable[..., Bench]) -> None:
    one = f"{sealed.shares[0]}\r"
    outcome, person = await bench().give(one, one, "\x1b")
    assert outcome.kind == "cancelled"
    assert "this share was given already; nothing was sent" in person.said
    assert sealed.client("truenas", "").sys.read_seal_status()["progress"] == 1


async def test_a_reset_by_others_between_two_shares_stops_it(
    sealed: VaultSet, bench: Callable[..., Bench]
) -> None:
    """Nothing goes out without another enter."""

    def second() -> str:
        server = sealed.client("truenas", "").sys
        server.submit_unseal_key(reset=True)
        server.submit_unseal_key(sealed.shares[4])
        return f"{sealed.shares[1]}\r"

    run = bench()
    outcome, person = await run.give(f"{sealed.shares[0]}\r", second, "\x1b")
    assert outcome == Outcome("cancelled", "left; nothing more was sent")
    assert any(s.startswith("the nonce changed from") and "nothing was sent" in s
               for s in person.said)  # fmt: skip
    assert [line.action for line in run.audit] == ["vault.share"]
    assert sealed.client("truenas", "").sys.read_seal_status()["progress"] == 1


class Relay:
    """A stand-in between console and real server, which loses answers."""

    def __init__(self, found: VaultSet, *, arrives: bool) -> None:
        self._url = found.urls["truenas"]
        self._context = ssl.create_default_context(cafile=found.ca)
        self._arrives = arrives
        self.lost = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.request_body  # type: ignore[attr-defined]
        lose = handler.command == "PUT" and not self.lost
        status, said = 200, b""
        if self._arrives or not lose:
            request = urllib.request.Request(
                self._url + handler.path, data=body or None, method=handler.command
            )
            try:
                with urllib.request.urlopen(request, timeout=5, context=self._context) as reply:
                    status, said = reply.status, reply.read()
            except urllib.error.HTTPError as error:
                status, said = error.code, error.read()
        if lose:
            self.lost += 1
            hang(handler)
        answer(status, said)(handler)


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_share_without_an_answer_is_unknown_and_the_state_is_read_again(
    sealed: VaultSet, bench: Callable[..., Bench], arrives: bool
) -> None:
    relay = Relay(sealed, arrives=arrives)
    with standing_in(relay) as there:
        run = bench(there.url, 1.0)
        first = f"{sealed.shares[0]}\r"
        rest = [f"{share}\r" for share in sealed.shares[1 : 3 if arrives else 2]]
        acts = [first, *rest] if arrives else [first, first, *rest, f"{sealed.shares[2]}\r"]
        outcome, _person = await run.give(*acts)
    assert relay.lost == 1
    assert outcome.ok, outcome
    said = run.audit[0]
    if arrives:
        assert said.outcome == "unknown" and "1 of 3 shares are in: it was this one" in said.message
    else:
        assert said.outcome == "failed" and "as before: it did not arrive" in said.message


class Server:
    """A stand-in that has shares; what it says to one more, and what it has then."""

    def __init__(self, progress: int, status: int, words: str, then: int | None) -> None:
        self.progress, self._status, self._words, self._then = progress, status, words, then

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        status, body = 200, {
            "type": "shamir", "sealed": True, "initialized": True, "t": 3, "n": 5,
            "progress": self.progress, "nonce": "abc" if self.progress else "",
        }  # fmt: skip
        if handler.command == "PUT":
            status, body = self._status, {"errors": [self._words]} if self._words else body
            if self._then is None:  # it ends with its answer
                handler.server.socket.close()
            self.progress = self._then or 0
        answer(status, json.dumps(body).encode(), Connection="close")(handler)


@pytest.mark.parametrize(
    ("progress", "status", "words", "then", "outcome", "said"),
    [
        (2, 500, "failed to read keyring: input/output error", 3, "failed",
         "refuses this share: failed to read keyring: input/output error; 3 of 3 shares are in"),
        (2, 500, "failed to read keyring: input/output error", 0, "failed",
         "refuses this share: failed to read keyring: input/output error; 0 of 3 shares are in"),
        (2, 500, "cipher: message authentication failed", 0, "failed",
         "one of the 3 shares was wrong"),
        (2, 400, "'key' must be a valid hex string", 2, "failed",
         "refuses this share: 'key' must be a valid hex string; 2 of 3 shares are in"),
        (2, 503, "no room", 2, "failed", "refuses this share: no room; 2 of 3 shares are in"),
        (2, 502, "", 2, "failed", "2 of 3 shares are in, as before: it did not arrive"),
        (2, 200, "", None, "unknown", "could not be read back"),
        (2, 400, "invalid key", None, "unknown", "could not be read back"),
    ],
)  # fmt: skip
async def test_what_a_server_says_to_a_share_is_told_as_it_is(
    bench: Callable[..., Bench], progress: int, status: int, words: str, then: int | None,
    outcome: str, said: str,
) -> None:  # fmt: skip
    with standing_in(Server(progress, status, words, then)) as there:
        run = bench(there.url, 1.0)
        share = base64.b64encode(os.urandom(33)).decode()
        await run.give(f"{share}\r", "\x1b", "\x1b")
    assert run.audit[0].outcome == outcome and said in run.audit[0].message, run.audit[0]


async def test_a_wrong_set_is_told(sealed: VaultSet, bench: Callable[..., Bench]) -> None:
    wrong = base64.b64encode(os.urandom(32) + b"\x07").decode()
    run = bench()
    await run.give(*(f"{share}\r" for share in (wrong, *sealed.shares[:2])), "\x1b")
    assert run.audit[-1].message.startswith("one of the 3 shares was wrong; which one cannot")


@pytest.mark.slow
async def test_a_wrong_set_at_a_peer_that_has_yet_to_join(
    tmp_path: Path, bench: Callable[..., Bench]
) -> None:
    """Vault answers nothing more there until it is restarted: that is said."""
    wrong = base64.b64encode(os.urandom(32) + b"\x07").decode()
    with vault_set(tmp_path / "set", "nas", "truenas") as found:
        found.unseal("nas")
        peer = found.client("truenas", "").sys
        while not peer.read_seal_status()["initialized"]:
            await asyncio.sleep(0.1)
        bench(timeout=2.0)
        config = load(written(tmp_path, found.urls["truenas"], found.ca, nas=found.urls["nas"]))
        run = Bench(config, 2.0)
        acts = (f"{share}\r" for share in (found.shares[0], wrong, found.shares[1]))
        outcome, person = await run.give(*acts)
    assert outcome.kind == "cancelled"
    assert run.audit[-1].outcome == "unknown"
    assert "restart Vault there, then give the shares again" in run.audit[-1].message
    assert person.said[-1] == "enter looks again   esc leaves"


async def test_a_server_that_goes_away_costs_nothing(
    sealed: VaultSet, bench: Callable[..., Bench]
) -> None:
    outcome, person = await bench("http://127.0.0.1:9").give()
    assert outcome.kind == "cancelled" and "connection refused" in outcome.message
    assert person.said[-1] == "enter looks again   esc leaves"


async def test_it_is_unsealed_by_others_while_one_types(
    sealed: VaultSet, bench: Callable[..., Bench]
) -> None:
    def others() -> str:
        sealed.client("truenas", "").sys.submit_unseal_keys(sealed.shares[:3])
        return sealed.shares[3]

    run = bench()
    outcome, _ = await run.give(others)
    assert outcome.ok and outcome.message.startswith("truenas is unsealed")
    assert [line.action for line in run.audit] == ["vault.verify"]


async def test_afterwards_approle_and_the_agents_are_looked_at(
    running: VaultSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if running.client("truenas", "").sys.is_sealed():
        running.unseal()
    running.client("truenas").sys.enable_auth_method("approle")
    path = written(tmp_path, running.urls["truenas"], running.ca)
    names = "".join(f'[nodes.{n}]\ntransport = "local"\n' for n in ("gpu", "cpu", "edge", "new"))
    text = path.read_text().replace(
        "timeout_s", 'agents = ["gpu", "cpu", "edge", "new"]\ntimeout_s'
    )
    path.write_text(text + names)
    said: dict[str, Any] = {
        "gpu": Agent(node="gpu", alive=True, state="running"),
        "cpu": Agent(node="cpu", alive=True, state="retrying, 503"),
        "edge": HostError("timeout", "edge: no answer within 6.0 s"),
        "new": Agent(node="new", state="absent"),
    }

    async def ask(_: AgentReport, host: Any, salt: str, *, timeout: float) -> Agent:
        if isinstance(said[host], Exception):
            raise said[host]
        return said[host]

    monkeypatch.setattr(AgentReport, "ask", ask)
    monkeypatch.setattr(unsealed, "AGENTS", 1.0)
    hosts: Any = {name: name for name in said}
    action = unsealed.CheckUnsealed(Doors(load(path), Store(), hosts), "truenas")
    await action.plan()
    await action.run(lambda _: None)
    outcome = await action.verify()
    running.client("truenas").sys.disable_auth_method("approle")
    assert outcome.kind == "failed"
    assert outcome.message == (
        "truenas is unsealed, but still waiting: cpu (retrying, 503), edge (edge: no answer within"
        " 6.0 s); active, AppRole answers, 1 agent back"
    )


def test_what_shares_do_not_open_says_why() -> None:
    def why(**fields: Any) -> str:
        return cannot_unseal(VaultNode(node="n", address="a", **fields)) or ""

    assert why(state="sealed", seal_type="shamir") == ""
    assert "shares do not open it" in why(state="sealed", seal_type="awskms")
    assert "shares do not open it" in why(state="sealed", recovery_seal=True)
    assert "removed from its raft cluster" in why(state="sealed", removed=True)
    assert "I makes them" in why(state="uninitialised")
    assert why(state="active") == "it is unsealed"


# The command line


def labtui(config: Path, *words: str, text: str | None = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labtui", "--config", str(config), *words], input=text,
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"XDG_STATE_HOME": str(config.parent / "state")},
    )  # fmt: skip


def here(config: Path, *words: str) -> Result:
    """The same in this process, for what says no before it does anything."""
    env = {"XDG_STATE_HOME": str(config.parent / "state")}
    return CliRunner().invoke(main, ["--config", str(config), *words], env=env)


def test_shares_come_from_no_pipe_and_no_argument(sealed: VaultSet, tmp_path: Path) -> None:
    config = written(tmp_path, sealed.urls["truenas"], sealed.ca)
    share = sealed.shares[0]
    piped = labtui(config, "vault", "unseal", text=share + "\n")
    assert piped.returncode == 2 and "stdin is no terminal" in piped.stderr
    for words in ((share,), ("truenas", share), ("truenas", f"--share={share}"), ("--gpg", share)):
        told = labtui(config, "vault", "unseal", *words)
        assert told.returncode == 2, told
        assert "in the shell's history" in told.stderr and share not in told.stderr
    assert labtui(config, "vault", "unseal", "nas").returncode == 2
    assert sealed.client("truenas", "").sys.read_seal_status()["progress"] == 0


TOKEN = "hvs.CAESIJ1x8k0Zq_a-3mD0v9yQKcW2eTnB5rLhU7sGfPjXoN4i"


@pytest.mark.parametrize(
    "words",
    [
        ("{}",), ("rekey", "truenas", "{}"), ("rekey", "{}"), ("rekey", "truenas", "--{}"),
        ("rekey", "truenas", "--out", "out", "--gpg", "{}"), ("rekey", "truenas", "--gpg={}"),
        ("generate-root", "truenas", "{}"), ("revoke-root", "truenas", "{}"),
        ("revoke-root", "truenas", "--token-gpg", "{}"), ("rollback", "ngc", "{}"),
        ("rotate", "ngc", "{}"), ("rotate", "ngc", "--value-gpg", "{}"), ("seal", "{}"),
        ("seal", "truenas", "--token-gpg", "{}"), ("token", "{}"), ("token", "--token-gpg", "{}"),
        ("snapshot", "--token-gpg", "{}"), ("restore", "{}"), ("status", "{}"), ("init", "{}"),
        ("reset", "{}"), ("unseal", "Unseal Key 1: {}"), ("unseal", "truenas", "--share={}"),
    ],
)  # fmt: skip
def test_no_command_repeats_a_share_or_a_token(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = written(tmp_path, "https://127.0.0.1:9", "")
    raw = bytes(range(7, 40))
    shares = [raw.hex(), base64.b64encode(raw).decode(), raw[:32].hex().upper()]
    shares += [base64.b64encode(share.encode()).decode() for share in shares]
    legacy = "s.iyNUhq8Ov4hIAx6snw5mB2nL"
    for text in (*shares, TOKEN, legacy, f"{TOKEN}.Ax6sn"):
        kind = "share" if text in shares else "token"
        told = here(config, "vault", *(word.replace("{}", text) for word in words))
        assert told.exit_code == 2, told
        assert told.stderr.startswith(f"labtui: a {kind} is never given as an argument"), told
        assert not told.stdout and text[:12] not in told.stderr


@pytest.mark.parametrize("words", [("apply", "x", "--token-gpg"), ("undo",), ("show",), ()])
def test_no_playbook_is_named_like_a_token(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = here(written(tmp_path, "https://127.0.0.1:9", ""), "play", *words, TOKEN)
    assert told.exit_code == 2 and TOKEN[:12] not in told.output, told
    assert "a token is never given as an argument" in told.stderr


SHAPES = [
    "88, base64 of a share: decode it once, base64 -d",
    "43, one is missing: a share has 44 in base64 or 66 in hex",
    "this is a share, not a file: esc goes back, give it there",
]


@given(
    st.sampled_from(["share 2 of 3", "a token that may read and write secret/data/ngc", "x" * 200]),
    st.integers(0, 500), st.sampled_from(SHAPES), st.sampled_from([None, "", "/a/long/" * 20]),
    st.integers(79, 200),
)  # fmt: skip
def test_what_is_wrong_with_a_share_is_told_in_full(
    words: str, count: int, shape: str, text: str | None, width: int
) -> None:
    line = fitted(words, Typed(count, shape, False, text), "●", width)
    assert shape in line and len(line) <= width
    assert line.startswith(words[:8])


def test_dots_and_names_take_what_is_left() -> None:
    assert fitted("share", Typed(60, "60, odd"), "*", 79) == f"share: {'*' * 44} 60, odd"
    assert fitted("share", Typed(44, "44, base64"), "*", 40) == f"share: {'*' * 22} 44, base64"
    name = Typed(0, "enter opens it", True, "/home/ana/shares/truenas.asc")
    assert fitted("share", name, "*", 40) == "share: …ares/truenas.asc_ enter opens it"
    assert fitted("share", Typed(), "*", 79) == "share:"
    long = fitted("a token that may read and write secret/data/ngc", name, "*", 60)
    assert long == "a token that may r…: …ana/shares/truenas.asc_ enter opens it"


def test_a_read_only_console_takes_no_share(sealed: VaultSet, tmp_path: Path) -> None:
    config = written(tmp_path, sealed.urls["truenas"], sealed.ca)
    for words in (
        ("unseal", "truenas"), ("unseal", "--gpg", "/nowhere"), ("rekey", "truenas"),
        ("rekey", "truenas", "--cancel"), ("generate-root", "truenas"), ("reset", "truenas"),
        ("revoke-root", "truenas"), ("seal", "truenas"), ("snapshot",), ("restore", "/nowhere"),
        ("rotate", "ngc"), ("rollback", "ngc"), ("setup",), ("token", "--revoke"),
        ("audit-devices", "--enable", "/a"), ("init", "truenas"),
    ):  # fmt: skip
        told = here(config, "--read-only", "vault", *words)
        assert told.exit_code == 1 and "loop is read-only here: vault." in told.stderr, told


async def test_a_read_only_console_starts_no_keyholder(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench()
    run.session.runner.read_only = True
    monkeypatch.delattr(Keyholder, "start")
    outcome, person = await run.give()
    assert outcome.kind == "refused" and "read-only" in outcome.message
    assert not run.audit and not person.standings


def test_every_command_knows_a_server_by_its_name(tmp_path: Path) -> None:
    config = written(tmp_path, "https://127.0.0.1:9", "")
    for words in (
        ("status", "nas"), ("unseal", "nas"), ("reset", "nas"), ("seal", "nas"), ("init", "nas"),
        ("rekey", "nas"), ("generate-root", "nas"), ("revoke-root", "nas"),
        ("snapshot", "--node", "nas"), ("restore", "/nowhere", "--node", "nas"),
    ):  # fmt: skip
        told = here(config, "vault", *words)
        assert told.exit_code == 2, told
        assert told.stderr == "labtui: no Vault 'nas' in [vault.nodes] (there: truenas)\n", told


def test_reset_from_the_shell(sealed: VaultSet, tmp_path: Path) -> None:
    config = written(tmp_path, sealed.urls["truenas"], sealed.ca)
    none = labtui(config, "vault", "reset", "truenas", "--yes")
    assert none.returncode == 1 and "no share is in" in none.stderr
    sealed.client("truenas", "").sys.submit_unseal_key(sealed.shares[0])
    done = labtui(config, "vault", "reset", "truenas", "--yes", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["message"] == "progress at truenas is back at 0"
    only = labtui(config, "--read-only", "vault", "reset", "truenas", "--yes")
    assert only.returncode == 1 and "read-only" in only.stderr
