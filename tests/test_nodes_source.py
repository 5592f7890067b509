"""What a machine says of itself: the script on this machine, the parser on anything."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labtui.collectors.nodes import NodeCollector, build
from labtui.config import Config, NodeConfig
from labtui.hosts.base import HostError
from labtui.hosts.local import LocalHost
from labtui.lab.layout import Lab
from labtui.sources.node import HostFacts, NodeSource, parse

ANSWER = """\
motd of a login script
@@ begin
1000.500000000

@@ load
0.42 0.30 0.20 2/311 9001

@@ uptime
5000.10 9000.00
1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100000 1 2

@@ memory
MemTotal:       16384000 kB
MemAvailable:   12288000 kB

@@ cpus
8

@@ disk
4096 2560000 256000

@@ table
truenas:/tank/lab /mnt/nfs nfs4 rw,vers=4.2 0 0
labop@truenas:/srv /mnt/a\\040b fuse.sshfs rw 0 0
/dev/sda1 / ext4 rw 0 0
nas:/x /mnt/gone nfs rw 0 0

@@ mounts
probe 0 4242
probe 1 4243
probe 2 4244
probe 3 4245
ok 1
failing 3

@@ units
LoadState=loaded
ActiveState=active

LoadState=loaded
ActiveState=failed

LoadState=not-found
ActiveState=inactive

@@ end
1000.700000000
"""
MOUNTS = ("/mnt/nfs", "/mnt/a b", "/mnt/other", "/mnt/gone")
UNITS = ("munge", "slurmd", "vault")


def test_an_answer_becomes_facts() -> None:
    facts, waiting = parse(ANSWER, MOUNTS, UNITS, sent=997.4, received=997.7)
    assert facts == HostFacts(
        load1=0.42,
        cpus=8,
        memory_total_mib=16000,
        memory_used_mib=4000,
        disk_total_mib=10000,
        disk_free_mib=1000,
        clock_offset_ms=3050.0,
        clock_error_ms=50.0,
        uptime_s=4000.1,
        services={"munge": "active", "slurmd": "failed", "vault": "not-found"},
        mounts={
            "/mnt/nfs": "hung (nfs4 from truenas)",
            "/mnt/a b": "sshfs from truenas",
            "/mnt/other": "not mounted",
            "/mnt/gone": "failing (nfs from nas)",
        },
    )
    assert waiting == {"/mnt/nfs": 4242, "/mnt/other": 4244}


def test_what_is_missing_is_unknown_and_never_zero() -> None:
    facts, waiting = parse(
        "@@ begin\n\n@@ end\n", ("/mnt/nfs",), ("munge",), sent=0.0, received=1.0
    )
    assert facts == HostFacts(services={"munge": "unknown"}, mounts={"/mnt/nfs": "not mounted"})
    assert waiting == {}


@pytest.mark.parametrize("text", ["", "sh: 1: not a shell\n", "@@ begin\n1\n", "\x1b[2J" * 99])
def test_another_answer_is_an_error(text: str) -> None:
    with pytest.raises(HostError) as caught:
        parse(text, (), (), sent=0.0, received=1.0)
    assert caught.value.kind == "protocol"
    assert "\x1b" not in caught.value.message


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_garbage_between_the_marks_is_survived(data: st.DataObject) -> None:
    lines = ANSWER.split("\n")
    garbage = st.text(max_size=60) | st.sampled_from(["9" * 400, "-1", "nan", "@@ load", "\0"])
    for _ in range(data.draw(st.integers(1, 6))):
        lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(garbage)
    try:
        facts, _ = parse("\n".join(lines), MOUNTS, UNITS, sent=1.0, received=2.0)
    except HostError:
        return
    for value in (facts.load1, facts.cpus, facts.memory_used_mib, facts.disk_free_mib):
        assert value is None or value >= 0
    assert set(facts.services) == set(UNITS) and set(facts.mounts) == set(MOUNTS)


async def test_this_machine_answers() -> None:
    source = NodeSource(LocalHost("here"), ("/proc", "/no/such mount"), ("no-such-unit",))
    facts = await source.facts(5.0)
    assert facts.cpus == os.sysconf("SC_NPROCESSORS_ONLN")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert facts.memory_total_mib is not None and abs(facts.memory_total_mib - total) < 10
    assert facts.memory_used_mib is not None and 0 < facts.memory_used_mib < total
    usage = shutil.disk_usage("/")
    assert facts.disk_total_mib is not None
    assert abs(facts.disk_total_mib - (usage.total >> 20)) <= 1
    assert facts.clock_offset_ms is not None and facts.clock_error_ms is not None
    assert abs(facts.clock_offset_ms) <= facts.clock_error_ms + 1
    assert facts.uptime_s is not None and facts.uptime_s > 0
    assert facts.load1 is not None
    assert facts.mounts == {"/proc": "proc on proc", "/no/such mount": "not mounted"}
    assert facts.services["no-such-unit"] in ("not-found", "unknown")


async def test_a_hung_mount_costs_a_second_and_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in `stat` never answers for /proc, as for a mount whose server is dead."""
    stat = tmp_path / "stat"
    stat.write_text(
        f'#!/bin/sh\ncase "$*" in *" /proc") exec sleep 9191.25;; esac\n'
        f'exec {shutil.which("stat")} "$@"\n'
    )
    stat.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    source = NodeSource(LocalHost("here"), ("/proc", "/"), ())
    try:
        for _ in range(3):
            began = time.monotonic()
            facts = await source.facts(5.0)
            assert time.monotonic() - began < 2.5
            assert facts.mounts["/proc"] == "hung (proc on proc)"
            assert "hung" not in facts.mounts["/"]
            assert facts.cpus is not None and facts.disk_total_mib is not None
            assert len(sleeping()) == 1
            error = facts.clock_error_ms
            assert error is not None and error < 500  # the wait is no part of the round trip
    finally:
        for pid in sleeping():
            os.kill(pid, signal.SIGKILL)
    stat.unlink()
    facts = await source.facts(5.0)
    assert facts.mounts["/proc"] == "proc on proc"


