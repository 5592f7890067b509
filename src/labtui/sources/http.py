"""requests without its surprises, and its errors as one sentence. Imported late: 0.1 s.

Nothing of the environment (proxies, netrc, CA bundles) takes part; a redirect is not followed,
because it would carry tokens to another host; an answer is limited in bytes and in seconds.
"""

from __future__ import annotations

import errno
import io
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

from labtui.sources.base import SourceError
from labtui.store import FaultKind
from labtui.text import inert

ANSWER_LIMIT = 8 << 20
"""Bytes of one answer."""


class TooLarge(requests.RequestException):
    """An answer over the limit; the rest of it is not read."""


class BoundedSession(requests.Session):
    """A session whose every request is bounded: `timeout` seconds, `limit` bytes, no redirect."""

    def __init__(
        self, *, timeout: float, ca_file: str = "", limit: int = ANSWER_LIMIT, who: str = ""
    ) -> None:
        """With `who`, any status but 200 raises a SourceError about it."""
        super().__init__()
        self.trust_env = False
        self.verify = ca_file or True
        self.headers["Accept-Encoding"] = "identity"
        # A kept connection may be closed by the server just as the next question is sent (MLflow
        # does after 5 s, the interval): that would look like a fault of the server.
        self.headers["Connection"] = "close"
        self._timeout = timeout
        self._limit = limit
        self._who = who

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + self._timeout
        kwargs |= {"stream": True, "allow_redirects": False}
        kwargs["timeout"] = (min(self._timeout, 2.0), self._timeout)
        response = super().send(request, **kwargs)
        with response:
            body = self._read(response.raw, deadline)
        # Not every server that was told "close" says it too: without that it would be used again.
        for adapter in self.adapters.values():
            adapter.close()
        response.raw = io.BytesIO(body)
        if self._who and response.status_code != 200:
            raise status_error(response.status_code, response.text, self._who)
        return response

    def _read(self, raw: Any, deadline: float) -> bytes:
        body = bytearray()
        try:
            while chunk := raw.read1(1 << 16):
                body += chunk
                if len(body) > self._limit:
                    raise TooLarge(f"the answer is larger than {self._limit >> 20} MiB")
                if time.monotonic() > deadline:
                    raise requests.ReadTimeout("the answer did not end in time")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(str(error)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(error) from None
        return bytes(body)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and everything that led to it, however requests and urllib3 wrapped it."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        queue += [getattr(item, "reason", None), item.__cause__, item.__context__, *item.args]


def explain(error: Exception, who: str, ca_file: str = "") -> SourceError:
    """What went wrong on the way to `who` ("Vault at https://..."), as kind and sentence."""
    kind, text = _explain(error, ca_file)
    return SourceError(kind, f"{who}: {text}")


def _explain(error: Exception, ca_file: str) -> tuple[FaultKind, str]:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return "tls", _tls(cause, ca_file)
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return "not-found", "its name does not resolve"
        if isinstance(cause, OSError) and cause.errno:
            match cause.errno:
                case errno.ECONNREFUSED:
                    return "refused", "connection refused"
                case errno.EHOSTUNREACH | errno.ENETUNREACH | errno.EHOSTDOWN:
                    return "unreachable", "no route to it"
                case errno.ECONNRESET | errno.EPIPE:
                    return "protocol", "it closed the connection without an answer"
                case errno.ETIMEDOUT:
                    return "timeout", "no answer"
    if isinstance(error, requests.ConnectTimeout):
        return "unreachable", "it does not answer"
    if isinstance(error, requests.Timeout):
        return "timeout", "no complete answer in time"
    if isinstance(error, TooLarge):
        return "protocol", str(error)
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return "protocol", "it closed the connection without an answer"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "protocol", "the answer is not JSON"
    if isinstance(error, OSError) and ca_file and ca_file in str(error):
        return "config", f"the CA file {ca_file} cannot be read"
    if isinstance(error, (KeyError, IndexError, TypeError, AttributeError, ValueError)):
        return "protocol", f"the answer has another shape than expected ({type(error).__name__})"
    return "protocol", f"unexpected {type(error).__name__}: {inert(error, 160)}"


def _tls(error: ssl.SSLError, ca_file: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = inert(error.verify_message or "certificate verify failed")
        by = f" (checked with {ca_file})" if ca_file else " (checked with the system's CAs)"
        return f"its certificate is not accepted: {said}{by}"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS on this port"
    return f"TLS failed: {(error.reason or 'no reason given').lower().replace('_', ' ')}"


@contextmanager
def explained(who: str, ca_file: str = "") -> Iterator[None]:
    """Turns whatever a client raises in it into a SourceError about `who`."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001 - a client of foreign data may raise anything
        raise explain(error, who, ca_file) from None


_STATUS: dict[int, tuple[FaultKind, str]] = {
    400: ("protocol", "it refuses the request"),
    401: ("auth", "it wants a login"),
    403: ("permission", "it forbids this"),
    404: ("not-found", "it knows no such address"),
    429: ("protocol", "it is asked too often"),
    500: ("protocol", "it failed inside"),
    502: ("protocol", "the proxy before it has no answer"),
    503: ("protocol", "it is not available now"),
    504: ("timeout", "the proxy before it had no answer in time"),
}


def status_error(status: int, body: str, who: str) -> SourceError:
    """An answer that is not 200, with the first words of what it said."""
    if 300 <= status < 400:
        return SourceError("protocol", f"{who}: it redirects ({status}), which is not followed")
    kind, text = _STATUS.get(status, ("protocol", "unexpected answer"))
    said = inert(re.sub(r"<[^>]*>", " ", body)[:400], 120).strip()
    return SourceError(kind, f"{who}: {text} ({status}{': ' + said if said else ''})")
