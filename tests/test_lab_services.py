"""Vault, Prometheus, Alertmanager, MLflow and the GPU stand-in, as they run in the lab."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hvac
import pytest

from labtui.lab import (
    background,
    fault,
    machines,
    mlflow,
    monitoring,
    net,
    services,
    tls,
    vault,
    vault_build,
    vault_service,
    vault_setup,
)
from labtui.lab.gpu import CONTROL
from labtui.lab.layout import CONTROLLER, MACHINES, MONITOR, PORTS, STORAGE, Lab, Service
from labtui.lab.system import LabError, wait_for

PROMETHEUS = f"http://{MACHINES[MONITOR].address}:{PORTS['prometheus']}"
ALERTMANAGER = f"http://{MACHINES[MONITOR].address}:{PORTS['alertmanager']}"


# Without a lab


def checker(name: str) -> list[str]:
    """promtool or amtool: this machine's own, else the one in the lab's root."""
    if shutil.which(name):
        return [name]
    root = Lab().root
    if (root / "usr/bin" / name).exists():
        return ["chroot", str(root), name]
    pytest.skip(f"NO {name} HERE: neither on PATH nor in {root}")


def check(name: str, *words: str, files: Sequence[Path]) -> None:
    """The tool's verdict on files that it gets by standard input's stead: a folder of its own."""
    command = checker(name)
    base = Path(command[1]) if command[0] == "chroot" else Path("/")
    folder = base / "tmp/labtui-check"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for file in files:
            shutil.copy(file, folder / file.name)
        last = f"/tmp/labtui-check/{files[0].name}"
        done = subprocess.run([*command, *words, last], capture_output=True, text=True, timeout=60)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_on_its_fault_and_none_on_a_healthy_lab(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(monitoring.RULES.read_text())
    check("promtool", "check", "rules", files=[rules])
    tests = tmp_path / "tests.yml"
    told = (Path(__file__).parent / "lab-rules-test.yml").read_text()
    tests.write_text(told.replace("../src/labtui/lab/rules.yml", "rules.yml"))
    check("promtool", "test", "rules", files=[tests, rules])


def test_prometheus_and_alertmanager_take_their_configurations(tmp_path: Path) -> None:
    scrape, alerts = tmp_path / "prometheus.yml", tmp_path / "alertmanager.yml"
    scrape.write_text(json.dumps(monitoring.configuration((STORAGE, *vault.PEERS))))
    alerts.write_text(json.dumps(monitoring.alerting()))
    check("promtool", "check", "config", "--syntax-only", files=[scrape])
    check("amtool", "check-config", files=[alerts])


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab that has certificates and nothing else."""
    monkeypatch.setenv("LABTUI_STATE", str(tmp_path))
    return Lab("paper")


def greeted(paper: Lab, trusted: Path) -> bytes:
    """What a client that trusts `trusted` gets from a server with the lab's certificate."""
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(paper.secrets / "truenas.pem", paper.secrets / "truenas.key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            try:
                with here.wrap_socket(connection, server_side=True) as secure:
                    secure.sendall(b"hello")
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        there = ssl.create_default_context(cafile=str(trusted))
        there.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(server.getsockname(), 5) as plain,
            there.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            return secure.recv(5)


def test_a_client_that_trusts_the_labs_authority_accepts_its_server(paper: Lab) -> None:
    tls.ensure_server(paper, "truenas", ["truenas", "localhost"], ["10.77.0.50", "127.0.0.1"])
    assert greeted(paper, paper.ca) == b"hello"
    for key in ("ca.key", "truenas.key"):
        assert stat.S_IMODE((paper.secrets / key).stat().st_mode) == 0o600
    before = [(paper.secrets / "truenas.pem").read_text(), paper.ca.read_text()]
    tls.ensure_server(paper, "truenas", ["truenas"], ["127.0.0.1"])
    assert [(paper.secrets / "truenas.pem").read_text(), paper.ca.read_text()] == before


def test_a_new_authority_signs_anew_and_the_old_one_is_refused(paper: Lab, tmp_path: Path) -> None:
    tls.ensure_server(paper, "truenas", ["truenas"], ["127.0.0.1"])
    old = tmp_path / "old.pem"
    old.write_text(paper.ca.read_text())
    (paper.secrets / "ca.key").unlink()
    tls.ensure_server(paper, "truenas", ["truenas"], ["127.0.0.1"])
    assert greeted(paper, paper.ca) == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError):
        greeted(paper, old)


