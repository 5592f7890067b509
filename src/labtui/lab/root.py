"""The one root file system under every machine: built once for a suite, then only read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from labtui.lab.layout import OPERATOR, SUITES, Lab, Say
from labtui.lab.system import PATH, USAGE, LabError, locked, run, write

NEEDED = {
    "debootstrap": "debootstrap",
    "wget": "wget",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "openssl": "openssl",
    "losetup": "mount",
}
"""Program -> Debian package the host needs."""

BASE = ["systemd", "systemd-sysv", "dbus", "iproute2", "procps", "kmod"]
PACKAGES = [
    *("openssh-server", "munge", "slurmctld", "slurmd", "slurm-client"),
    *("slurmdbd", "mariadb-server"),
    *("prometheus-node-exporter", "prometheus", "prometheus-alertmanager"),
    *("python3", "sudo", "less", "nano", "bash-completion"),
    *("sshfs", "fuse3", "libfaketime", "ca-certificates", "curl", "iputils-ping"),
]

RESEARCHERS = ("ana", "ben")

SETTLE = f"""
set -eu
# Nothing runs unless a machine's own layer says so.
echo 'disable *' > /etc/systemd/system-preset/00-labtui.preset
systemctl preset-all
systemctl set-default multi-user.target
systemctl mask systemd-logind.service console-getty.service getty.target \
  systemd-networkd-wait-online.service systemd-resolved.service systemd-udevd.service \
  systemd-firstboot.service systemd-homed.service systemd-sysusers.service
groupadd -f -g 1000 research
for user in {OPERATOR}:1001 {RESEARCHERS[0]}:1002 {RESEARCHERS[1]}:1003; do
  useradd -m -u "${{user#*:}}" -g research -s /bin/bash -p '*' "${{user%:*}}"
