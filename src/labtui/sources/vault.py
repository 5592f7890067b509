"""The state of one Vault server, asked at its own address without any token.

seal-status answers whatever state the server is in; health tells active from standby and what
time it is there; leader tells a standby's leader. None needs a login, so none is ever sent: not
the operator's, not one from the environment.
"""

from __future__ import annotations

import time
from typing import Any

from labtui.model import VaultNode, VaultState
from labtui.sources.base import SourceError
from labtui.text import inert

ANSWER_LIMIT = 64 << 10
"""Bytes; a seal status has 400."""
_ALWAYS_200 = dict.fromkeys(
    (
        "active_code", "standby_code", "dr_secondary_code", "performance_standby_code",
        "sealed_code", "uninit_code",
    ),
    "200",
)  # fmt: skip
"""Health's answer is told by its fields: codes are free for what goes wrong on the way. Where its
body is lost on the way, the code has to do."""
_CODES: dict[int, dict[str, Any]] = {
    472: {"initialized": True, "sealed": False, "replication_dr_mode": "secondary"},
    473: {"initialized": True, "sealed": False, "standby": True, "performance_standby": True},
    474: {"initialized": True, "sealed": False, "standby": True, "ha_connection_healthy": False},
    501: {"initialized": False, "sealed": True},
    530: {"initialized": True, "sealed": True, "removed_from_cluster": True},
}
"""What a status alone says, as the fields that it stands for (sys/health's documentation)."""

_WHOSE = "is the address the server's own, with no proxy or balancer in between?"

Fields = dict[str, Any]


class VaultClient:
    """Unauthenticated reads of one server. Blocking: call it in a lane."""

    def __init__(self, node: str, address: str, *, ca_file: str = "", timeout: float) -> None:
        """`timeout`: seconds for all requests of a probe together, connecting included."""
        self.node = node
        self.address = address.rstrip("/")
        self.who = f"Vault at {self.address}"
        self._ca_file = ca_file
        self._timeout = timeout
        self._client: Any = None

    def _connect(self) -> Any:
        import hvac

        from labtui.sources.http import BoundedSession

        session = BoundedSession(timeout=self._timeout, ca_file=self._ca_file, limit=ANSWER_LIMIT)
        # token="" and a session of its own: hvac would else send $VAULT_TOKEN or ~/.vault-token,
        # follow redirects with it, and take a CA from $VAULT_CACERT.
        return hvac.Client(
            url=self.address,
            token="",
            verify=session.verify,
            timeout=self._timeout,
            session=session,
            allow_redirects=False,
            # Statuses come back as answers: hvac's exceptions give one class to a quota and a
            # standby, and none to a redirect.
            ignore_exceptions=True,
        )

    def probe(self) -> VaultNode:
        """What the server says of itself. Raises SourceError when it says nothing usable."""
        from labtui.sources.http import explained

        try:
            with explained(self.who, self._ca_file):
                return self._probe()
        except SourceError as error:
            if error.fault.kind != "protocol" or "; look " in error.fault.message:
                raise
            raise SourceError("protocol", f"{error.fault.message}; {_WHOSE}") from None

    def _probe(self) -> VaultNode:
        client = self._client = self._client or self._connect()
        client.session.until = time.monotonic() + self._timeout
        status = self._ask(client.sys.read_seal_status)
        if not isinstance(status.get("sealed"), bool):
            raise SourceError("protocol", f"{self.who}: the answer is not a seal status")
        health, skew = self._health(status)
        leader = self._leader() if health.get("standby") is True else {}
        return node_of(self.node, self.address, status, health, leader, skew)

    def _health(self, status: Fields) -> tuple[Fields, int | None]:
        """Its health, and its clock less ours in ms. Of a sealed server it is an extra."""
        sent = time.time()
        try:
            health = self._ask(self._client.sys.read_health_status, method="GET", **_ALWAYS_200)
        except Exception:
            if status["sealed"]:
                return {}, None
            raise
        return health, skew_of(health, sent, time.time())

    def _leader(self) -> Fields:
        """Who is active, as a standby knows it; without an answer not known, and no fault."""
        try:
            return self._ask(self._client.sys.read_leader_status)
        except Exception:  # noqa: BLE001 - only an extra
            return {}

    def _ask(self, call: Any, **arguments: str) -> Fields:
        """The fields of an answer, whatever its status, or those that the status stands for."""
        from labtui.sources.http import status_error

        answer = call(**arguments)
        if isinstance(answer, dict):
            return answer
        if not hasattr(answer, "status_code"):
            raise SourceError("protocol", f"{self.who}: the answer is not Vault's")
        try:
            body = answer.json()
        except ValueError:
            body = None
            if answer.status_code == 200:
                raise SourceError("protocol", f"{self.who}: the answer is not JSON") from None
        if isinstance(body, dict) and isinstance(body.get("sealed"), bool):
            return body
        if fields := _CODES.get(answer.status_code):
            return {**fields, "said": answer.status_code}
        text = answer.text[:4096]
        if answer.status_code == 503 and "no active vault" in text.lower():
            return {"initialized": True, "sealed": False, "standby": True, "leaderless": True}
        if answer.status_code == 503 and "sealed" in text.lower():
            return {"initialized": True, "sealed": True, "said": 503}
        if words := _errors(body):
            said = f"it says {answer.status_code}: {inert(words, 120)}"
            raise SourceError("protocol", f"{self.who}: {said}; look at its log")
        raise status_error(answer.status_code, text, self.who)

    def close(self) -> None:
        if self._client is not None:
            self._client.session.close()


