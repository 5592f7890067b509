"""slurm.conf as slurmctld runs with it: `Config.load()`.

From the text of `scontrol show config`, which is never JSON. A setting that a release does not
have is None, or empty.
"""

from __future__ import annotations

from labtui.slurm import bridge
from labtui.slurm.core.slurmctld.kinds import (
    BINDS,
    CHOSEN,
    DIRS,
    ENVIRONMENT,
    FREQ,
    HASH,
    LEVEL,
    LICENSES,
    MIB,
    NAMES,
    NUM,
    NUM0,
    PARAMS,
    PERCENT,
    PORTS,
    SECRET,
    SIZE,
    SPAN,
    UPPER,
    USER_ID,
    USER_NAME,
)
from labtui.slurm.record import Record
from labtui.slurm.served import LIST, MOMENT, TRES, WORD, YES, Served


class _Section(Record):
    """A part of the configuration: only what `scontrol show config` prints is known.

    It prints these parts where the plugin is used; what is not there is None here, while PySlurm
    has the plugin's defaults.
    """

    _home = ""

    def __init__(self) -> None:
        raise RuntimeError(
            "Cannot instantiate class directly. Use slurmctld.Config.load() and access the "
            f"{self._home} attribute there"
        )


class MPIConfig(_Section):
    """How PMIx is set up"""

    _home = "mpi_config"

    pmix_cli_tmp_dir_base = Served(WORD, "PMIxCliTmpDirBase")
    pmix_coll_fence = Served(WORD, "PMIxCollFence")
    pmix_debug = Served(YES, "PMIxDebug")
    pmix_direct_conn = Served(YES, "PMIxDirectConn")
    pmix_direct_conn_early = Served(YES, "PMIxDirectConnEarly")
    pmix_direct_conn_ucx = Served(YES, "PMIxDirectConnUCX")
    pmix_direct_same_arch = Served(YES, "PMIxDirectSameArch")
    pmix_environment = Served(ENVIRONMENT, "PMIxEnv")
    pmix_fence_barrier = Served(YES, "PMIxFenceBarrier")
    pmix_net_devices_ucx = Served(WORD, "PMIxNetDevicesUCX")
    pmix_timeout = Served(NUM, "PMIxTimeout", doc="Seconds.")
    pmix_tls_ucx = Served(LIST, "PMIxTlsUCX")


class CgroupConfig(_Section):
    """cgroup.conf"""

    _home = "cgroup_config"

    mountpoint = Served(WORD, "CgroupMountpoint")
    plugin = Served(WORD, "CgroupPlugin")
    systemd_timeout = Served(NUM, "SystemdTimeout", doc="Milliseconds.")
    ignore_systemd = Served(YES, "IgnoreSystemd")
    ignore_systemd_on_failure = Served(YES, "IgnoreSystemdOnFailure")
    enable_controllers = Served(YES, "EnableControllers")
    allowed_ram_space = Served(PERCENT, "AllowedRAMSpace", doc="Percent.")
    allowed_swap_space = Served(PERCENT, "AllowedSwapSpace", doc="Percent.")
    constrain_cores = Served(YES, "ConstrainCores")
    constrain_devices = Served(YES, "ConstrainDevices")
    constrain_ram_space = Served(YES, "ConstrainRAMSpace")
    constrain_swap_space = Served(YES, "ConstrainSwapSpace")
    max_ram_percent = Served(PERCENT, "MaxRAMPercent", doc="Percent.")
    max_swap_percent = Served(PERCENT, "MaxSwapPercent", doc="Percent.")
    memory_swappiness = Served(PERCENT, "MemorySwappiness")
    min_ram_space = Served(MIB, "MinRAMSpace", doc="MiB.")
    signal_children_processes = Served(YES, "SignalChildrenProcesses")