def test_nothing_can_be_installed_without_a_mirror(
    paper: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABTUI_CACHE", str(tmp_path))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr(mlflow, "python_version", lambda lab: "3.13")
    with pytest.raises(LabError, match="pip could not install: ERROR"):
        mlflow.install(paper)
    assert not (mlflow.folder(paper) / "site").exists()


# In the lab


@pytest.fixture(scope="session")
def served(lab: Lab) -> Lab:
    """The lab with every service at work; Vault only where it is built already."""
    if vault_build.binary(lab) is None and vault_build.on_path() is None:
        pytest.skip("VAULT IS NOT BUILT HERE YET: run `labtui lab up --wait` once (6 minutes)")
    wait_for("the services", lambda: "" if background.pid(lab) is None else "at work", timeout=240)
    for service in services.of(lab):
        wait_for(service.name, lambda s=service: _lacks(lab, s), timeout=30, every=0.5)  # type: ignore[misc]
    return lab


def _lacks(lab: Lab, service: Service) -> str:
    health = service.health(lab)
    return "" if health.state == "running" else f"{health.state}: {health.detail}"


def get(lab: Lab, url: str) -> Any:
    return json.loads(net.call(lab, monitoring.get, url))


def query(lab: Lab, expression: str) -> dict[str, float]:
    """node -> value."""
    words = urllib.parse.urlencode({"query": expression})
    found = get(lab, f"{PROMETHEUS}/api/v1/query?{words}")["data"]["result"]
    return {row["metric"].get("node", ""): float(row["value"][1]) for row in found}


def alerts(lab: Lab) -> set[tuple[str, str]]:
    """(alert, node) of what Alertmanager has active."""
    found = get(lab, f"{ALERTMANAGER}/api/v2/alerts?inhibited=false&silenced=false")
    return {(a["labels"]["alertname"], a["labels"].get("node", "")) for a in found}


def wait_for_alert(lab: Lab, name: str, node: str, active: bool = True, timeout: int = 40) -> None:
    wait_for(
        f"{name} of {node} {'active' if active else 'gone'}",
        lambda: "" if ((name, node) in alerts(lab)) == active else str(sorted(alerts(lab))),
        timeout=timeout,
        every=0.5,
    )


def client(lab: Lab, token: str = "") -> hvac.Client:
    return hvac.Client(url=vault.URL, token=token, verify=str(lab.ca), timeout=10)


def kept(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(vault.shares_file(lab).read_text())
    return found


def seal(lab: Lab) -> None:
    if not client(lab).sys.is_sealed():
        client(lab, kept(lab)["root_token"]).sys.seal()


def unseal(lab: Lab) -> None:
    client(lab).sys.submit_unseal_keys(kept(lab)["unseal_keys_b64"][2:5])

    def inactive() -> str:
        answer = client(lab).sys.read_health_status(method="GET")
        return "" if isinstance(answer, dict) or answer.status_code == 200 else "standby"

    wait_for("Vault", inactive, timeout=20)


@pytest.mark.lab
def test_everything_is_scraped(served: Lab) -> None:
    wait_for("every target", lambda: str(query(served, "up == 0") or ""), timeout=20)
    assert set(query(served, 'up{job="node"}')) == set(MACHINES)

    def unshared() -> str:
        share = query(served, 'node_filesystem_avail_bytes{mountpoint="/mnt/nfs"}')
        return " ".join({"desktop-gpu", "xps15-cpu", "jetson-edge"} - set(share))

    wait_for("the share of every machine", unshared, timeout=30)


@pytest.mark.lab
def test_vault_comes_up_sealed_and_three_of_five_open_it(served: Lab) -> None:
    file = vault.shares_file(served)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    shares = kept(served)["unseal_keys_b64"]
    assert len(set(shares)) == 5

    def ceremony() -> None:
        seal(served)
        status = client(served).sys.read_seal_status()
        assert (status["sealed"], status["t"], status["n"]) == (True, 3, 5)
        unseal(served)
        root = client(served, kept(served)["root_token"])
        role = root.auth.approle.read_role_id(vault.ROLE)["data"]["role_id"]
        secret = root.auth.approle.generate_secret_id(vault.ROLE)["data"]["secret_id"]
        node = client(served)
        node.auth.approle.login(role, secret)
        read = node.secrets.kv.v2.read_secret_version
        for path, field, prefix in vault_setup.SECRETS:
            value = read(path, raise_on_deleted_version=True)["data"]["data"][field]
            assert value.startswith(prefix)
        with pytest.raises(hvac.exceptions.Forbidden):
            read("other", raise_on_deleted_version=True)

    net.call(served, seal, served)
    wait_for_alert(served, "VaultSealed", STORAGE)
    net.call(served, ceremony)
    wait_for_alert(served, "VaultSealed", STORAGE, active=False)
    net.call(served, seal, served)
    wait_for_alert(served, "VaultSealed", STORAGE)


@pytest.mark.lab
def test_a_set_up_that_was_killed_is_finished(served: Lab) -> None:
    service = vault_service.Vault()
    before = kept(served)
    half = {k: v for k, v in before.items() if k != "set_up"}
    vault.shares_file(served).write_text(json.dumps(half))
    net.call(served, unseal, served)
    service.finish(served, lambda line: None)
    assert kept(served) == before, "the same shares, and set up"
    assert net.call(served, lambda: client(served).sys.is_sealed())

    vault.shares_file(served).unlink()
    service.finish(served, lambda line: None)
    after = kept(served)
    assert after["set_up"]
    assert not set(after["unseal_keys_b64"]) & set(before["unseal_keys_b64"])
    net.call(served, unseal, served)
    net.call(served, seal, served)


@pytest.mark.lab
def test_an_earlier_labs_set_up_is_brought_to_date_and_stays_open(served: Lab) -> None:
    before = kept(served)
    vault.shares_file(served).write_text(json.dumps(before | {"set_up": True}))
    net.call(served, unseal, served)
    vault_service.Vault().finish(served, lambda line: None)
    assert kept(served) == before
    assert not net.call(served, lambda: client(served).sys.is_sealed()), "its people opened it"
    net.call(served, seal, served)


@pytest.mark.lab
def test_real_jobs_logged_real_runs(served: Lab) -> None:
    def runs() -> list[dict[str, Any]]:
        found = []
        for page in get(served, f"{mlflow.URL}/api/2.0/mlflow/experiments/search?max_results=50")[
            "experiments"
        ]:
            body = json.dumps({"experiment_ids": [page["experiment_id"]]})
            command = (
                "import sys, urllib.request as u; print(u.urlopen(u.Request(sys.argv[1], "
                "sys.argv[2].encode(), {'Content-Type': 'application/json'}), timeout=9)"
                ".read().decode())"
            )
            address = f"{mlflow.URL}/api/2.0/mlflow/runs/search"
            argv = ["python3", "-c", command, address, body]
            found += json.loads(machines.run(served, MONITOR, argv).stdout).get("runs", [])
        return found

    def lack() -> str:
        going = [r["info"]["run_name"] for r in runs() if r["info"]["status"] == "RUNNING"]
        return "" if len(runs()) >= len(mlflow.RUNS) and not going else f"at work: {going}"

    wait_for("the training runs", lack, timeout=100, every=1)
    found = {r["info"]["run_name"]: r for r in runs()}
    assert set(mlflow.RUNS) <= set(found)
    for name in mlflow.RUNS:
        run = found[name]
        tags = {t["key"]: t["value"] for t in run["data"]["tags"]}
        job = tags["slurm.job_id"]
        argv = ["sacct", "-X", "-n", "-P", "-j", job, "--format=JobName,State,NodeList"]
        slurm = machines.run(served, CONTROLLER, argv).stdout.strip()
        failed = name == "drift-too-fast"
        assert slurm == f"{name}|{'FAILED' if failed else 'COMPLETED'}|{tags['slurm.node']}"
        assert run["info"]["status"] == ("FAILED" if failed else "FINISHED")
        address = f"{mlflow.URL}/api/2.0/mlflow/metrics/get-history"
        words = f"run_id={run['info']['run_id']}&metric_key=loss"
        losses = [m["value"] for m in get(served, f"{address}?{words}")["metrics"]]
        assert len(losses) > 100
        assert (losses[-1] > losses[0]) == failed


@pytest.mark.lab
def test_the_gpu_stand_in_follows_a_real_job(served: Lab) -> None:
    util = 'DCGM_FI_DEV_GPU_UTIL{node="desktop-gpu"}'
    # Where Kubernetes is built a pod holds a slice of the card all the time.
    calm = f"{util} > 45"
    wait_for("a calm GPU", lambda: str(query(served, calm) or ""), timeout=60)
    submit = ["sbatch", "--parsable", "-p", "gpu", "--gres=gpu:2", "-o", "/dev/null"]
    argv = ["runuser", "-u", "ana", "--", *submit, "--chdir=/tmp", "--wrap", "sleep 300"]
    job = machines.run(served, CONTROLLER, argv).stdout.strip()
    try:
        wait_for(
            "a busy GPU",
            lambda: "" if query(served, f"{util} > 55") else str(query(served, util)),
            timeout=40,
        )
        program = (
            "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
            "print(sum(open(f'/proc/{p.pid}/environ').read().count(chr(0) + 'SLURM_JOB_ID=' + "
            f"'{job}' + chr(0)) for p in n.nvmlDeviceGetComputeRunningProcesses(h)))"
        )
        told = machines.run(served, "desktop-gpu", ["python3", "-c", program]).stdout
        assert told == "1\n", "one process is of that job"

        machines.run(served, "desktop-gpu", ["tee", str(CONTROL)], stdin="ambient_c=80\n")
        wait_for_alert(served, "HighGPUTemperature", "desktop-gpu", timeout=60)
    finally:
        machines.run(served, "desktop-gpu", ["rm", "-f", str(CONTROL)])
        machines.run(served, CONTROLLER, ["scancel", job])
    wait_for("a calm GPU", lambda: str(query(served, calm) or ""), timeout=60)
    wait_for_alert(served, "HighGPUTemperature", "desktop-gpu", active=False, timeout=60)


@pytest.mark.lab
def test_a_storage_that_is_cut_off_is_one_cause(served: Lab, healed: Lab) -> None:
    fault.make(served, STORAGE, "partition", print)
    wait_for_alert(served, "NodeDown", STORAGE)
    others = {m.name for m in MACHINES.values() if m.partition}

    def explained() -> str:
        found = get(served, f"{ALERTMANAGER}/api/v2/alerts?filter=alertname=NFSMountFailed")
        held = {a["labels"]["node"] for a in found if a["status"]["inhibitedBy"]}
        return "" if held == others else f"held back by NodeDown: {sorted(held)}"

    wait_for("NFSMountFailed on the other three", explained, timeout=40)
    assert not {name for name, _ in alerts(served)} & {"NFSMountFailed", "VaultDown"}
    up_now = query(served, 'up{job="node"}')
    assert {n for n, value in up_now.items() if value} == others, (
        "a share that hangs takes no other machine's scrape down"
    )


@pytest.mark.lab
def test_a_full_disk_is_told(served: Lab, healed: Lab) -> None:
    fault.make(served, MONITOR, "fill-disk", print)
    wait_for_alert(served, "DiskFull", MONITOR)
