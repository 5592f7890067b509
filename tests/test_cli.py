"""The command line on the real lab: documents, exit codes, what goes where."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labtui.lab.layout import Lab
from labtui.model import Gpu, Job, Node, Run, SourceState, VaultNode

FIELDS = {
    "nodes": "name address reachable fault slurm_state slurm_reason cpus_total cpus_alloc"
    " memory_total_mib memory_used_mib load1 disk_free_mib clock_offset_ms services gpus jobs",
    "gpus": "node index uuid product slices holders util_percent memory_used_mib memory_total_mib"
    " temperature_c power_w throttle sources",
    "jobs": "job_id array_task name user partition state reason reason_text nodes cpus memory_mib"
    " gres submit_time start_time end_time time_limit_s time_used_s exit_code stdout stderr",
    "vault": "node address state sealed threshold shares progress nonce version ha_mode agents",
    "runs": "run_id experiment name status start_time end_time params metrics job_id node note",
    "sources": "name kind state age_s took_ms error",
}
"""What scripts may rely on: docs/cli.md."""
ITEMS: dict[str, type[msgspec.Struct]] = {
    "nodes": Node, "gpus": Gpu, "jobs": Job, "vault": VaultNode, "runs": Run,
    "sources": SourceState,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


class Command:
    """`labtui`, with a config and a home of its own."""

    def __init__(self, home: Path, config: Path | None) -> None:
        self._config = ["--config", str(config)] if config else []
        self._env = {
            **os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"), "LABTUI_CONFIG": "",
        }  # fmt: skip

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "labtui", *self._config, *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=90, check=False, env=self._env,
            input=stdin,
        )  # fmt: skip

    def document(self, *words: str, codes: tuple[int, ...] = (0, 1), stdin: str = "") -> Any:
        done = self(*words, "--json", stdin=stdin)
        assert done.returncode in codes, done
        return json.loads(done.stdout)


@pytest.fixture
def labtui(lab: Lab, home: Path) -> Command:
    return Command(home, lab.config)


@pytest.fixture
def alone(home: Path) -> Command:
    return Command(home, None)


@pytest.mark.lab
@pytest.mark.parametrize("noun", FIELDS)
def test_a_document_keeps_its_promise(labtui: Command, noun: str) -> None:
    found = labtui.document("get", noun, codes=(0, 1, 3))
    assert found["schema"] == f"labtui/{noun}/1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["taken_at"])
    assert isinstance(found["errors"], list)
    assert found["items"], "the lab has some of each"
    for item in found["items"]:
        assert set(FIELDS[noun].split()) <= set(item)
        msgspec.convert(item, ITEMS[noun])
        assert "" not in item.values(), "what is not known is null"


@pytest.mark.lab
def test_nodes_are_the_four_machines(labtui: Command) -> None:
    items = {i["name"]: i for i in labtui.document("get", "nodes")["items"]}
    assert set(items) == {"desktop-gpu", "xps15-cpu", "jetson-edge", "truenas"}
    assert all(i["reachable"] is True and i["fault"] is None for i in items.values())
    assert items["desktop-gpu"]["gpus"] == 4 and items["xps15-cpu"]["gpus"] is None
    assert items["truenas"]["slurm_state"] is None
    assert items["desktop-gpu"]["services"]["slurmctld"] == "active"


@pytest.mark.lab
def test_a_name_chooses_and_an_unknown_one_is_wrong_usage(labtui: Command) -> None:
    (one,) = labtui.document("get", "nodes", "truenas")["items"]
    assert one["name"] == "truenas"
    done = labtui("get", "nodes", "nowhere")
    assert done.returncode == 2 and "no nodes named nowhere" in done.stderr


@pytest.mark.lab
def test_a_table_is_on_stdout_and_nothing_else(labtui: Command) -> None:
    done = labtui("get", "nodes")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("NAME") and len(lines) == 5
    assert "\x1b" not in done.stdout


@pytest.mark.lab
def test_submit_act_log_and_audit(labtui: Command, home: Path) -> None:
    """A job's whole life from the shell."""
    script = home / "job.sh"
    script.write_text("#!/bin/sh\necho from-$(hostname)\nsleep 300\n")
    asked = ("--set", "name=cli", "--set", "partition=cpu", "--set", "time=5")
    estimate = labtui.document("submit", str(script), *asked, "--test-only")
    assert estimate["schema"] == "labtui/estimate/1" and estimate["partition"] == "cpu"

    refused = labtui("submit", str(script), *asked)
    assert refused.returncode == 2 and "--yes" in refused.stderr and refused.stdout == ""

    sent = labtui.document("submit", str(script), *asked, "--yes", codes=(0,))
    job_id = sent["job_id"]
    try:
        end = time.monotonic() + 30
        while labtui("job", "log", job_id).stdout != "from-xps15-cpu\n":
            assert time.monotonic() < end, labtui("job", "log", job_id)
        held = labtui("job", "hold", job_id, "--yes")
        assert held.returncode == 1 and "only a waiting job: it is running" in held.stderr
    finally:
        ended = labtui.document("job", "cancel", job_id, "--yes", codes=(0,))
    assert ended["outcome"] == "done" and "is cancelled" in ended["message"]
    (found,) = labtui.document("get", "jobs", job_id)["items"]
    assert found["state"] == "CANCELLED" and found["name"] == "cli"
    again = labtui("job", "cancel", job_id, "--yes")
    assert again.returncode == 1 and "it is over" in again.stderr

    lines = labtui.document("audit", codes=(0,))["items"]
    assert [i["action"] for i in lines] == ["queue.submit", "queue.cancel"]
    assert all(i["outcome"] == "done" for i in lines)
    assert f"scancel {job_id}" in lines[1]["steps"][0]


