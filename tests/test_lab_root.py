"""Where the lab's root file system comes from, and what names it."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labtui.lab import root, up
from labtui.lab.layout import Lab
from labtui.lab.root import Source
from labtui.lab.system import LabError

DEB822 = """\
# a comment: with a colon
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: trixie trixie-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
"""

ONE_LINE = """\
deb [arch=amd64 signed-by=/k.gpg] https://tools.example/apt stable tools
# deb http://gone.example/debian trixie main
deb-src http://mirror.example/debian bookworm main
deb [ arch=amd64 signed-by=/d.gpg ] http://mirror.example/debian/ bookworm main contrib # ours
deb http://mirror.example/debian-security bookworm-security main
"""


def etc_apt(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_", ".")).write_text(text)
    return folder


def test_reads_deb822_sources(tmp_path: Path) -> None:
    found = root.apt_sources(etc_apt(tmp_path, sources_list_d__debian_sources=DEB822))
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert found == [
        Source("http://mirror.example/debian", "trixie"),
        Source("http://mirror.example/debian", "trixie-updates"),
        Source("http://mirror.example/debian-security", "trixie-security", keyring),
    ]


def test_reads_one_line_sources(tmp_path: Path) -> None:
    found = root.apt_sources(etc_apt(tmp_path, sources_list=ONE_LINE))
    assert found == [
        Source("http://mirror.example/debian", "bookworm", "/d.gpg"),
        Source("http://mirror.example/debian-security", "bookworm-security"),
    ]


def test_takes_the_first_of_a_mirror_list(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors"
    mirrors.write_text("# ours\nhttp://near.example/debian/ priority:1\nhttp://far.example/\n")
    text = f"deb mirror+file:{mirrors} trixie main\n"
    (source,) = root.apt_sources(etc_apt(tmp_path, sources_list=text))
    assert source.uri == "http://near.example/debian"


def test_picks_the_archive_of_this_machines_own_release() -> None:
    sources = [
        Source("http://tools.example/apt", "bookworm"),
        Source("http://browser.example/deb", "stable"),
        Source("http://mirror.example/debian", "bookworm"),
        Source("http://mirror.example/debian-security", "bookworm-security"),
    ]
    main, security = root.mirror(sources, "bookworm")
    assert main.uri == "http://mirror.example/debian"
    assert security is not None
    assert security.uri == "http://mirror.example/debian-security"
    with pytest.raises(LabError, match="name no Debian archive"):
        root.mirror(sources[-1:], "bookworm")


def test_a_root_is_named_by_its_content() -> None:
    names = root.packages(["vault-client"])
    assert "slurmctld" in names
    assert "vault-client" in names
    assert root.digest("trixie", names) == root.digest("trixie", root.packages(["vault-client"]))
    assert root.digest("trixie", names) != root.digest("trixie", root.packages())
    assert root.digest("trixie", names) != root.digest("sid", names)


@pytest.fixture
def empty_mirror() -> Iterator[str]:
    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            there = self.path == "/debian/dists/trixie/InRelease"
            self.send_response(200 if there else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/debian"
    server.shutdown()
    server.server_close()


def test_says_that_a_mirror_lacks_the_suite(empty_mirror: str, tmp_path: Path) -> None:
    root.check_mirror("trixie", empty_mirror, {})
    with pytest.raises(LabError, match=f"the mirror {empty_mirror} does not have the suite sid"):
        root.check_mirror("sid", empty_mirror, {})
    with pytest.raises(LabError, match="does not have the suite sid"):
        root.check_mirror("sid", f"file://{tmp_path}", {})


def test_says_that_a_mirror_is_out_of_reach() -> None:
    with pytest.raises(LabError, match="cannot be reached"):
        root.check_mirror("sid", "http://127.0.0.1:9/debian", {})


def test_removes_a_half_built_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABTUI_CACHE", str(tmp_path))
    lab = Lab("x")
    whole = tmp_path / f"root-trixie-{root.digest('trixie', root.packages())}"
    half = tmp_path / "root-trixie-0123456789ab.partial"
    old = tmp_path / "root-trixie-ba9876543210"
    for folder in (whole, half / "usr/bin", old):
        folder.mkdir(parents=True)
    assert root.ensure(lab, print) == whole
    assert lab.root.resolve() == whole
    assert not half.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    ("name", "suite", "reason"),
    [
        ("Lab", "trixie", "a lab's name is"),
        ("../x", "trixie", "a lab's name is"),
        ("x", "potato", "no such suite: potato"),
    ],
)
def test_refuses_what_it_cannot_make(name: str, suite: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason) as caught:
        up.check_host(Lab(name, suite))
    assert caught.value.code == 2


def test_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="run this as root"):
        up.check_host(Lab("x"))


def test_needs_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(root, "host_release", lambda: {"ID": "fedora"})
    with pytest.raises(LabError, match="needs a Debian machine"):
        up.check_host(Lab("x"))
