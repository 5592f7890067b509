"""requests without its surprises, and its errors as one sentence. Imported late: 0.1 s.

Nothing of the environment (proxies, netrc, CA bundles) takes part; a redirect is not followed,
because it would carry tokens to another host; an answer is limited in bytes and in seconds.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from labtui.sources.base import SourceError
from labtui.store import FaultKind
from labtui.text import inert

ANSWER_LIMIT = 8 << 20
"""Bytes of one answer."""


class TooLarge(requests.RequestException):
    """An answer over the limit; the rest of it is not read."""


class _Until(io.RawIOBase):
    """Reads from a socket until a moment: each read may take what is left, not as long again."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float | None) -> None:
        self._raw, self._sock = raw, sock
        self._end = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """The read's time-out is that of the whole answer: else a header that comes byte by byte
    holds the thread for hours."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw: Any = self.fp.detach()
        self.fp = io.BufferedReader(_Until(raw, sock, sock.gettimeout()))


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


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
        self._adapter = _Adapter()
        self.until: float | None = None
        """Monotonic seconds at which several requests together have to be done."""

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        """Always ours, also where a client has mounted one of its own."""
        return self._adapter

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        now = time.monotonic()
        left = self._timeout if self.until is None else min(self._timeout, self.until - now)
        if left <= 0:
            raise requests.ReadTimeout("no time left for this request")
        kwargs |= {"stream": True, "allow_redirects": False}
        kwargs["timeout"] = (min(left, 2.0), left)
        response = super().send(request, **kwargs)
        with response:
            body = self._read(response.raw, now + left)
        # Not every server that was told "close" says it too: without that it would be used again.
        self._adapter.close()
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
                    raise TooLarge(f"the answer is larger than {_size(self._limit)}")
                if time.monotonic() > deadline:
                    raise requests.ReadTimeout("the answer did not end in time")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(str(error)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(error) from None
        return bytes(body)


def _size(limit: int) -> str:
    return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"


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


_AUTHORITY = (2, 18, 19, 20, 21)
_NAME = (62, 63, 64)
"""OpenSSL's numbers (x509_vfy.h) of certificates whose signer is not known, or whose name is
another."""


def _tls(error: ssl.SSLError, ca_file: str) -> str:
    """What is wrong, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = inert(error.verify_message or "certificate verify failed").rstrip(".")
        holds = f"{ca_file} does not hold" if ca_file else "this machine's own list does not hold"
        match error.verify_code:
            case code if code in _AUTHORITY:
                return (
                    f"its certificate is signed by an authority that {holds} ({said}):"
                    " ca_file must name the CA that signed it"
                )
            case code if code in _NAME:
                return (
                    f"its certificate is for another name ({said}): use an address that is in"
                    " the certificate, or have one made for this address"
                )
            case 10:
                return "its certificate has expired: have a new one made and loaded there"
            case 9:
                return "its certificate is not valid yet: compare its clock with this machine's"
        by = f" (checked with {ca_file})" if ca_file else " (checked with the system's CAs)"
        return f"its certificate is not accepted: {said}{by}"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS on this port: is it another port, or plain http?"
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