class AccountingGatherConfig(_Section):
    """acct_gather.conf"""

    _home = "accounting_gather_config"

    energy_ipmi_frequency = Served(NUM, "EnergyIPMIFrequency", doc="Seconds.")
    energy_ipmi_calc_adjustment = Served(YES, "EnergyIPMICalcAdjustment")
    energy_ipmi_power_sensors = Served(ENVIRONMENT, "EnergyIPMIPowerSensors")
    energy_ipmi_user_name = Served(WORD, "EnergyIPMIUsername")
    energy_ipmi_timeout = Served(NUM, "EnergyIPMITimeout", doc="Seconds.")
    profile_hdf5_dir = Served(WORD, "ProfileHDF5Dir")
    profile_hdf5_default = Served(LIST, "ProfileHDF5Default")
    profile_influxdb_database = Served(WORD, "ProfileInfluxDBDatabase")
    profile_influxdb_default = Served(LIST, "ProfileInfluxDBDefault")
    profile_influxdb_host = Served(WORD, "ProfileInfluxDBHost")
    profile_influxdb_rtpolicy = Served(WORD, "ProfileInfluxDBRTPolicy")
    profile_influxdb_user = Served(WORD, "ProfileInfluxDBUser")
    profile_influxdb_timeout = Served(NUM, "ProfileInfluxDBTimeout", doc="Seconds.")
    infiniband_ofed_port = Served(NUM, "InfinibandOFEDPort")
    sysfs_interfaces = Served(LIST, "SysfsInterfaces")
    energy_ipmi_password = Served(SECRET, doc="None: secrets are not read.")
    profile_influxdb_password = Served(SECRET, doc="None: secrets are not read.")


