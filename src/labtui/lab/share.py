"""/mnt/nfs: kept by truenas, mounted by the three others, and hanging when truenas does.

It is sshfs, on every kernel: its server is a process of truenas and stops with it, where the
kernel's NFS threads would serve on for a machine that is hung. It is mounted without keep-alives,
so that a truenas that does not answer hangs every access (as a hard NFS mount does) instead of
failing it; what waits goes on when truenas answers again, and fails when truenas was rebooted.
Unlike on NFS every file belongs to labop and modes are not enforced.
"""

from __future__ import annotations

import os

from labtui.lab import ssh
from labtui.lab.layout import MACHINES, OPERATOR, SHARE, STORAGE, Lab
from labtui.lab.system import account, enable, write

EXPORT = "/srv/nfs"
UNIT = "labtui-share.service"

SSHFS = f"""\
[Unit]
Description=The shared folder {SHARE} from {STORAGE} (sshfs)
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/sshfs -f {OPERATOR}@{STORAGE}:{EXPORT} {SHARE} -o allow_other,reconnect,\
dir_cache=no,attr_timeout=1,entry_timeout=1,IdentityFile=/etc/labtui/share,BatchMode=yes,\
StrictHostKeyChecking=yes,ConnectTimeout=5,ServerAliveInterval=0
ExecStopPost=-/usr/bin/umount --lazy {SHARE}
Restart=always
RestartSec=0.5
"""

BIND = f"""\
[Unit]
Description=The shared folder {SHARE}, kept here

[Mount]
What={EXPORT}
Where={SHARE}
Type=none
Options=bind
"""


def kind() -> str:
    """What carries the share here, as screens name it."""
    return "sshfs"


def ensure_keys(lab: Lab) -> None:
    """A key for each machine that mounts the share."""
    for machine in _clients():
        ssh.ensure_key(lab.ssh / f"share-{machine}", f"share@{machine}")


def keys(lab: Lab) -> list[str]:
    """What truenas authorizes: file transfer, nothing else."""
    return [
        f'restrict,command="internal-sftp" {(lab.ssh / f"share-{m}.pub").read_text()}'
        for m in _clients()
    ]


def prepare(lab: Lab, machine: str) -> None:
    """Have a machine serve or mount the share."""
    root = lab.machine_root(machine)
    units = root / "etc/systemd/system"
    write(root / "etc/ssh/ssh_known_hosts", (lab.ssh / "known_hosts").read_text())
    if machine == STORAGE:
        for folder in (root / "srv/nfs", root / "srv/nfs/jobs"):
            folder.mkdir(exist_ok=True)
            os.chown(folder, *account(root, OPERATOR))
            folder.chmod(0o1777)
        write(units / "mnt-nfs.mount", BIND)
        enable(root, "mnt-nfs.mount")
    else:
        write(root / "etc/labtui/share", (lab.ssh / f"share-{machine}").read_text(), 0o600)
        write(units / UNIT, SSHFS)
        enable(root, UNIT)


def _clients() -> list[str]:
    return [m for m in MACHINES if m != STORAGE]
