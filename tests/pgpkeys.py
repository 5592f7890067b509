"""Throw-away OpenPGP keys: each holder has a GNUPGHOME, short enough for gpg-agent's socket."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realservers import program


@dataclass
class Holder:
    name: str
    home: Path
    public: Path
    """The exported key, armoured."""

    def gpg(self, *argv: str) -> bytes:
        return run_gpg(self.home, *argv)

    def opens(self, path: str | Path) -> str:
        """What a file holds that is wrapped for this holder."""
        return self.gpg("--decrypt", str(path)).decode()


def run_gpg(home: Path, *argv: str) -> bytes:
    call = [program("gpg"), "--homedir", str(home), "--batch", "--quiet",
            "--pinentry-mode", "loopback", "--passphrase", "", *argv]  # fmt: skip
    done = subprocess.run(call, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def holders(*names: str, kind: str = "future-default") -> Iterator[list[Holder]]:
    """A key each, made by gpg, without a passphrase. `kind`: rsa, or what gpg calls an algorithm;
    `future-default` signs by ed25519 and encrypts by cv25519."""
    folder = Path(tempfile.mkdtemp(prefix="lt-", dir="/tmp"))
    made: list[Holder] = []
    try:
        for name in names:
            home = folder / name
            home.mkdir(mode=0o700)
            uid = f"{name.capitalize()} <{name}@lab>"
            run_gpg(home, "--quick-generate-key", uid, kind, "default", "never")
            if kind.startswith("rsa"):
                listing = run_gpg(home, "--list-keys", "--with-colons").decode()
                print_ = next(x.split(":")[9] for x in listing.splitlines() if x.startswith("fpr"))
                run_gpg(home, "--quick-add-key", print_, kind, "encr", "never")
            public = folder / f"{name}.asc"
            public.write_bytes(run_gpg(home, "--armor", "--export"))
            made.append(Holder(name, home, public))
        yield made
    finally:
        for name in names:
            call = ["gpgconf", "--homedir", str(folder / name), "--kill", "all"]
            subprocess.run(call, capture_output=True, timeout=20, check=False)
        shutil.rmtree(folder, ignore_errors=True)
