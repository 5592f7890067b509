"""What a node says of its vault-agent: one read-only script there, run as root, that tells no
secret. The playbook vault-agent.yml installs it."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Literal

import msgspec

from labtui.config import VaultConfig
from labtui.hosts.base import Completed, Host, HostError
from labtui.model import Agent, OldHolder, Secret
from labtui.sources.base import number
from labtui.text import inert

SCRIPT = "/usr/local/libexec/labtui-agent-report"
FORM = 1
"""The form of its report that is understood here."""
TIMEOUT = 12.0
"""Seconds: it asks systemd, the journal and Vault."""
SHOWN = 12
"""Hex digits of a hash that are shown."""
ABSENT = 66
MOST = 1 << 20
"""Characters of a report that are read."""
# sh -c RUN SCRIPT: root needs no sudo, and where there is no script sudo would ask for a password.
RUN = '[ -x "$0" ] || exit 66; [ "$(id -u)" = 0 ] && exec "$0"; exec sudo -n "$0"'
NOT_WHOLE = "who holds an older value is not fully known: a look at it did not end"
_KINDS = ("process", "job", "container", "registry")


class Report(msgspec.Struct, frozen=True):
    agent: Agent
    digests: dict[str, str]
    """Name in [vault.secrets] -> hex of SHA-256 over salt and content, whole."""


def new_salt() -> str:
    """Hex; one for each console, so that a hash tells same from changed and nothing else."""
    return secrets.token_hex(16)


class AgentReport:
    """Asks nodes for their agents."""

    def __init__(self, config: VaultConfig) -> None:
        self._env = {name: list(secret.env) for name, secret in config.secrets.items()}
        self._registries = {n: s.registry for n, s in config.secrets.items() if s.registry}

    async def ask(self, host: Host, salt: str, *, timeout: float = TIMEOUT) -> Agent:
        """Raises HostError where the node cannot be asked."""
        return (await self.report(host, salt, timeout=timeout)).agent

    async def report(self, host: Host, salt: str, *, timeout: float = TIMEOUT) -> Report:
        """`salt`: hex. Raises HostError where the node cannot be asked."""
        asked = {"salt": salt, "env": self._env, "registries": self._registries}
        done = await host.run(["sh", "-c", RUN, SCRIPT], stdin=json.dumps(asked), timeout=timeout)
        return parse(host.name, done)


def parse(node: str, done: Completed) -> Report:
    """Raises HostError for what is no report."""
    if done.rc == ABSENT:
        why = "no agent was installed from here: n installs it"
        return Report(Agent(node=node, state="absent", detail=why), {})
    if done.rc != 0:
        said = inert(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "", 160)
        if "sudo" in said or "password" in said:
            text = f"{node}: sudo does not let this account run {SCRIPT}: n mends that ({said})"
            raise HostError("permission", text, node)
        text = f"{node}: its report ended with {done.rc}: {said or 'it said nothing'}"
        raise HostError("protocol", text, node)
    try:
        told = json.loads(done.stdout.strip()[:MOST])
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise HostError("protocol", f"{node}: its report is not what it should be", node)
    if told.get("report") != FORM:
        text = f"{node}: its report is of another release ({inert(told.get('report'), 20)})"
        raise HostError("protocol", f"{text}: n brings the one of this console", node)
    return _report(node, told)


def _report(node: str, told: dict[str, Any]) -> Report:
    unit, token = _dict(told.get("unit")), _dict(told.get("token"))
    old = [_holder(h) for h in _list(told.get("old"))]
    found: list[Secret] = []
    digests: dict[str, str] = {}
    for entry in _list(told.get("files")):
        name = inert(entry.get("name") or "", 100)
        digest = entry.get("sha256")
        whole = digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) else ""
        if whole:
            digests[name] = whole
        found.append(
            Secret(
                path=inert(entry.get("path") or "", 300),
                name=name,
                age_s=number(entry.get("age")),
                mode=_text(entry.get("mode"), 8),
                owner=_text(entry.get("owner"), 80),
                hash=whole[:SHOWN] or None,
                fault=_text(entry.get("fault"), 80),
                old=tuple(h for secret, h in old if secret == name and h is not None),
            )
        )
    alive, state, detail = _state(unit, token, _text(told.get("word"), 300) or "")
    if told.get("old_whole") is False:
        detail = f"{detail}; {NOT_WHOLE}" if detail else NOT_WHOLE
    return Report(
        Agent(
            node=node,
            alive=alive,
            state=state,
            detail=detail or None,
            token_ttl_s=number(token.get("ttl")),
            token_life_s=number(token.get("creation_ttl")),
            renewed_at=number(token.get("renewed_at")),
            secrets=tuple(found),
            address=_text(told.get("address"), 200),
            version=_text(told.get("version"), 40),
        ),
        digests,
    )


def _state(unit: dict[str, Any], token: dict[str, Any], word: str) -> tuple[bool | None, str, str]:
    """Alive, the state in a word or three, one sentence."""
    active, sub = _text(unit.get("active"), 40), _text(unit.get("sub"), 40)
    error = _text(token.get("error"), 80) or ""
    if unit.get("load") in ("not-found", "masked"):
        return False, "absent", f"its unit is {inert(unit['load'], 20)}: n installs it"
    if active is None:
        return None, "unknown", "systemd does not tell"
    if active != "active":
        restarts = number(unit.get("restarts")) or 0
        if sub == "auto-restart" or (active == "activating" and restarts):
            return False, "failing", f"it was started {restarts:.0f} times and ended: {word}"
        return False, "failed" if active == "failed" else inert(active, 20), word
    if not error:
        return True, "running", ""
    if refused(word):
        return True, "login refused", f"{word}: n gives it a new secret-id"
    if error == "it holds no token":
        code = re.search(r"Code: (\d{3})", word)
        return True, f"retrying, {code[1]}" if code else "logging in", word
    if error == "403":
        return True, "token refused", "its token is not valid any more; it logs in anew"
    return True, f"retrying, {error}", word


def refused(word: str) -> bool:
    """Whether the agent's last word is that AppRole does not know its secret-id (or role)."""
    return bool(re.search(r"invalid (role or )?(secret|role)[ _-]?id", word, re.IGNORECASE))


def _holder(told: dict[str, Any]) -> tuple[str, OldHolder | None]:
    secret, kind, id = inert(told.get("secret") or "", 100), told.get("kind"), told.get("id")
    if kind not in _KINDS or not isinstance(id, str | int):
        return secret, None
    holder: Literal["process", "job", "container", "registry"] = kind
    return secret, OldHolder(
        kind=holder,
        id=inert(id, 200),
        name=_text(told.get("name"), 200),
        variable=_text(told.get("variable"), 100),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [v for v in value[:500] if isinstance(v, dict)] if isinstance(value, list) else []


def _text(value: Any, limit: int) -> str | None:
    return inert(value, limit) if isinstance(value, str) and value else None
