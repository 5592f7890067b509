"""The jobs of a drill: one that goes on with the secret it has, and one that needs a fresh one.

Both run as labop by Slurm. Neither ever prints a secret: a salted hash says whether it changed.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from labtui.lab import machines, vault
from labtui.lab.layout import CONTROLLER, MACHINES, OPERATOR, Lab
from labtui.lab.system import wait_for

FOLDER = "/run/labtui-drill"
"""On the node, in memory, for labop alone; gone when the drill is over."""
STOP = f"{FOLDER}/stop"
CACHED = f"{FOLDER}/ngc-api-key"
"""Stands for the agent's file where no agent is installed."""

READER = """\
#!/usr/bin/python3
import hashlib, os, subprocess, sys, time

file, stop, salt = {file!r}, {stop!r}, bytes.fromhex({salt!r})
for number in range(2400):
    argv = ["cat", file] if os.access(file, os.R_OK) else ["sudo", "-n", "cat", file]
    content = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
    print(number, "%.2f" % time.time(), hashlib.sha256(salt + content).hexdigest(), flush=True)
    if os.path.exists(stop):
        sys.exit(0)
    time.sleep(0.25)
sys.exit("nobody told it to stop")
"""
"""Reads its secret four times a second, as a training job reads what it was started with."""

NEED = """\
#!/usr/bin/python3
import json, ssl, sys, urllib.error, urllib.request

asked = json.load(sys.stdin if sys.argv[1:] else open("/run/labtui-drill/login.json"))
context = ssl.create_default_context(cadata=asked["ca"])
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
)

def vault(path, body=None, token=""):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(asked["url"] + "/v1/" + path, data)
    request.add_header("X-Vault-Token", token)
    try:
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit("Vault says %d: %s" % (error.code, "; ".join(json.load(error)["errors"])))
    except urllib.error.URLError as error:
        sys.exit("Vault is not reached: %s" % error.reason)

login = {"role_id": asked["role_id"], "secret_id": asked["secret_id"]}
token = vault("auth/approle/login", login)["auth"]["client_token"]
found = vault("secret/data/ngc", token=token)["data"]
print("logged in, read secret/ngc version %d" % found["metadata"]["version"])
"""
"""Logs in by AppRole and reads a secret, as whatever needs a fresh one does."""

DONE = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


class Ended(msgspec.Struct, frozen=True):
    """How a job ended."""

    job: str
    state: str
    exit_code: str
    said: str
    """The last line of its output."""


class Reading(msgspec.Struct, frozen=True):
    at: float
    """Unix seconds."""
    hash: str


def login(lab: Lab, root: Any) -> tuple[dict[str, str], str]:
    """What a node logs in with, for half an hour, and the accessor by which it is destroyed.

    Raises VaultError.
    """
    role = root.auth.approle.read_role_id(vault.ROLE)["data"]["role_id"]
    body = {"ttl": "30m", "metadata": json.dumps({"for": "a drill of the lab"})}
    path = f"/v1/auth/approle/role/{vault.ROLE}/secret-id"
    made = root.adapter.post(path, json=body)["data"]
    found = {"role_id": role, "secret_id": made["secret_id"], "ca": lab.ca.read_text()}
    return found | {"url": vault.URL}, made["secret_id_accessor"]


def destroy(root: Any, accessor: str) -> None:
    """That login is of no use any more. Raises VaultError."""
    root.auth.approle.destroy_secret_id_accessor(vault.ROLE, accessor)


def try_login(lab: Lab, machine: str, asked: dict[str, str]) -> tuple[bool, str]:
    """Log in and read on a machine, without a job: whether it went well, and its last word."""
    argv = ["runuser", "-u", OPERATOR, "--", "python3", "-c", NEED, "-"]
    done = machines.run(lab, machine, argv, stdin=json.dumps(asked), check=False)
    return done.returncode == 0, _last(done.stdout + done.stderr)