@pytest.mark.lab
def test_a_script_comes_by_stdin_and_a_bad_one_is_told(labtui: Command) -> None:
    sent = labtui.document(
        "submit", "-", "--set", "partition=cpu", stdin="#!/bin/sh\ntrue\n", codes=(0,)
    )
    assert sent["job_id"].isdigit()
    bad = labtui("submit", "-", "--set", "partition=nope", stdin="#!/bin/sh\ntrue\n")
    assert bad.returncode == 1 and "nope" in bad.stderr and bad.stdout == ""
    assert labtui("submit", "-", "--set", "colour=red", stdin="#!/bin/sh\n").returncode == 2
    assert labtui("submit", "/does/not/exist").returncode == 2
    assert labtui("submit", "--template", "nope").returncode == 2


@pytest.mark.lab
def test_read_only_refuses(labtui: Command) -> None:
    done = labtui("--read-only", "job", "cancel", "1", "--yes")
    assert done.returncode == 1 and "read-only" in done.stderr


@pytest.mark.lab
def test_a_lab_that_is_down_is_said_and_nothing_is_sent(lab: Lab, home: Path) -> None:
    config = home / "down.toml"
    config.write_text(lab.config.read_text().replace(lab.namespace, "labtui-nothere"))
    down = Command(home, config)
    for words in (("get", "nodes"), ("status",), ("job", "cancel", "1", "--yes")):
        done = down(*words)
        assert done.returncode == 3 and "the lab is not up" in done.stderr
        assert done.stdout == ""


# Without a lab


def test_a_source_that_cannot_be_reached_is_3(home: Path) -> None:
    config = home / "c.toml"
    config.write_text('[mlflow]\nurl = "http://127.0.0.1:9"\n[nodes.here]\ntransport = "local"\n')
    done = Command(home, config)("get", "runs", "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["items"] == []
    assert [(e["source"], e["kind"]) for e in found["errors"]] == [("mlflow.runs", "refused")]


def test_this_machine_alone(home: Path) -> None:
    config = home / "c.toml"
    config.write_text('[cluster]\nname = "x"\n[nodes.here]\ntransport = "local"\n')
    (one,) = Command(home, config).document("get", "nodes", codes=(0, 1))["items"]
    assert one["name"] == "here" and one["reachable"] and one["memory_total_mib"] > 0
    assert one["slurm_state"] is None and one["gpus"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not valid TOML"),
        ('[nodes.a]\naddres = "10.0.0.1"\n', "c.toml:2: nodes.a.addres: unknown key"),
        ('[nodes.a]\naddress = "x"\nport = "22"\n', "c.toml:3"),
        ('[slurm]\nlogin = "nobody"\n', "no node 'nobody'"),
        ("[nodes.a]\n", "ssh needs an address"),
    ],
)
def test_a_bad_config_is_2_with_file_line_and_fix(home: Path, text: str, said: str) -> None:
    config = home / "c.toml"
    config.write_text(text)
    checked = Command(home, None)("config", "check", str(config))
    for done in (checked, Command(home, config)("get", "nodes"), Command(home, config)("status")):
        assert done.returncode == 2 and said in done.stderr and done.stdout == "", done
        assert "Traceback" not in done.stderr


def test_config_init_writes_what_check_takes_and_never_over_a_file(
    alone: Command, home: Path
) -> None:
    path = home / "new" / "c.toml"
    assert alone("config", "init", str(path)).returncode == 0
    assert "ok" in alone("config", "check", str(path)).stdout
    again = alone("config", "init", str(path))
    assert again.returncode == 2 and "exists already" in again.stderr


@pytest.mark.parametrize(
    "words", [["get", "nothing"], ["nonsense"], ["--screen", "x"], ["job", "cancel"], ["get"]]
)
def test_wrong_usage_is_2(alone: Command, words: list[str]) -> None:
    done = alone(*words)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr


def test_the_console_needs_a_terminal(home: Path) -> None:
    config = home / "c.toml"
    config.write_text('[nodes.here]\ntransport = "local"\n')
    done = Command(home, config)()
    assert done.returncode == 2 and "needs a terminal" in done.stderr
