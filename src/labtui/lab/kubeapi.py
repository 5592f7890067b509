"""The lab's API server by HTTPS, for the lab's own programs on desktop-gpu and for `lab status`.

Only the standard library: the file is put into the machine with the programs that use it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

TIMEOUT_S = 5.0


class ApiError(OSError):
    """The server refused; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message[:200]}")
        self.status = status


def each_second(name: str, look: Callable[[], str]) -> NoReturn:
    """A stand-in's whole life: look, and say what is new."""
    before = ""
    while True:
        try:
            said = look()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = str(error)
        if said and said != before:
            print(f"{name} (a stand-in): {said}", flush=True)  # noqa: T201 - its log
        before = said
        time.sleep(1)


class Api:
    """One connection, made anew when it breaks. Its kubeconfig is JSON, with a token."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._address = urllib.parse.urlsplit(cluster["server"]).netloc
        self._context = ssl.create_default_context(cadata=authority)
        self._headers = {
            "Authorization": f"Bearer {document['users'][0]['user']['token']}",
            "Accept": "application/json",
        }
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> Any:
        """The document at a path like `/api/v1/nodes/NAME`. Raises OSError."""
        return json.loads(self._ask("GET", path))

    def patch(self, path: str, document: object) -> None:
        """A merge patch. Raises OSError."""
        self._ask("PATCH", path, json.dumps(document))

    def ready(self) -> str:
        """Why the server is not ready, or ""."""
        try:
            said = self._ask("GET", "/readyz")
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return "" if said == b"ok" else said.decode(errors="replace")[:200]

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = self._headers | (
            {"Content-Type": "application/merge-patch+json"} if body is not None else {}
        )
        fresh = self._connection is None
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._address, timeout=TIMEOUT_S, context=self._context
            )
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            if not fresh:  # the server may have closed an idle connection: once more
                return self._ask(method, path, body)
            raise OSError(f"{self._address}: {error}") from None
        if answer.status >= 300:
            raise ApiError(answer.status, said.decode(errors="replace"))
        return said
