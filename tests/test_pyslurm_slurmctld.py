"""The controller under PySlurm's names: pure, and on the lab's slurmctld."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.machinehost import MachineHost
from tests.slurmhost import ScriptedHost

from labtui.lab.layout import Lab
from labtui.slurm import PyslurmError, RPCError, bridge, parse, slurmctld

CONFIG = """Configuration data as of 1795502951
AccountingStorageEnforce = associations,limits,qos
ClusterName             = big
DebugFlags              = Backfill,CpuFrequency
DefMemPerNode           = UNLIMITED
Epilog[0]               = /etc/a.sh
Epilog[1]               = /etc/b.sh
FairShareDampeningFactor = 7
HASH_VAL                = Different Ours=0x1a2b Slurmctld=0x3c4d
Licenses                = matlab:5,idl
MinJobAge               = 300 sec
PreemptExemptTime       = 00:02:00
PrologEpilogTimeout     = 65534
SchedulerParameters     = bf_interval=3,defer,name=a=b
SlurmctldPort           = 6817-6820
SlurmSchedLogLevel      = 1
SlurmUser               = slurm(64030)
SrunPortRange           = 60001-63000
SuspendTime             = INFINITE

Cgroup Support Configuration:
AllowedRAMSpace         = 98.5%
CgroupMountpoint        = /sys/fs/cgroup
ConstrainCores          = yes
MinRAMSpace             = 30M
ClusterName             = not this

MPI Plugins Configuration:
PMIxEnv                 = A=1;B=two
"""


def test_settings() -> None:
    conf = parse(CONFIG, kind="config")
    assert conf.cluster_name == "big"
    assert conf.accounting_storage_enforce == ["ASSOCIATIONS", "LIMITS", "QOS"]
    assert conf.debug_flags == ["Backfill", "CpuFrequency"]
    assert (conf.default_memory_per_node, conf.default_memory_per_cpu) == ("UNLIMITED", None)
    assert conf.epilog == ["/etc/a.sh", "/etc/b.sh"]
    assert conf.hash_value == "0x1a2b"
    assert conf.licenses == {"matlab": 5, "idl": 1}
    assert (conf.min_job_age, conf.preempt_exempt_time) == (300, 120)
    assert conf.epilog_timeout is None
    assert conf.scheduler_parameters == {"bf_interval": 3, "defer": True, "name": "a=b"}
    assert conf.scheduler_logging_enabled is True
    assert (conf.slurm_user_name, conf.slurm_user_id) == ("slurm", 64030)
    assert (conf.slurmctld_port, conf.srun_port_range) == ("6817-6820", "60001-63000")
    assert conf.suspend_time == "UNLIMITED"
    assert conf.cgroup_config.allowed_ram_space == 98.5
    assert (conf.cgroup_config.constrain_cores, conf.cgroup_config.min_ram_space) == (True, 30)
    assert conf.cgroup_config.constrain_devices is None
    assert conf.mpi_config.pmix_environment == {"A": 1, "B": "two"}
    assert conf.to_dict(recursive=True)["cgroup_config"]["mountpoint"] == "/sys/fs/cgroup"
    for made in (slurmctld.Config, slurmctld.CgroupConfig, slurmctld.MPIConfig):
        with pytest.raises(RuntimeError, match="Cannot instantiate class directly"):
            made()


def test_controllers() -> None:
    found = parse(
        "Slurmctld(primary) at one is UP\nSlurmctld(backup) at two is DOWN\n", kind="ping"
    )
    assert [(p.index, p.hostname, p.is_primary, p.is_responding) for p in found] == [
        (0, "one", True, True), (1, "two", False, False),
    ]  # fmt: skip


RPCS = """sdiag output at Tue Nov 24 06:49:11 2026 (1795502951)
Data since      Tue Nov 24 06:40:01 2026 (1795502401)
RPC queue enabled:    1
Backfilling stats (WARNING: data obtained in the middle of backfilling execution.)
\tTotal cycles: 55
Remote Procedure Call statistics by message type
\tREQUEST_JOB_INFO  ( 2003) count:23     ave_time:265    total_time:6109   queued:2  dropped:1 \
cycle_last:3 cycle_max:4
Remote Procedure Call statistics by user
\todd name(x)      ( 1001) count:43     ave_time:652    total_time:28046
Pending RPC statistics
\tREQUEST_PING ( 1008) count:3
"""


def test_requests() -> None:
    stats = parse(RPCS, kind="sdiag")
    assert (stats.rpc_queue_enabled, stats.backfill_active) == (True, True)
    assert (stats.backfill_cycle_counter, stats.schedule_cycle_counter) == (55, None)
    one = stats.rpcs_by_type["REQUEST_JOB_INFO"]
    assert (one.id, one.count, one.time, one.queued, one.dropped) == (2003, 23, 6109, 2, 1)
    assert (one.cycle_last, one.cycle_max, one.average_time) == (3, 4, 265)
    assert stats.rpcs_by_user["odd name(x)"].user_id == 1001
    assert (stats.rpcs_pending.count, stats.rpcs_by_user.time) == (3, 28046)
    assert stats.to_dict(recursive=True)["rpcs_pending"]["REQUEST_PING"]["count"] == 3


def test_what_slurmctld_is_told() -> None:
    seen: list[list[str]] = []

    def reply(argv: list[str], stdin: str) -> tuple[int, str, str]:
        seen.append(argv)
        if argv[1] == "show":
            return 0, CONFIG, ""
        return (1, "", "invalid debug flag: +Nope") if "+Nope" in argv else (0, "", "")

    bridge.connect(ScriptedHost(reply))
    try:
        slurmctld.reconfigure()
        slurmctld.takeover()
        slurmctld.shutdown(slurmctld.ShutdownMode.CONTROLLER_ONLY)
        slurmctld.shutdown(1)
        slurmctld.add_debug_flags([])
        slurmctld.add_debug_flags(["Agent", "Backfill"])
        slurmctld.clear_debug_flags()
        slurmctld.set_log_level("debug5")
        slurmctld.set_log_level(3)
        slurmctld.enable_scheduler_logging()
        slurmctld.set_fair_share_dampening_factor(100)
        slurmctld.Statistics.reset()
        assert slurmctld.get_fair_share_dampening_factor() == 7
        assert slurmctld.is_scheduler_logging_enabled() is True
        told = [argv[1:] for argv in seen if argv[1] != "show"]
        assert told == [
            ["reconfigure"], ["takeover", "1"], ["shutdown", "slurmctld"], ["abort"],
            ["setdebugflags", "+Agent"], ["setdebugflags", "+Backfill"],
            ["setdebugflags", "-Backfill"], ["setdebugflags", "-CpuFrequency"],
            ["setdebug", "debug5"], ["setdebug", "3"], ["schedloglevel", "1"],
            ["fsdampeningfactor", "100"], ["--reset"],
        ]  # fmt: skip
        for level in ("invalid", "", "10", None, "debug -x"):
            with pytest.raises(RPCError, match="Invalid Log level"):
                slurmctld.set_log_level(level)
        for factor in (0, 99999999, -1, "5", None):
            with pytest.raises(RPCError, match="Invalid Dampening factor"):
                slurmctld.set_fair_share_dampening_factor(factor)  # type: ignore[arg-type]
        for flags in (["Nope"], ["a b"], "x;y"):
            with pytest.raises(RPCError, match="Invalid Debug Flags specified"):
                slurmctld.add_debug_flags(flags)
        with pytest.raises(ValueError):
            slurmctld.shutdown(7)
    finally:
        bridge.close()


def test_a_controller_that_does_not_answer() -> None:
    down = "Slurmctld(primary) at one is DOWN\nSlurmctld(backup) at two is UP\n"
    bridge.connect(ScriptedHost(lambda argv, stdin: (1, down, "")))
    try:
        assert [p.is_responding for p in slurmctld.ping_all()] == [False, True]
        assert slurmctld.ping_backup().hostname == "two"
        with pytest.raises(RPCError) as caught:
            slurmctld.ping_primary()
        assert caught.value.errno == 1800
        with pytest.raises(RPCError, match="Invalid Index specified"):
            slurmctld.ping(2)
    finally:
        bridge.close()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["ping", "sdiag", "config"]), st.integers(0, 500))
def test_no_text_breaks_the_parsers(text: str, kind: str, cut: int) -> None:
    whole = {"ping": "Slurmctld(primary) at one is UP\n", "sdiag": RPCS, "config": CONFIG}[kind]
    for odd in (text, whole[:cut] + text + whole[cut:], text + whole):
        try:
            parse(odd, kind=kind)
        except PyslurmError:
            continue


# -- on the lab ------------------------------------------------------------------------------


@pytest.fixture
def root(lab: Lab) -> Iterator[None]:
    """As root on the lab's login machine."""
    bridge.connect(MachineHost(lab))
    yield
    bridge.close()


