"""What the keyholder can do with the secrets that it was given: one entry an operation.

An operation runs in the keyholder, never in the console. It gets the secrets as bytearrays, and
what it returns is told to the console: so nothing of it may be secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Secrets = Mapping[str, bytearray]
"""By the name under which they were asked: `share`, `token`, `value`."""
Params = Mapping[str, Any]
"""JSON; nothing secret."""
Result = Mapping[str, Any]
"""JSON; nothing secret."""


UNSENT = frozenset({"refused", "unreachable", "tls", "not-found", "config", "host-key"})
"""Kinds of SourceError by which nothing can have reached the server."""


class Refused(Exception):
    """The server, or a check before sending, said no: one sentence, nothing secret in it."""


class Door(msgspec.Struct, frozen=True):
    """One Vault server at its own address."""

    node: str
    address: str
    ca_file: str = ""
    timeout: float = 10.0
    """Seconds for one request, connecting included."""

    @property
    def url(self) -> str:
        """The address, without a slash at its end. Raises Refused for one that is not encrypted,
        other than this machine's own."""
        from labtui.config.checks import in_clear

        if in_clear(self.address):
            raise Refused(f"{self.node} is not asked over plain http: its address must be https://")
        return self.address.rstrip("/")

    def client(self, token: bytearray | None = None) -> Any:
        """An hvac client with this token or none: no ambient one, no proxy, no redirect.

        hvac and requests raise exceptions of their own: `answers.answered` tells them in words.
        An answer that points elsewhere raises Refused: hvac would take it for success.
        """
        import hvac
        from requests import PreparedRequest, Response

        from labtui.sources.http import BoundedSession

        address = self.address

        class Session(BoundedSession):
            def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
                response = super().send(request, **kwargs)
                if 300 <= response.status_code < 400:
                    raise Refused(
                        f"Vault at {address} points to another server ({response.status_code}):"
                        " it is a standby; nothing was done, choose the active one"
                    )
                return response

        session = Session(timeout=self.timeout, ca_file=self.ca_file)
        return hvac.Client(
            url=self.url,
            token=token.decode() if token else "",
            verify=session.verify,
            timeout=self.timeout,
            session=session,
            allow_redirects=False,
        )


class Operation(msgspec.Struct, frozen=True):
    """Raises Refused or SourceError; what else it raises is told as a fault of the way there."""

    id: str
    """`unseal.share`."""
    needs: tuple[str, ...]
    """Secrets without which it does not start."""
    run: Callable[[Door, Secrets, Params], Result]
    writes: bool = True
    """It changes something: no answer in time means unknown, not failed."""
    timeout: float = 30.0
    """Seconds until the console gives up waiting for it."""