def sleeping() -> list[int]:
    out = subprocess.run(["pgrep", "-f", "^sleep 9191.25"], capture_output=True, text=True)
    return [int(pid) for pid in out.stdout.split()]


async def test_the_collector_delivers_the_facts() -> None:
    config = Config(nodes={"here": NodeConfig(transport="local", mounts=("/proc",))})
    (collector,) = build(config, {"here": LocalHost("here")})
    assert isinstance(collector, NodeCollector)
    assert (collector.name, collector.kind, collector.background) == ("host.here", "local", 1.0)
    facts = await collector.collect()
    assert collector.interval + collector.timeout <= 5.0, "from the second answer on"
    assert isinstance(facts, HostFacts) and facts.mounts == {"/proc": "proc on proc"}


IN_THE_LAB = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from labtui.config import load
from labtui.hosts.namespace import enter
config = load(Path(sys.argv[1]))
enter(config.lab.namespace)
from labtui.collectors.nodes import build
from labtui.hosts.connect import connect
from labtui.hosts.base import HostError

async def main():
    hosts = connect(config)
    found = {}
    for collector in build(config, hosts):
        await collector.collect()
        found[collector.name] = msgspec.to_builtins(await collector.collect())
    login = hosts["desktop-gpu"]
    hostile = ["$(id)", "`id`", "a'b", "x\\ny", "ü"]
    found["argv"] = (await login.run(["printf", "%s\\\\0", *hostile], timeout=5)).stdout
    found["user"] = (await login.run(["id", "-un"], user="root", timeout=5)).stdout
    try:
        await login.run(["id"], user="nobody-there", timeout=5)
    except HostError as error:
        found["kind"] = error.kind
    for host in hosts.values():
        await host.close()
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.mark.lab
def test_the_four_machines_answer(lab: Lab) -> None:
    """In a process of its own: the namespace is entered before any thread starts."""
    import json

    out = subprocess.run(
        [sys.executable, "-c", IN_THE_LAB, str(lab.config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    for name in ("desktop-gpu", "xps15-cpu", "jetson-edge", "truenas"):
        facts = found[f"host.{name}"]
        assert facts["load1"] is not None and facts["memory_used_mib"] > 0
        assert facts["services"]["ssh"] == facts["services"]["munge"] == "active"
        assert abs(facts["clock_offset_ms"]) < 1000 and facts["uptime_s"] > 0
    assert found["host.desktop-gpu"]["mounts"]["/mnt/nfs"].endswith(" from truenas")
    assert found["argv"].split("\0")[:-1] == ["$(id)", "`id`", "a'b", "x\ny", "ü"]
    assert (found["user"], found["kind"]) == ("root\n", "permission")
