"""Slurm as the lab runs it: one controller with accounting, three nodes without files of their own.

The nodes' hardware is what the configuration says (config_overrides), their GPUs are device files
that lead to /dev/null: Slurm counts, allocates and enforces them as it does real ones.
"""

from __future__ import annotations

import secrets

from labtui.lab import machines
from labtui.lab.layout import CONTROLLER, MACHINES, OPERATOR, PORTS, Lab
from labtui.lab.root import RESEARCHERS
from labtui.lab.system import LabError, account, enable, write

ACCOUNT = "research"
LIMITS = {"gpu": "1-00:00:00", "cpu": "2-00:00:00", "edge": "12:00:00"}
"""Partition -> the longest time limit a job may ask for."""
DEFAULT_PARTITION = "cpu"

GPU_FILES = {
    "desktop-gpu": [f"/dev/nvidia0s{i}" for i in range(4)],
    "jetson-edge": ["/dev/jetson0"],
}
"""The character devices that stand in for GPU shares."""

NODES = [m for m in MACHINES.values() if m.partition]

COMMON = """\
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
SlurmctldParameters=enable_configless
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmctldDebug=info
SlurmdDebug=info
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=1000
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=3
PriorityType=priority/multifactor
JobRequeue=1
# A failure is seen within half a minute, and a node that comes back is used at once.
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=3
MinJobAge=300
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageTRES=gres/gpu,gres/gpu:jetson
AccountingStorageEnforce=limits,qos
"""


def slurm_conf(lab: Lab) -> str:
    """slurm.conf: the same on the controller and for every client."""
    controller = MACHINES[CONTROLLER]
    lines = [
        f"ClusterName={lab.name}",
        f"SlurmctldHost={controller.name}({controller.address})",
        f"SlurmctldPort={PORTS['slurmctld']}",
        f"SlurmdPort={PORTS['slurmd']}",
        f"AccountingStorageHost={controller.name}",
        f"AccountingStoragePort={PORTS['slurmdbd']}",
        COMMON,
    ]
    for m in NODES:
        gres = f" Gres={m.gres}" if m.gres else ""
        lines.append(
            f"NodeName={m.name} NodeAddr={m.address} CPUs={m.cpus} RealMemory={m.memory_mib}"
            f"{gres} State=UNKNOWN"
        )
    for m in NODES:
        default = "YES" if m.partition == DEFAULT_PARTITION else "NO"
        lines.append(
            f"PartitionName={m.partition} Nodes={m.name} Default={default} DefaultTime=1:00:00 "
            f"MaxTime={LIMITS[m.partition]} State=UP"
        )
    return "\n".join(lines) + "\n"


def gres_conf() -> str:
    """gres.conf for the whole cluster; the nodes get it from the controller."""
    lines = []
    for name, files in GPU_FILES.items():
        kind = MACHINES[name].gres.split(":")[1:-1]
        typed = f" Type={kind[0]}" if kind else ""
        lines += [f"NodeName={name} Name=gpu{typed} File={file}" for file in files]
    return "\n".join(lines) + "\n"


SLURMDBD_CONF = f"""\
AuthType=auth/munge
DbdHost={CONTROLLER}
DbdPort={PORTS["slurmdbd"]}
SlurmUser=slurm
DebugLevel=info
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurmdbd/slurmdbd.pid
StorageType=accounting_storage/mysql
# By its socket: MariaDB knows slurmdbd by the account it runs as, there is no password.
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
"""

DATABASE = """\
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
"""

ACCOUNTING = """\
#!/bin/sh
# Holds slurmctld back until slurmdbd answers; the first time, tells it the cluster, its account
# and its people: without them slurmctld does not start. Later it can do without slurmdbd.
done=/var/lib/slurm/accounting
tries=0
until sacctmgr -n show cluster >/dev/null 2>&1; do
  tries=$((tries + 1))
  test -e $done -a $tries -gt 100 && exit 0
  sleep 0.1
done
test -e $done && exit 0
sacctmgr -iQ add cluster @CLUSTER@
sacctmgr -iQ add account @ACCOUNT@ Description=research Organization=lab
sacctmgr -iQ add user @OPERATOR@ account=@ACCOUNT@ adminlevel=Operator
for user in @RESEARCHERS@; do sacctmgr -iQ add user $user account=@ACCOUNT@; done
sacctmgr -nP show user @OPERATOR@ format=adminlevel | grep -q Operator && touch $done
"""