@pytest.mark.lab
def test_the_controller_of_the_lab(root: None) -> None:
    found = slurmctld.ping_primary()
    assert (found.is_primary, found.is_responding, found.index) == (True, True, 0)
    assert found.hostname == "desktop-gpu"
    assert found.latency is not None
    assert 0 < found.latency < 5000
    assert len(slurmctld.ping_all()) == 1
    with pytest.raises(RPCError, match="Invalid Index specified"):
        slurmctld.ping_backup()
    conf = slurmctld.Config.load()
    assert conf.cluster_name
    assert (conf.slurmd_port, conf.slurm_user_name) == (6818, "slurm")
    assert conf.scheduler_parameters["bf_interval"] == 3


@pytest.mark.lab
def test_levels_and_flags_of_the_lab(root: None) -> None:
    level = slurmctld.get_log_level()
    try:
        slurmctld.clear_debug_flags()
        slurmctld.add_debug_flags(["CpuFrequency", "Agent"])
        assert slurmctld.get_debug_flags() == ["Agent", "CpuFrequency"]
        slurmctld.remove_debug_flags(["CpuFrequency"])
        assert slurmctld.get_debug_flags() == ["Agent"]
        with pytest.raises(RPCError, match="Invalid Debug Flags specified"):
            slurmctld.add_debug_flags(["Nonsense"])
        slurmctld.set_log_level("debug")
        assert slurmctld.get_log_level() == "debug"
        slurmctld.set_fair_share_dampening_factor(100)
        assert slurmctld.get_fair_share_dampening_factor() == 100
    finally:
        slurmctld.clear_debug_flags()
        slurmctld.set_log_level(level)
        slurmctld.set_fair_share_dampening_factor(1)


@pytest.mark.lab
def test_statistics_of_the_lab(root: None) -> None:
    stats = slurmctld.diag()
    assert len(stats.rpcs_by_type) > 3
    assert stats.rpcs_by_type.count >= stats.rpcs_by_type["REQUEST_PING"].count > 0
    assert stats.rpcs_by_user["root"].user_id == 0
    assert stats.server_thread_count
    slurmctld.Statistics.reset()
    after = slurmctld.Statistics.load()
    assert after.data_since is not None
    assert stats.data_since is not None
    assert after.data_since >= stats.data_since
    assert after.jobs_submitted is not None