def prepare(lab: Lab, machine: str, asked: dict[str, str], secret: str) -> None:
    """The folder of the jobs on their node; `secret`: what the file holds, "" where agents do."""
    machines.run(lab, machine, ["install", "-d", "-m", "0700", "-o", OPERATOR, FOLDER])
    files = {"login.json": json.dumps(asked)} | ({"ngc-api-key": secret} if secret else {})
    for name, text in files.items():
        # Through standard input: a command line is for all to read.
        script = 'umask 077; cat > "$1"; chown "$2" "$1"'
        argv = ["sh", "-c", script, "sh", f"{FOLDER}/{name}", OPERATOR]
        machines.run(lab, machine, argv, stdin=text)


def clear(lab: Lab, machine: str, *jobs: str) -> None:
    """End what still runs, remove the folder. Raises LabError."""
    if jobs:
        machines.run(lab, CONTROLLER, ["scancel", *jobs], check=False)
    machines.run(lab, machine, ["rm", "-rf", FOLDER])


def reader(lab: Lab, machine: str, file: str, salt: str) -> str:
    """Submit the job that goes on; its id. Raises LabError."""
    return _submit(lab, machine, "drill-cached", READER.format(file=file, stop=STOP, salt=salt))


def need(lab: Lab, machine: str) -> Ended:
    """Run a job that needs a fresh secret, to its end. Raises LabError."""
    return ended(lab, machine, _submit(lab, machine, "drill-fresh", NEED))


def readings(lab: Lab, machine: str, job: str) -> list[Reading]:
    """What the first job has read so far. Raises LabError."""
    lines = [line.split() for line in _output(lab, machine, job).splitlines()]
    return [Reading(float(w[1]), w[2]) for w in lines if len(w) == 3 and len(w[2]) == 64]


def wait_readings(lab: Lab, machine: str, job: str, since: float, count: int = 3) -> list[Reading]:
    """Its readings once `count` of them are later than `since` (Unix seconds). Raises LabError."""
    found: list[Reading] = []

    def few() -> str:
        found[:] = [r for r in readings(lab, machine, job) if r.at > since]
        if len(found) < count and state(lab, job)[0] in DONE:
            return f"it is over: {_last(_output(lab, machine, job))}"
        return "" if len(found) >= count else f"{len(found)} readings"

    wait_for(f"job {job}", few, timeout=30, every=0.2)
    return found


def state(lab: Lab, job: str) -> tuple[str, str]:
    """State and exit code, as Slurm tells them. Raises LabError."""
    argv = ["scontrol", "--oneliner", "show", "job", job]
    said = machines.run(lab, CONTROLLER, argv).stdout
    found = [re.search(rf" {key}=(\S+)", said) for key in ("JobState", "ExitCode")]
    return (found[0][1] if found[0] else "UNKNOWN"), (found[1][1] if found[1] else "")


def ended(lab: Lab, machine: str, job: str, timeout: float = 60) -> Ended:
    """Wait for its end. Raises LabError after `timeout` seconds."""
    found: list[tuple[str, str]] = []

    def going() -> str:
        found[:] = [state(lab, job)]
        return "" if found[0][0] in DONE else found[0][0]

    wait_for(f"job {job}", going, timeout=timeout, every=0.2)
    return Ended(job, *found[0], _last(_output(lab, machine, job)))


def _submit(lab: Lab, machine: str, name: str, script: str) -> str:
    partition = MACHINES[machine].partition
    options = [f"--partition={partition}", f"--nodelist={machine}", f"--job-name={name}"]
    options += [f"--output={FOLDER}/%j.out", "--chdir=/tmp", "--time=15", "--no-requeue"]
    argv = ["runuser", "-u", OPERATOR, "--", "sbatch", "--parsable", *options]
    return machines.run(lab, CONTROLLER, argv, stdin=script).stdout.strip()


def _output(lab: Lab, machine: str, job: str) -> str:
    return machines.run(lab, machine, ["cat", f"{FOLDER}/{job}.out"], check=False).stdout


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1][:200]