ACCOUNTING_UNIT = """\
[Unit]
Description=Fill the accounting database of the lab's cluster
After=slurmdbd.service
Before=slurmctld.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=1
ExecStart=/usr/local/sbin/labtui-accounting
"""

RETRY = """\
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=1
"""
"""A daemon that gave up on one that was not there yet tries again."""

PATIENT = (
    RETRY
    + """\
TimeoutStartSec=180
# Asked before the controller is there, slurmd asks again only 10 s later.
ExecStartPre=-/usr/bin/timeout 120 sh -c 'until scontrol ping >/dev/null 2>&1; do sleep 0.2; done'
"""
)


def prepare(lab: Lab, machine: str) -> None:
    """Write Slurm's and munge's files into a machine's root and have its daemons start."""
    root = lab.machine_root(machine)
    munge = account(root, "munge")
    write(root / "etc/munge/munge.key", _munge_key(lab), 0o400, munge)
    write(root / "etc/slurm/slurm.conf", slurm_conf(lab))
    # Debian's includes a folder by a pattern, which slurmctld logs as an error.
    write(root / "etc/slurm/plugstack.conf", "# no SPANK plugins\n")
    # 22.05 has no such plugin and needs none: it takes no control groups unless told to.
    if lab.suite != "bookworm":
        write(root / "etc/slurm/cgroup.conf", "CgroupPlugin=disabled\n")
    enable(root, "munge")
    if machine == CONTROLLER:
        _prepare_controller(lab)
    if MACHINES[machine].partition:
        server = f"{CONTROLLER}:{PORTS['slurmctld']}"
        write(root / "etc/default/slurmd", f'SLURMD_OPTIONS="--conf-server {server}"\n')
        devices = [f"c {f} 0666 root root - 1:3" for f in GPU_FILES.get(machine, [])]
        write(root / "etc/tmpfiles.d/labtui-gpu.conf", "\n".join([*devices, ""]))
        write(root / "etc/systemd/system/slurmd.service.d/labtui.conf", PATIENT)
        enable(root, "slurmd")


def _prepare_controller(lab: Lab) -> None:
    root = lab.machine_root(CONTROLLER)
    units = root / "etc/systemd/system"
    write(root / "etc/slurm/gres.conf", gres_conf())
    write(root / "etc/slurm/slurmdbd.conf", SLURMDBD_CONF, 0o600, account(root, "slurm"))
    write(root / "etc/mysql/labtui.sql", DATABASE)
    write(
        root / "etc/mysql/mariadb.conf.d/91-labtui.cnf",
        "[mariadbd]\ninit_file=/etc/mysql/labtui.sql\n",
    )
    values = {
        "CLUSTER": lab.name,
        "ACCOUNT": ACCOUNT,
        "OPERATOR": OPERATOR,
        "RESEARCHERS": " ".join(RESEARCHERS),
    }
    script = ACCOUNTING
    for key, value in values.items():
        script = script.replace(f"@{key}@", value)
    write(root / "usr/local/sbin/labtui-accounting", script, 0o755)
    write(units / "labtui-accounting.service", ACCOUNTING_UNIT)
    for unit in ("slurmdbd", "slurmctld"):
        write(units / f"{unit}.service.d/labtui.conf", RETRY)
    enable(root, "mariadb", "slurmdbd", "labtui-accounting", "slurmctld")


def node_states(lab: Lab) -> dict[str, str]:
    """What slurmctld says of each node ("idle", "down*", ...). Raises LabError."""
    argv = ["timeout", "5", "sinfo", "--noheader", "--Node", "--format=%N %T"]
    out = machines.run(lab, CONTROLLER, argv, timeout=10).stdout
    pairs = (line.split() for line in out.splitlines())
    return {words[0]: words[1] for words in pairs if len(words) == 2}


def lacks(lab: Lab, only: str = "") -> str:
    """Why Slurm is not ready; "" when it answers and no node, or not `only` that one, is down.

    A drained node is ready: an operator wants it so.
    """
    try:
        states = node_states(lab)
    except LabError as e:
        return str(e)
    for node in (n for n in NODES if only in ("", n.name)):
        state = states.get(node.name, "unknown")
        if state.endswith("*") or state.startswith(("down", "unk", "inval", "fail")):
            return f"{node.name} is {state} in Slurm"
    return ""


def _munge_key(lab: Lab) -> str:
    path = lab.secrets / "munge.key"
    if not path.is_file():
        lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(path, secrets.token_hex(64), 0o600)
    return path.read_text()