def skew_of(health: Fields, sent: float, received: float) -> int | None:
    """Its clock less ours in ms, in whole seconds: health tells it in no smaller ones. 0 when the
    difference could be the way there and back."""
    told = health.get("server_time_utc")
    if type(told) is not int or not 0 < told < 1 << 40:
        return None
    if told <= received and told + 1 >= sent:
        return 0
    return round(told + 0.5 - (sent + received) / 2) * 1000


def node_of(
    node: str, address: str, status: Fields, health: Fields, leader: Fields | None = None,
    skew_ms: int | None = None,
) -> VaultNode:  # fmt: skip
    """seal-status, health and leader as one item. Raises SourceError when they are not Vault's."""
    if not isinstance(status.get("sealed"), bool):
        raise SourceError("protocol", f"Vault at {address}: the answer is not a seal status")
    # It may be sealed between the two answers.
    sealed = status["sealed"] or health.get("sealed") is True
    state, mode, detail = _state(status, health, sealed)
    removed = any(f.get("removed_from_cluster") is True for f in (status, health))
    at = _text(leader or {}, "leader_address", 200)
    return VaultNode(
        node=node,
        address=address,
        state=state,
        sealed=sealed,
        threshold=_count(status, "t") or None,
        shares=_count(status, "n") or None,
        progress=_count(status, "progress"),
        nonce=_text(status, "nonce"),
        version=_text(status, "version") or _text(health, "version"),
        ha_mode=mode,
        seal_type=_text(status, "type"),
        cluster=_text(status, "cluster_name") or _text(health, "cluster_name"),
        detail=detail,
        leader=address if state == "active" else at,
        leaderless=_leaderless(status, health, leader or {}) if state == "standby" else None,
        storage=_text(status, "storage_type"),
        cluster_id=_text(status, "cluster_id") or _text(health, "cluster_id"),
        recovery_seal=_flag(status, "recovery_seal"),
        migration=_flag(status, "migration"),
        removed=True if removed else _flag(status, "removed_from_cluster"),
        clock_skew_ms=skew_ms,
    )


def _state(
    status: Fields, health: Fields, sealed: bool
) -> tuple[VaultState, str | None, str | None]:
    """The state, the part it plays in its set, and what is odd about that."""
    by_code = status.get("said") or health.get("said")
    detail = f"told by its status {by_code} alone" if by_code else None
    if status.get("initialized") is False:
        return "uninitialised", None, detail
    if sealed:
        return "unsealing" if _count(status, "progress") else "sealed", None, detail
    told = {**status, **health}
    if told.get("replication_dr_mode") == "secondary":
        return "standby", "dr secondary", detail
    if told.get("performance_standby") is True:
        return "standby", "performance standby", detail
    if isinstance(told.get("standby"), bool):
        return ("standby", "standby", detail) if told["standby"] else ("active", "active", detail)
    return "unknown", None, "unsealed, but its health does not say whether it is active"


def _leaderless(status: Fields, health: Fields, leader: Fields) -> bool | None:
    told = {**status, **health}
    if told.get("leaderless") or told.get("ha_connection_healthy") is False:
        return True
    address = leader.get("leader_address")
    if isinstance(address, str):
        return not address
    return None


def _errors(body: Any) -> str:
    """Vault's own sentences, where it refuses something."""
    told = body.get("errors") if isinstance(body, dict) else None
    return "; ".join(e for e in told if isinstance(e, str)) if isinstance(told, list) else ""


def _flag(status: Fields, key: str) -> bool | None:
    value = status.get(key)
    return value if isinstance(value, bool) else None


def _count(status: Fields, key: str) -> int | None:
    value = status.get(key)
    return value if type(value) is int and 0 <= value < 1 << 16 else None


def _text(status: Fields, key: str, limit: int = 80) -> str | None:
    value = status.get(key)
    return inert(value, limit) if isinstance(value, str) and value else None