class Config(Record):
    """The whole configuration. Limits are "UNLIMITED" where there is none; 0 is None where it
    means that nothing is set."""

    cgroup_config: CgroupConfig
    """Section "Cgroup Support Configuration"."""
    accounting_gather_config: AccountingGatherConfig
    """Section "Account Gather"."""
    mpi_config: MPIConfig
    """Section "MPI Plugins Configuration"."""

    accounting_storage_enforce = Served(
        UPPER, "AccountingStorageEnforce", doc="What is enforced: `LIMITS`, `QOS`."
    )
    accounting_storage_backup_host = Served(WORD, "AccountingStorageBackupHost")
    accounting_storage_external_hosts = Served(LIST, "AccountingStorageExternalHost")
    accounting_storage_host = Served(WORD, "AccountingStorageHost")
    accounting_storage_parameters = Served(PARAMS, "AccountingStorageParameters")
    accounting_storage_port = Served(NUM, "AccountingStoragePort")
    accounting_storage_tres = Served(LIST, "AccountingStorageTRES")
    accounting_storage_type = Served(WORD, "AccountingStorageType")
    accounting_store_flags = Served(UPPER, "AccountingStoreFlags")
    accounting_gather_node_frequency = Served(NUM, "AcctGatherNodeFreq", doc="Seconds.")
    accounting_gather_energy_type = Served(WORD, "AcctGatherEnergyType")
    accounting_gather_interconnect_type = Served(WORD, "AcctGatherInterconnectType")
    accounting_gather_filesystem_type = Served(WORD, "AcctGatherFilesystemType")
    accounting_gather_profile_type = Served(WORD, "AcctGatherProfileType")
    allow_spec_resource_usage = Served(YES, "AllowSpecResourcesUsage")
    auth_alt_types = Served(LIST, "AuthAltTypes")
    auth_info = Served(LIST, "AuthInfo")
    auth_alt_parameters = Served(PARAMS, "AuthAltParameters")
    auth_type = Served(WORD, "AuthType")
    batch_start_timeout = Served(NUM, "BatchStartTimeout", doc="Seconds.")
    bcast_exclude_paths = Served(LIST, "BcastExclude")
    bcast_parameters = Served(
        PARAMS, "BcastParameters", doc="(PySlurm 25.11 has `AuthAltParameters` here.)"
    )
    burst_buffer_type = Served(WORD, "BurstBufferType")
    slurmctld_boot_time = Served(MOMENT, "BOOT_TIME")
    certmgr_parameters = Served(LIST, "CertmgrParameters", doc="Since 24.11.")
    certmgr_type = Served(WORD, "CertmgrType", doc="Since 24.11.")
    cli_filter_plugins = Served(LIST, "CliFilterPlugins")
    cluster_name = Served(WORD, "ClusterName")
    communication_parameters = Served(PARAMS, "CommunicationParameters")
    complete_wait_time = Served(NUM, "CompleteWait", doc="Seconds.")
    default_cpu_frequency_governor = Served(WORD, "CpuFreqDef")
    cpu_frequency_governors = Served(UPPER, "CpuFreqGovernors")
    credential_type = Served(WORD, "CredType")
    data_parser_parameters = Served(WORD, "DataParserParameters", doc="Since 24.05.")
    debug_flags = Served(LIST, "DebugFlags")
    default_memory_per_cpu = Served(SIZE, "DefMemPerCPU", doc="MiB.")
    default_memory_per_node = Served(SIZE, "DefMemPerNode", doc="MiB.")
    dependency_parameters = Served(PARAMS, "DependencyParameters")
    disable_root_jobs = Served(YES, "DisableRootJobs")
    eio_timeout = Served(NUM, "EioTimeout", doc="Seconds.")
    enforce_partition_limits = Served(WORD, "EnforcePartLimits")
    epilog = Served(NAMES, "Epilog")
    epilog_timeout = Served(NUM, "EpilogTimeout|PrologEpilogTimeout", doc="Seconds.")
    epilog_msg_time = Served(NUM, "EpilogMsgTime", doc="Microseconds.")
    epilog_slurmctld = Served(NAMES, "EpilogSlurmctld")
    fair_share_dampening_factor = Served(NUM, "FairShareDampeningFactor")
    federation_parameters = Served(PARAMS, "FederationParameters")
    first_job_id = Served(NUM, "FirstJobId")
    gres_types = Served(LIST, "GresTypes")
    group_update_force = Served(YES, "GroupUpdateForce")
    group_update_time = Served(NUM, "GroupUpdateTime", doc="Seconds.")
    default_gpu_frequency = Served(WORD, "GpuFreqDef")
    hash_plugin = Served(WORD, "HashPlugin", doc="Since 23.02.")
    hash_value = Served(
        HASH,
        "HASH_VAL",
        doc="None where it is the same everywhere: scontrol tells differing ones only.",
    )
    health_check_interval = Served(NUM, "HealthCheckInterval", doc="Seconds.")
    health_check_node_state = Served(LIST, "HealthCheckNodeState")
    health_check_program = Served(WORD, "HealthCheckProgram")
    inactive_limit = Served(NUM, "InactiveLimit", doc="Seconds.")
    interactive_step_options = Served(WORD, "InteractiveStepOptions")
    job_accounting_gather_type = Served(WORD, "JobAcctGatherType")
    job_accounting_gather_frequency = Served(
        FREQ,
        "JobAcctGatherFrequency",
        doc="Seconds by what is sampled; a plain number is for tasks.",
    )
    job_accounting_gather_parameters = Served(LIST, "JobAcctGatherParams")
    job_completion_host = Served(WORD, "JobCompHost")
    job_completion_location = Served(WORD, "JobCompLoc")
    job_completion_parameters = Served(PARAMS, "JobCompParams")
    job_completion_port = Served(NUM, "JobCompPort")
    job_completion_type = Served(WORD, "JobCompType")
    job_completion_user = Served(WORD, "JobCompUser")
    namespace_plugin = Served(WORD, "NamespaceType|JobContainerType")
    job_defaults = Served(TRES, "JobDefaults")
    job_file_append = Served(YES, "JobFileAppend")
    job_requeue = Served(YES, "JobRequeue")
    job_submit_plugins = Served(LIST, "JobSubmitPlugins")
    kill_on_bad_exit = Served(YES, "KillOnBadExit")
    kill_wait_time = Served(NUM, "KillWait", doc="Seconds.")
    launch_parameters = Served(LIST, "LaunchParameters")
    licenses = Served(LICENSES, "Licenses", doc="Counts by name.")
    log_time_format = Served(WORD, "LogTimeFormat")
    mail_domain = Served(WORD, "MailDomain")
    mail_program = Served(WORD, "MailProg")
    max_array_size = Served(NUM, "MaxArraySize")
    max_batch_requeue = Served(NUM, "MaxBatchRequeue", doc="Since 23.11.")
    max_dbd_msgs = Served(NUM, "MaxDBDMsgs")
    max_job_count = Served(NUM, "MaxJobCount")
    max_job_id = Served(NUM, "MaxJobId")
    max_memory_per_cpu = Served(SIZE, "MaxMemPerCPU", doc="MiB.")
    max_memory_per_node = Served(SIZE, "MaxMemPerNode", doc="MiB.")
    max_node_count = Served(NUM, "MaxNodeCount")
    max_step_count = Served(NUM, "MaxStepCount")
    max_tasks_per_node = Served(NUM, "MaxTasksPerNode")
    mcs_plugin = Served(WORD, "MCSPlugin")
    mcs_parameters = Served(LIST, "MCSParameters")
    metrics_type = Served(WORD, "MetricsType", doc="Since 25.11.")
    min_job_age = Served(NUM, "MinJobAge", doc="Seconds.")
    mpi_default = Served(WORD, "MpiDefault")
    mpi_parameters = Served(PARAMS, "MpiParams")
    message_timeout = Served(NUM, "MessageTimeout", doc="Seconds.")
    next_job_id = Served(NUM, "NEXT_JOB_ID")
    node_features_plugins = Served(LIST, "NodeFeaturesPlugins")
    over_time_limit = Served(NUM, "OverTimeLimit", doc="Minutes.")
    plugin_dirs = Served(DIRS, "PluginDir")
    plugin_stack_config = Served(WORD, "PlugStackConfig")
    preempt_exempt_time = Served(SPAN, "PreemptExemptTime", doc="Seconds.")
    preempt_mode = Served(WORD, "PreemptMode")
    preempt_parameters = Served(PARAMS, "PreemptParameters", doc="Since 23.02.")
    preempt_type = Served(WORD, "PreemptType")
    prep_parameters = Served(LIST, "PrEpParameters")
    prep_plugins = Served(LIST, "PrEpPlugins")
    priority_decay_half_life = Served(SPAN, "PriorityDecayHalfLife", doc="Seconds.")
    priority_calc_period = Served(SPAN, "PriorityCalcPeriod", doc="Seconds.")
    priority_favor_small = Served(YES, "PriorityFavorSmall")
    priority_flags = Served(LIST, "PriorityFlags")
    priority_max_age = Served(SPAN, "PriorityMaxAge", doc="Seconds.")
    priority_parameters = Served(WORD, "PriorityParameters")
    priority_usage_reset_period = Served(WORD, "PriorityUsageResetPeriod")
    priority_type = Served(WORD, "PriorityType")
    priority_weight_age = Served(NUM0, "PriorityWeightAge")
    priority_weight_assoc = Served(NUM0, "PriorityWeightAssoc")
    priority_weight_fair_share = Served(NUM0, "PriorityWeightFairShare")
    priority_weight_job_size = Served(NUM0, "PriorityWeightJobSize")
    priority_weight_partition = Served(NUM0, "PriorityWeightPartition")
    priority_weight_qos = Served(NUM0, "PriorityWeightQOS")
    priority_weight_tres = Served(TRES, "PriorityWeightTRES")
    private_data = Served(CHOSEN, "PrivateData")
    proctrack_type = Served(WORD, "ProctrackType")
    prolog = Served(NAMES, "Prolog")
    prolog_timeout = Served(NUM, "PrologTimeout|PrologEpilogTimeout", doc="Seconds.")
    prolog_slurmctld = Served(NAMES, "PrologSlurmctld")
    propagate_prio_process = Served(NUM0, "PropagatePrioProcess")
    prolog_flags = Served(LIST, "PrologFlags")
    propagate_resource_limits = Served(LIST, "PropagateResourceLimits")
    propagate_resource_limits_except = Served(LIST, "PropagateResourceLimitsExcept")
    reboot_program = Served(WORD, "RebootProgram")
    reconfig_flags = Served(LIST, "ReconfigFlags")
    requeue_exit = Served(WORD, "RequeueExit")
    requeue_exit_hold = Served(WORD, "RequeueExitHold")
    resume_fail_program = Served(WORD, "ResumeFailProgram")
    resume_program = Served(WORD, "ResumeProgram")
    resume_rate = Served(NUM, "ResumeRate", doc="Nodes a minute.")
    resume_timeout = Served(NUM, "ResumeTimeout", doc="Seconds.")
    reservation_epilog = Served(WORD, "ResvEpilog")
    reservation_over_run = Served(NUM0, "ResvOverRun", doc="Minutes.")
    reservation_prolog = Served(WORD, "ResvProlog")
    return_to_service = Served(NUM0, "ReturnToService")
    scheduler_log_file = Served(WORD, "SlurmSchedLogFile")
    scheduler_logging_enabled = Served(YES, "SlurmSchedLogLevel")
    scheduler_parameters = Served(PARAMS, "SchedulerParameters")
    scheduler_time_slice = Served(NUM, "SchedulerTimeSlice", doc="Seconds.")
    scheduler_type = Served(WORD, "SchedulerType")
    scron_parameters = Served(LIST, "ScronParameters")
    select_type = Served(WORD, "SelectType")
    select_type_parameters = Served(LIST, "SelectTypeParameters")
    priority_site_factor_plugin = Served(WORD, "PrioritySiteFactorPlugin")
    priority_site_factor_parameters = Served(WORD, "PrioritySiteFactorParameters")
    slurm_conf_path = Served(WORD, "SLURM_CONF")
    slurm_user_id = Served(USER_ID, "SlurmUser")
    slurm_user_name = Served(USER_NAME, "SlurmUser")
    slurmd_user_id = Served(
        USER_ID, "SlurmdUser", doc="(PySlurm 25.11 has SlurmUser's number here.)"
    )
    slurmd_user_name = Served(USER_NAME, "SlurmdUser")
    slurmctld_log_level = Served(LEVEL, "SlurmctldDebug")
    slurmctld_log_file = Served(WORD, "SlurmctldLogFile")
    slurmctld_pid_file = Served(WORD, "SlurmctldPidFile")
    slurmctld_port = Served(WORD, "SlurmctldPort", doc="`6817`, `6817-6820`")
    slurmctld_primary_off_program = Served(WORD, "SlurmctldPrimaryOffProg")
    slurmctld_primary_on_program = Served(WORD, "SlurmctldPrimaryOnProg")
    slurmctld_syslog_level = Served(LEVEL, "SlurmctldSyslogDebug")
    slurmctld_timeout = Served(NUM, "SlurmctldTimeout", doc="Seconds.")
    slurmctld_parameters = Served(PARAMS, "SlurmctldParameters")
    slurmd_log_level = Served(LEVEL, "SlurmdDebug")
    slurmd_log_file = Served(WORD, "SlurmdLogFile")
    slurmd_parameters = Served(PARAMS, "SlurmdParameters")
    slurmd_pid_file = Served(WORD, "SlurmdPidFile")
    slurmd_port = Served(NUM, "SlurmdPort")
    slurmd_spool_directory = Served(WORD, "SlurmdSpoolDir")
    slurmd_syslog_level = Served(LEVEL, "SlurmdSyslogDebug")
    slurmd_timeout = Served(NUM, "SlurmdTimeout", doc="Seconds.")
    srun_epilog = Served(WORD, "SrunEpilog")
    srun_port_range = Served(PORTS, "SrunPortRange")
    srun_prolog = Served(WORD, "SrunProlog")
    state_save_location = Served(WORD, "StateSaveLocation")
    suspend_exclude_nodes = Served(WORD, "SuspendExcNodes")
    suspend_exclude_partitions = Served(LIST, "SuspendExcParts")
    suspend_exclude_states = Served(LIST, "SuspendExcStates", doc="Since 23.02.")
    suspend_program = Served(WORD, "SuspendProgram")
    suspend_rate = Served(NUM, "SuspendRate", doc="Nodes a minute.")
    suspend_time = Served(NUM, "SuspendTime", doc="Seconds.")
    suspend_timeout = Served(NUM, "SuspendTimeout", doc="Seconds.")
    switch_type = Served(WORD, "SwitchType")
    switch_parameters = Served(PARAMS, "SwitchParameters")
    task_epilog = Served(WORD, "TaskEpilog")
    task_plugin = Served(WORD, "TaskPlugin")
    task_plugin_parameters = Served(BINDS, "TaskPluginParam")
    task_prolog = Served(WORD, "TaskProlog")
    tls_parameters = Served(LIST, "TLSParameters", doc="Since 24.11.")
    tls_type = Served(WORD, "TLSType", doc="Since 24.11.")
    tcp_timeout = Served(NUM, "TCPTimeout", doc="Seconds.")
    temporary_filesystem = Served(WORD, "TmpFS")
    topology_parameters = Served(PARAMS, "TopologyParam")
    topology_plugin = Served(WORD, "TopologyPlugin")
    tree_width = Served(NUM, "TreeWidth")
    unkillable_step_program = Served(WORD, "UnkillableStepProgram")
    unkillable_step_timeout = Served(NUM, "UnkillableStepTimeout", doc="Seconds.")
    track_wckey = Served(YES, "TrackWCKey")
    use_pam = Served(YES, "UsePam")
    version = Served(WORD, "SLURM_VERSION")
    virtual_memory_size_factor = Served(NUM, "VSizeFactor", doc="Percent.")
    wait_time = Served(NUM, "WaitTime", doc="Seconds.")
    x11_parameters = Served(LIST, "X11Parameters")

    def __init__(self) -> None:
        raise RuntimeError(
            "Cannot instantiate class directly. Use slurmctld.Config.load() to get an instance."
        )

    def __repr__(self) -> str:
        return f"pyslurm.slurmctld.Config({self.cluster_name})"

    @staticmethod
    def load() -> Config:
        """`scontrol show config`"""
        from labtui.slurm.core.slurmctld import aio

        return bridge.call(aio.config)
