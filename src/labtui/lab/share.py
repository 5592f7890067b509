"""/mnt/nfs: kept by truenas, mounted by the three others, and hanging when truenas does.

NFS where the kernel has its client, else sshfs. Either way the server is a process of truenas and
stops with it, where the kernel's own NFS threads would serve on for a machine that is hung.

NFS is mounted hard. sshfs is mounted without keep-alives, so that a truenas that does not answer
hangs every access too instead of failing it; what waits goes on when truenas answers again, and
fails when truenas was rebooted. Unlike on NFS every file belongs to labop and modes are not
enforced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from labtui.lab import ssh
from labtui.lab.layout import MACHINES, OPERATOR, SHARE, STORAGE, Lab
from labtui.lab.system import LabError, account, enable, run, write

EXPORT = "/srv/nfs"
UNIT = "labtui-share.service"
SERVER = "labtui-nfs.service"
GANESHA = "usr/bin/ganesha.nfsd"
PACKAGES = ("nfs-common", "nfs-ganesha", "nfs-ganesha-vfs")

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

NFS = f"""\
[Unit]
Description=The shared folder {SHARE} from {STORAGE} (NFS)
After=network.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/mount -t nfs4 -o vers=4.2,hard,proto=tcp,retry=0 {STORAGE}:{EXPORT} {SHARE}
ExecStop=-/usr/bin/umount --force --lazy {SHARE}
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=0.5
"""

GANESHA_UNIT = f"""\
[Unit]
Description=NFS server of {EXPORT}
After=network.target dbus.service

[Service]
RuntimeDirectory=ganesha
ExecStart=/{GANESHA} -F -L STDERR -N NIV_WARN -f /etc/labtui/nfs.conf
Restart=always
RestartSec=0.5
"""

# Graceless: clients open anew after a reboot; else nobody could open a file for 90 s after each.
GANESHA_CONFIG = f"""\
NFS_CORE_PARAM {{
  Protocols = 4; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false;
  allow_set_io_flusher_fail = true;
}}
NFSV4 {{ Graceless = true; Only_Numeric_Owners = true; }}
EXPORT {{
  Export_Id = 1; Path = {EXPORT}; Pseudo = {EXPORT}; Protocols = 4; Transports = TCP;
  Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }}
}}
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


class Carrier(msgspec.Struct, frozen=True):
    """What is to carry the share, why, and what the root file system needs for it."""

    name: str
    why: str
    packages: Sequence[str] = ()


def choose(filesystems: Path = Path("/proc/filesystems")) -> Carrier:
    """NFS where this machine's kernel has the client or can load it, else sshfs."""
    if not _has_client(filesystems):
        with contextlib.suppress(LabError):  # no modprobe: a kernel without modules
            run(["modprobe", "--quiet", "nfsv4"], check=False)
        if not _has_client(filesystems):
            return Carrier("sshfs", "this kernel has no NFS client")
    return Carrier("nfs", "this kernel has an NFS client", PACKAGES)


def kind(lab: Lab, machine: str) -> str:
    """What carries the share on a machine that runs: its root was built for one of them."""
    return "nfs" if (lab.machine_root(machine) / GANESHA).exists() else "sshfs"


def options(lab: Lab, machine: str) -> list[str]:
    """What systemd-nspawn is told for the machine that serves over NFS.

    The server finds files by the kernel's handles, which a machine's layered root has not, so the
    folder is a plain one; and opening by handle is what containers are otherwise refused.
    """
    if machine != STORAGE or kind(lab, machine) != "nfs":
        return []
    return [f"--bind={_kept(lab)}:{EXPORT}", "--system-call-filter=open_by_handle_at"]


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
    over_nfs = kind(lab, machine) == "nfs"
    write(root / "etc/ssh/ssh_known_hosts", (lab.ssh / "known_hosts").read_text())
    if machine == STORAGE:
        for folder in (_kept(lab), _kept(lab) / "jobs"):
            folder.mkdir(exist_ok=True)
            os.chown(folder, *account(root, OPERATOR))
            folder.chmod(0o1777)
        write(units / "mnt-nfs.mount", BIND)
        enable(root, "mnt-nfs.mount")
        if over_nfs:
            write(root / "etc/labtui/nfs.conf", GANESHA_CONFIG)
            write(units / SERVER, GANESHA_UNIT)
            enable(root, SERVER)
    else:
        write(root / "etc/labtui/share", (lab.ssh / f"share-{machine}").read_text(), 0o600)
        write(units / UNIT, NFS if over_nfs else SSHFS)
        enable(root, UNIT)


def _kept(lab: Lab) -> Path:
    """Where truenas keeps the share's files, as this machine names it."""
    if kind(lab, STORAGE) == "nfs":
        return lab.machine_dir(STORAGE) / "share"
    return lab.machine_root(STORAGE) / "srv/nfs"


def _has_client(filesystems: Path) -> bool:
    return "nfs4" in filesystems.read_text().split()


def _clients() -> list[str]:
    return [m for m in MACHINES if m != STORAGE]
