"""Keys of the lab: one for labop, one host key for each machine; nothing else opens a door."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from labtui.lab.layout import MACHINES, OPERATOR, Lab
from labtui.lab.system import enable, run, write

SSHD = f"""\
# Key-only, quick: no names looked up, no message of the day.
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers {OPERATOR}
AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys
UseDNS no
PrintMotd no
PrintLastLog no
"""


def ensure_keys(lab: Lab) -> None:
    """labop's key pair, each machine's host key, and a known_hosts that names them all."""
    lab.ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
    ensure_key(lab.ssh / "id", f"labop@{lab.name}")
    lines = []
    for machine in MACHINES.values():
        key = host_key(lab, machine.name)
        ensure_key(key, machine.name)
        public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        lines.append(f"{machine.name},{machine.address} {public}")
    write(lab.ssh / "known_hosts", "\n".join(lines) + "\n", 0o644)


def host_key(lab: Lab, machine: str) -> Path:
    """A machine's private host key, as the lab keeps it."""
    return lab.ssh / f"host-{machine}"


def prepare(lab: Lab, machine: str, also: Iterable[str] = ()) -> None:
    """Put the keys and sshd's settings into a machine's root; `also`: more lines of keys."""
    root = lab.machine_root(machine)
    key = host_key(lab, machine)
    write(root / "etc/ssh/ssh_host_ed25519_key", key.read_text(), 0o600)
    write(root / "etc/ssh/ssh_host_ed25519_key.pub", key.with_suffix(".pub").read_text())
    write(root / "etc/ssh/sshd_config.d/labtui.conf", SSHD)
    keys = [(lab.ssh / "id.pub").read_text(), *also]
    write(root / "etc/ssh/keys" / OPERATOR, "".join(f"{key.strip()}\n" for key in keys))
    enable(root, "ssh")


def ensure_key(path: Path, comment: str) -> None:
    """A key pair without passphrase, made if one half of it is missing."""
    if not (path.is_file() and path.with_suffix(".pub").is_file()):
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