done
usermod -a -G adm,systemd-journal {OPERATOR}
echo '{OPERATOR} ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/labtui
chmod 440 /etc/sudoers.d/labtui
rm -f /etc/ssh/ssh_host_* /etc/munge/munge.key /etc/motd /etc/update-motd.d/*
rm -f /etc/resolv.conf /etc/hostname
: > /etc/resolv.conf
mkdir -p /mnt/nfs /srv/nfs /scratch /etc/slurm /var/log/slurm \
  /var/lib/slurm/slurmctld /var/lib/slurm/slurmd /etc/systemd/journald.conf.d
chown slurm:slurm /var/log/slurm /var/lib/slurm /var/lib/slurm/slurmctld
printf '[Journal]\\nStorage=volatile\\nRuntimeMaxUse=16M\\n' \
  > /etc/systemd/journald.conf.d/labtui.conf
printf '[Manager]\\nDefaultTimeoutStopSec=5s\\n' > /etc/systemd/system.conf.d/labtui.conf
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /var/log/*.log
"""
"""Run in the new root after the packages are in."""


class Source(msgspec.Struct, frozen=True):
    """One line of apt's sources: an archive and a suite in it."""

    uri: str
    suite: str
    keyring: str = ""


def host_release() -> dict[str, str]:
    """/etc/os-release as a mapping."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip().strip('"') for key, _, value in pairs}


def apt_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Every binary source that this machine's apt knows, from both of its file formats."""
    found: list[Source] = []
    lists = [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]
    for path in lists:
        if path.is_file():
            found += _one_line(path.read_text(errors="replace"))
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        found += _deb822(path.read_text(errors="replace"))
    return [Source(_resolved(s.uri), s.suite, s.keyring) for s in found]


def _one_line(text: str) -> Iterable[Source]:
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] != "deb":
            continue
        keyring = ""
        if len(words) > 1 and words[1].startswith("["):
            end = next((i for i, w in enumerate(words) if w.endswith("]")), 1)
            for option in " ".join(words[1 : end + 1]).strip("[]").split():
                if option.startswith("signed-by="):
                    keyring = option.removeprefix("signed-by=")
            words = [words[0], *words[end + 1 :]]
        if len(words) >= 4 and "main" in words[3:]:
            yield Source(words[1].rstrip("/"), words[2], keyring)


def _deb822(text: str) -> Iterable[Source]:
    for stanza in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = f"{fields.get(key, '')}\n{line.strip()}"
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.lower()
                fields[key] = value.strip()
        if (
            "deb" not in fields.get("types", "").split()
            or fields.get("enabled", "yes") == "no"
            or "main" not in fields.get("components", "").split()
        ):
            continue
        signed = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri.rstrip("/"), suite, signed if signed.startswith("/") else "")


def _resolved(uri: str) -> str:
    """`mirror+file:` names a list of mirrors: its first."""
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
    lines = path.read_text().split("\n") if path.is_file() else []
    return next((w.split()[0].rstrip("/") for w in lines if w.strip() and w[0] != "#"), uri)


def mirror(sources: Sequence[Source], codename: str) -> tuple[Source, Source | None]:
    """This machine's own archive and its security archive, by the suites it takes from them."""
    updated = {s.uri for s in sources if s.suite.endswith("-updates")}

    def foreign(source: Source) -> tuple[bool, bool, bool]:
        # Other people's archives use Debian's suites and components too: those come last.
        own_name = source.uri.endswith(("/debian", "/debian-security"))
        return source.uri not in updated, not own_name, source.suite != codename

    suites = (codename, *SUITES, "stable", "unstable")
    main = min((s for s in sources if s.suite in suites), key=foreign, default=None)
    if main is None:
        raise LabError("this machine's apt sources name no Debian archive to build the lab from")
    security = (s for s in sources if s.suite.endswith("-security"))
    return main, min(security, key=foreign, default=None)


def packages(extra: Iterable[str] = ()) -> list[str]:
    """Everything installed in the root, sorted: the list that names a root."""
    return sorted({*PACKAGES, *extra})


def digest(suite: str, names: Sequence[str]) -> str:
    """Names a root by its content: a changed recipe or list is another root."""
    return hashlib.sha256("\n".join([suite, *BASE, *names, SETTLE]).encode()).hexdigest()[:12]


def install_host(say: Say) -> None:
    """Install what the host lacks, with apt. Raises LabError."""
    apt_install({pkg for exe, pkg in NEEDED.items() if not shutil.which(exe, path=PATH)}, say)


def apt_install(packages: Collection[str], say: Say) -> None:
    """Install packages on this machine, with fresh lists if the old ones fail. Raises LabError."""
    if not packages:
        return
    say(f"installing {' '.join(sorted(packages))}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *sorted(packages)]
    if run(install, timeout=600, env=env, check=False).returncode:
        run(["apt-get", "-qq", "update"], timeout=300, env=env)
        run(install, timeout=600, env=env)


def ensure(lab: Lab, say: Say, extra: Iterable[str] = ()) -> Path:
    """The root file system for the lab, built if it is not there. Returns its real folder."""
    names = packages(extra)
    target = lab.cache / f"root-{lab.suite}-{digest(lab.suite, names)}"
    lab.cache.mkdir(parents=True, exist_ok=True)
    with locked(lab.cache / f"root-{lab.suite}.lock", 1800, lambda: say("waiting for a build")):
        for partial in lab.cache.glob(f"root-{lab.suite}-*.partial"):
            remove(partial)
        if not target.is_dir():
            say(f"building the root file system ({lab.suite}): a few minutes, once")
            partial = target.with_name(target.name + ".partial")
            _build(lab.suite, names, partial, say)
            partial.rename(target)
        link = lab.root.with_name(f".{lab.root.name}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(lab.root)
        used = Path("/proc/self/mountinfo").read_text()
        for old in lab.cache.glob(f"root-{lab.suite}-*"):
            if old.is_dir() and old != target and f"lowerdir={old}," not in used:
                remove(old)
    return target


def remove(tree: Path) -> None:
    """Remove a tree, never crossing into something mounted in it."""
    run(["rm", "-rf", "--one-file-system", "--", tree], timeout=300)


def _build(suite: str, names: Sequence[str], root: Path, say: Say) -> None:
    codename = host_release().get("VERSION_CODENAME", "")
    main, security = mirror(apt_sources(), codename)
    proxy = _apt_value("Acquire::http::Proxy")
    env = {"http_proxy": proxy, "https_proxy": proxy} if proxy else {}
    check_mirror(suite, main.uri, env)
    log = root.with_suffix(".log")
    log.unlink(missing_ok=True)
    keyring = ["--keyring", main.keyring] if Path(main.keyring).is_file() else []
    _contained(
        [
            *("debootstrap", "--variant=minbase", "--merged-usr", *keyring),
            f"--include={','.join(BASE)}",
            *(suite, str(root), main.uri),
        ],
        env,
        log,
    )
    lines = [f"deb {main.uri} {suite} main"]
    if security and suite != "sid":
        lines.append(f"deb {security.uri} {suite}-security main")
    write(root / "etc/apt/sources.list", "\n".join(lines) + "\n")
    write(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    write(root / "etc/resolv.conf", _text("/etc/resolv.conf"))
    write(root / "etc/hosts", _text("/etc/hosts"))
    # A smaller redo log: it is copied whole into a machine's layer at its first start.
    write(
        root / "etc/mysql/mariadb.conf.d/90-labtui.cnf",
        "[mariadbd]\ninnodb_log_file_size=16M\ninnodb_buffer_pool_size=64M\n"
        "innodb_lock_wait_timeout=900\nskip-name-resolve\nbind-address=127.0.0.1\n"
        "performance_schema=off\n",
    )
    ca = _text("/etc/ssl/certs/ca-certificates.crt")
    write(root / "tmp/ca.crt", ca)
    options = ["-o", "Dpkg::Options::=--force-unsafe-io", "-o", "Dpkg::Options::=--force-confold"]
    # A mirror may be a dated copy; what it has is signed all the same.
    options += ["-o", "Acquire::Check-Valid-Until=false"]
    if ca:
        options += ["-o", "Acquire::https::CAInfo=/tmp/ca.crt"]
    if proxy:
        options += ["-o", f"Acquire::http::Proxy={proxy}"]
    env["DEBIAN_FRONTEND"] = "noninteractive"
    say("installing Slurm and the services into it")
    _in_root(root, ["apt-get", "-q", *options, "update"], env, log)
    _in_root(
        root,
        ["apt-get", "-q", "-y", "--no-install-recommends", *options, "install", *names],
        env,
        log,
    )
    (root / "etc/systemd/system-preset").mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/system.conf.d").mkdir(parents=True, exist_ok=True)
    _in_root(root, ["sh", "-c", SETTLE], env, log)
    (root / "usr/sbin/policy-rc.d").unlink()
    (root / "tmp/ca.crt").unlink()
    log.unlink()


def check_mirror(suite: str, uri: str, env: dict[str, str]) -> None:
    """Raises LabError, in one sentence, when the mirror lacks the suite or does not answer."""
    release = f"{uri}/dists/{suite}/InRelease"
    if uri.startswith("file:"):
        there = Path(release.removeprefix("file:").replace("//", "/", 1)).is_file()
        status = 0 if there else 8
    else:
        argv = ["wget", "-q", "--spider", "--timeout=20", "--tries=2", release]
        status = run(argv, timeout=60, env=env, check=False).returncode
    if status == 8:
        raise LabError(f"the mirror {uri} does not have the suite {suite}")
    if status:
        raise LabError(f"the mirror {uri} cannot be reached")


def _contained(argv: Sequence[str], env: dict[str, str], log: Path) -> None:
    """Run in mount and pid namespaces of its own, and die with us: a killed build leaves no mount
    and no process behind."""
    run(
        [
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
            *("--pid", "--fork", "--kill-child", *argv),
        ],
        timeout=1800,
        env=env,
        log=log,
    )


def _in_root(root: Path, argv: Sequence[str], env: dict[str, str], log: Path) -> None:
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    _contained(["sh", "-c", enter, str(root), *argv], env, log)


def _apt_value(key: str) -> str:
    done = run(["apt-config", "shell", "v", key], check=False)
    return done.stdout.partition("=")[2].strip().strip("'")


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def check_suite_name(suite: str) -> None:
    """Raises LabError for a suite the lab has no recipe for."""
    if suite not in SUITES:
        raise LabError(f"no such suite: {suite} (there are {', '.join(SUITES)})", USAGE)
