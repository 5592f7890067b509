"""A stand-in HTTP server on loopback for faults that a healthy real server does not show.

It plays no service: it answers every request in one chosen way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def answer(
    status: int, body: bytes = b"", kind: str = "application/json", **headers: str
) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Takes the request and says nothing."""
    handler.server.released.wait(30)  # type: ignore[attr-defined]


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never ends: a byte now and then, each in time for a read's timeout."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b" ")
        handler.wfile.flush()


def drip_header(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends: the slow loris."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.released.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")
        handler.wfile.flush()


def by_path(**behaviours: Behaviour) -> Behaviour:
    """One behaviour a last word of the path (`seal_status`), `other` for the rest."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        word = handler.path.partition("?")[0].rpartition("/")[2].replace("-", "_")
        behaviours.get(word, behaviours.get("other", answer(404)))(handler)

    return behave


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"half": ')


def big(handler: BaseHTTPRequestHandler) -> None:
    answer(200, b"[" + b"1," * (5 << 20) + b"1]")(handler)


class StandIn:
    def __init__(self, behave: Behaviour, tls: tuple[Path, Path] | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in.requests.append((self.path, dict(self.headers)))
                length = int(self.headers.get("Content-Length") or 0)
                self.request_body = self.rfile.read(length)
                with contextlib.suppress(OSError):  # the client may go: it should
                    behave(self)
                self.close_connection = True

            do_POST = do_PUT = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.server.released = threading.Event()  # type: ignore[attr-defined]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.released.set()  # type: ignore[attr-defined]
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def standing_in(behave: Behaviour, tls: tuple[Path, Path] | None = None) -> Iterator[StandIn]:
    server = StandIn(behave, tls)
    try:
        yield server
    finally:
        server.close()


def certificate(folder: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate for IP `name`, and its key: it is its own CA."""
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=stand-in", "-addext", f"subjectAltName=IP:{name}",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return cert, key


def expired(folder: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    """The same, expired yesterday."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, key


@contextmanager
def deaf(*, full: bool = False) -> Iterator[int]:
    """A port whose connections nobody takes up; `full`: not even the kernel does any more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if full else 16)
        port: int = listener.getsockname()[1]
        for _ in range(4 if full else 0):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    argv: list[str],
    ready: Callable[[], bool],
    log: Path,
    *,
    env: dict[str, str] | None = None,
    wait: float = 20.0,
) -> Iterator[None]:
    """A real server as a child, once `ready`; its log is the message when it never is."""
    with log.open("wb") as file:
        child = subprocess.Popen(
            argv,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + wait
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{argv[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
