"""Kubernetes' parts on desktop-gpu as systemd units: what runs, with which options."""

from __future__ import annotations

from labtui.lab.kube_access import ADDRESS, URL
from labtui.lab.layout import CONTROLLER, PORTS

PROGRAMS = "/opt/kubernetes"
"""Where the cached programs are bound in the machine."""
ETC = "/etc/kubernetes"
OURS = "/opt/labtui-kube"
"""The lab's own two programs, as a package `labtui.lab` of three files."""

ETCD_DEFAULTS = """\
# A power cut in the lab ends processes, never the kernel: what was written is there.
ETCD_UNSAFE_NO_FSYNC=true
ETCD_LOG_LEVEL=warn
"""

PROFILE = f"test -r {ETC}/admin.conf && export KUBECONFIG={ETC}/admin.conf\n"
"""For root's own shell in the machine."""

_UNIT = """\
[Unit]
Description={description}
After=network.target {after}
# Absent until it is built, a first time, while the machine already runs.
ConditionPathExists={PROGRAMS}/kwok
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{more}Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

_APISERVER = (
    f"{PROGRAMS}/kube-apiserver",
    "--etcd-servers=http://127.0.0.1:2379",
    # Its cache asks etcd how far it is, which bookworm's 3.4.23 cannot say: watches stood still.
    "--watch-cache=false",
    f"--secure-port={PORTS['kube-apiserver']}",
    # The machine has no default route, from which it would tell its own address.
    f"--advertise-address={ADDRESS}",
    "--endpoint-reconciler-type=none",
    f"--tls-cert-file={ETC}/kube-apiserver.pem",
    f"--tls-private-key-file={ETC}/kube-apiserver.key",
    f"--token-auth-file={ETC}/tokens.csv",
    "--anonymous-auth=false",
    "--authorization-mode=RBAC",
    # There is no controller manager that makes each namespace's own account.
    "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
    f"--service-account-issuer={URL}",
    f"--service-account-key-file={ETC}/accounts.pub",
    f"--service-account-signing-key-file={ETC}/accounts.key",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--kubelet-preferred-address-types=InternalIP",
    f"--kubelet-certificate-authority={ETC}/ca.pem",
    "--profiling=false",
)
_SCHEDULER = (
    f"{PROGRAMS}/kube-scheduler",
    f"--kubeconfig={ETC}/scheduler.conf",
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
    "--authentication-skip-lookup",
    "--profiling=false",
)
_KWOK = (
    f"{PROGRAMS}/kwok",
    f"--kubeconfig={ETC}/kubelet.conf",
    f"--config={ETC}/exec.yaml",
    f"--manage-single-node={CONTROLLER}",
    f"--node-name={CONTROLLER}",
    f"--node-ip={ADDRESS}",
    f"--node-port={PORTS['kubelet']}",
    f"--tls-cert-file={ETC}/kubelet.pem",
    f"--tls-private-key-file={ETC}/kubelet.key",
    # A lease would keep a kwok that was started anew from its node until the old one ran out.
    "--node-lease-duration-seconds=0",
    "--v=WARN",
)
_PATIENT = f"""\
# Asked too early, the server refuses even its own, and the scheduler asks again only much later.
ExecStartPre=-/usr/bin/timeout 80 sh -c \
  'until kubectl --kubeconfig={ETC}/admin.conf get --raw=/readyz; do sleep 0.3; done'
StandardOutput=null
"""
_JAIL = """\
# What a login pod of Soperator has at /mnt/jail: the file system that jobs see. Here it is the
# machine's own, and only this unit and what it starts see it.
BindPaths=/:/mnt/jail:rbind
"""

PARTS = ("etcd", "kube-apiserver", "kube-scheduler", "kwok")
STAND_INS = ("labtui-device-plugin", "labtui-containers")


def _unit(description: str, command: tuple[str, ...], after: str = "", more: str = "") -> str:
    return _UNIT.format(
        description=description,
        command=" \\\n  ".join(command),
        after=after,
        more=more,
        PROGRAMS=PROGRAMS,
    )


def _program(module: str) -> tuple[str, ...]:
    return (f"/usr/bin/python3 -m labtui.lab.{module}", CONTROLLER)


_PYTHON = f"""\
Environment=PYTHONPATH={OURS} PYTHONDONTWRITEBYTECODE=1
SyslogIdentifier=%N
"""
_API = "kube-apiserver.service"

UNITS = {
    "kube-apiserver": _unit("Kubernetes API server", _APISERVER, "etcd.service"),
    "kube-scheduler": _unit("Kubernetes scheduler", _SCHEDULER, _API, _PATIENT),
    "kwok": _unit("kwok, which stands in for the kubelet", _KWOK, _API, _PATIENT + _JAIL),
    "labtui-device-plugin": _unit(
        "A stand-in of NVIDIA's device plug-in", _program("device_plugin"), _API, _PYTHON
    ),
    "labtui-containers": _unit(
        "A stand-in of the kubelet's containers", _program("containers"), _API, _PYTHON
    ),
}
"""All but etcd, which has Debian's."""
