"""The state of one Vault server, asked at its own address without any token.

seal-status answers whatever state the server is in; health tells active from standby. Neither
needs a login, so none is ever sent: not the operator's, not one from the environment.
"""

from __future__ import annotations

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
"""Health's answer is told by its fields: codes are free for what goes wrong on the way."""


class VaultClient:
    """Unauthenticated reads of one server. Blocking: call it in a lane."""

    def __init__(self, node: str, address: str, *, ca_file: str = "", timeout: float) -> None:
        """`timeout`: seconds for each of the two requests of a probe, connecting included."""
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

        with explained(self.who, self._ca_file):
            self._client = self._client or self._connect()
            status = self._ask(self._client.sys.read_seal_status)
            if isinstance(status, VaultNode):
                return status
            health: dict[str, Any] = {}
            if status.get("initialized") is True and status.get("sealed") is False:
                answer = self._ask(self._client.sys.read_health_status, method="GET", **_ALWAYS_200)
                if isinstance(answer, VaultNode):
                    return answer
                health = answer
            return node_of(self.node, self.address, status, health)

    def _ask(self, call: Any, **arguments: str) -> dict[str, Any] | VaultNode:
        """The fields of a good answer, or the node that an error's status tells of."""
        from labtui.sources.http import status_error

        answer = call(**arguments)
        if isinstance(answer, dict):
            return answer
        body = answer.text[:4096]
        if answer.status_code == 501:
            return self._node("uninitialised", "it says that it is not initialised (501)")
        if answer.status_code == 503 and "sealed" in body.lower():
            return self._node("sealed", "it says that it is sealed (503)")
        raise status_error(answer.status_code, body, self.who)

    def _node(self, state: VaultState, detail: str) -> VaultNode:
        return VaultNode(
            node=self.node,
            address=self.address,
            state=state,
            sealed=True if state == "sealed" else None,
            detail=inert(detail, 200),
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.session.close()


def node_of(node: str, address: str, status: dict[str, Any], health: dict[str, Any]) -> VaultNode:
    """seal-status and health as one item. Raises SourceError when they are not Vault's."""
    sealed, initialised = status.get("sealed"), status.get("initialized")
    if not isinstance(sealed, bool):
        raise SourceError("protocol", f"Vault at {address}: the answer is not a seal status")
    progress = _count(status, "progress")
    state: VaultState = "unknown"
    detail = None
    if initialised is False:
        state = "uninitialised"
    elif sealed:
        state = "unsealing" if progress else "sealed"
    elif isinstance(health.get("standby"), bool):
        state = "standby" if health["standby"] else "active"
    else:
        detail = "unsealed, but its health does not say whether it is active"
    return VaultNode(
        node=node,
        address=address,
        state=state,
        sealed=sealed,
        threshold=_count(status, "t") or None,
        shares=_count(status, "n") or None,
        progress=progress,
        nonce=_text(status, "nonce"),
        version=_text(status, "version"),
        ha_mode="standby" if state == "standby" else "active" if state == "active" else None,
        seal_type=_text(status, "type"),
        cluster=_text(status, "cluster_name"),
        detail=detail,
    )


def _count(status: dict[str, Any], key: str) -> int | None:
    value = status.get(key)
    return value if type(value) is int and 0 <= value < 1 << 16 else None


def _text(status: dict[str, Any], key: str) -> str | None:
    value = status.get(key)
    return inert(value, 80) if isinstance(value, str) and value else None
