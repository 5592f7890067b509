"""The NVIDIA cards of this machine through nvidia-ml-py. Blocking: call it in a lane.

NVML stays initialised between two polls: to start it costs up to a second on a card without
persistence mode. So it also holds the driver: who reloads its modules ends labtui first. A figure
that a card cannot give (MIG, old drivers) is None with its reason; a card that has fallen off the
bus, or cannot be opened, costs its own row only. XIDs are not waited for here: an event set would
hold a thread inside the library while it is shut down; DCGM and the kernel's log tell them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from labtui.model import Finding, Gpu, GpuProcess, MigInstance
from labtui.sources import processes
from labtui.sources.base import number
from labtui.sources.gpufigures import LOCK_UNTOLD, UNDER_MIG, inside, possible
from labtui.sources.nvmlask import Ask, Lost, fault, is_lost, name, opened, words
from labtui.text import inert

_THROTTLE = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
"""nvml.h, nvmlClocksEventReasons. 0x1 is "idle": slow because nothing is to be done."""


def throttle_words(mask: int) -> str | None:
    """Why the clocks are held down, in words; None when they are not."""
    return ", ".join(words for bit, words in _THROTTLE.items() if mask & bit) or None


NO_XIDS = "NVML is not asked for XIDs; DCGM or nvidia-smi tell them"


class _Fixed(NamedTuple):
    """What does not change of a card while NVML is initialised."""

    values: dict[str, Any]
    na: dict[str, str]


class Nvml:
    def __init__(self, node: str) -> None:
        self.node = node
        self._nvml: Any = None
        self._fixed: dict[int, _Fixed] = {}
        """By index."""
        self._driver: str | None = None

    def cards(self) -> list[Gpu]:
        """All cards. Raises SourceError when the library, the driver or every card cannot be
        used."""
        try:
            nvml = self._started()
            devices = [opened(nvml, i) for i in range(nvml.nvmlDeviceGetCount())]
            if devices and all(isinstance(d, Exception) and not is_lost(d) for d in devices):
                raise devices[0]
            return [self._card(nvml, i, device) for i, device in enumerate(devices)]
        except Exception as error:  # noqa: BLE001 - see words in nvmlask
            self.close()
            raise fault(error, self.node) from None

    def close(self) -> None:
        """Let go of the driver; the next poll starts anew. Never raises."""
        nvml, self._nvml = self._nvml, None
        self._fixed.clear()
        if nvml is not None:
            with suppress(Exception):
                nvml.nvmlShutdown()

    def _started(self) -> Any:
        if self._nvml is None:
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._driver = None
            with suppress(Exception):
                self._driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return self._nvml

    def _card(self, nvml: Any, index: int, device: Any) -> Gpu:
        """`device`: its handle, or why it has none."""
        if isinstance(device, Exception):
            return self._silent(index, words(device), lost=name(device) != "NoPermission")
        try:
            return self._read(Ask(nvml, device), index)
        except Lost as error:
            return self._silent(index, str(error))

    def _read(self, ask: Ask, index: int) -> Gpu:
        fixed = self._fixed.get(index)
        if fixed is None:
            fixed = self._fixed[index] = _unchanging(Ask(ask.nvml, ask.device))
        ask.na |= {"clock_lock_mhz": LOCK_UNTOLD, "xid": NO_XIDS, **fixed.na}
        told = possible(_figures(ask), ask.na, "NVML")
        mask, ecc = told.pop("throttle", None), told.pop("ecc_uncorrected", None)
        persistence = ask("persistence", "nvmlDeviceGetPersistenceMode")
        mig = _instances(Ask(ask.nvml, ask.device))
        if mig is not None and told.get("util_percent") is None:
            ask.na["util_percent"] = UNDER_MIG
        using, parts = inside(
            processes.here(self._processes(ask, fixed.values["uuid"])),
            mig or (), told.get("memory_total_mib"), ask.na, "NVML",
        )  # fmt: skip
        return Gpu(
            node=self.node,
            index=index,
            driver=self._driver,
            sharing=None if mig is None else "mig",
            persistence=None if persistence is None else bool(persistence),
            throttle=None if mask is None else throttle_words(int(mask)),
            ecc_uncorrected=None if ecc is None else int(ecc),
            mig=parts,
            processes=using,
            na=ask.na,
            **fixed.values,
            **told,
        )

    def _processes(self, ask: Ask, uuid: str | None) -> list[GpuProcess]:
        """Those that compute, by MPS too, and those that draw; each once."""
        found: dict[int, GpuProcess] = {}
        for kind in ("Compute", "MPSCompute", "Graphics"):
            # Many cards have no MPS, and nothing that draws.
            one = ask if kind == "Compute" else Ask(ask.nvml, ask.device)
            get = f"nvmlDeviceGet{kind}RunningProcesses"
            for process in one.either("processes", get, f"{get}_v2") or ():  # v2: before 510
                memory = number(process.usedGpuMemory)
                instance = getattr(process, "gpuInstanceId", None)
                found.setdefault(
                    process.pid,
                    GpuProcess(
                        pid=process.pid,
                        node=self.node,
                        gpu_uuid=uuid,
                        memory_mib=None if memory is None else memory / 2**20,
                        mig_id=instance if instance is not None and instance < 1 << 16 else None,
                    ),
                )
        if any(p.memory_mib is None for p in found.values()):
            ask.na["process_memory"] = "the driver does not tell"
        return list(found.values())

    def _silent(self, index: int, why: str, *, lost: bool = True) -> Gpu:
        """The row of a card that gives no figure, with what was known of it."""
        known = self._fixed[index].values if index in self._fixed else {}
        fields = (
            "util_percent", "memory_used_mib", "memory_total_mib", "temperature_c", "power_w",
            "power_limit_w", "clock_mhz", "throttle", "ecc_uncorrected", "persistence", "processes",
        )  # fmt: skip
        means = "what runs on it fails; the machine has to be rebooted, or the card reset"
        return Gpu(
            node=self.node,
            index=index,
            product=known.get("product"),
            uuid=known.get("uuid"),
            minor=known.get("minor"),
            driver=self._driver,
            na={**dict.fromkeys(fields, f"nvml: {why}"), "xid": NO_XIDS},
            findings=(Finding(kind="lost", severity=3, text=why, means=means),) * lost,
        )


def _unchanging(ask: Ask) -> _Fixed:
    low_high = ask("power_min_w", "nvmlDeviceGetPowerManagementLimitConstraints")
    low, high = low_high or (None, None)
    values = {
        "product": _text(ask("product", "nvmlDeviceGetName")),
        "uuid": _text(ask("uuid", "nvmlDeviceGetUUID")),
        "minor": ask("minor", "nvmlDeviceGetMinorNumber"),
        "power_min_w": _watts(low),
        "power_max_w": _watts(high),
        "power_default_w": _watts(
            ask("power_default_w", "nvmlDeviceGetPowerManagementDefaultLimit")
        ),
        "clock_max_mhz": number(ask("clock_max_mhz", "nvmlDeviceGetMaxClockInfo", 1)),
    }
    ask.na.pop("minor", None)  # no figure: nobody misses it on a screen
    return _Fixed(possible(values, ask.na, "NVML"), ask.na)


def _figures(ask: Ask) -> dict[str, Any]:
    rates = ask("util_percent", "nvmlDeviceGetUtilizationRates")
    reasons = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
    return {
        "util_percent": None if rates is None else number(rates.gpu),
        **_memory(ask),
        "temperature_c": number(ask("temperature_c", "nvmlDeviceGetTemperature", 0)),
        "power_w": _watts(ask("power_w", "nvmlDeviceGetPowerUsage")),
        "power_limit_w": _watts(ask("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit")),
        "clock_mhz": number(ask("clock_mhz", "nvmlDeviceGetClockInfo", 1)),
        "throttle": number(ask.either("throttle", *reasons)),  # the second: before 535
        "ecc_uncorrected": number(ask("ecc_uncorrected", "nvmlDeviceGetTotalEccErrors", 1, 0)),
    }


def _memory(ask: Ask) -> dict[str, Any]:
    """Without what the driver reserves for itself where it tells that apart (v2), as DCGM and
    nvidia-smi do."""
    field, function = "memory_used_mib", "nvmlDeviceGetMemoryInfo"
    memory = ask(field, function, getattr(ask.nvml, "nvmlMemory_v2", None)) or ask(field, function)
    if memory is None:
        ask.na["memory_total_mib"] = ask.na[field]
        return {field: None, "memory_total_mib": None}
    return {field: memory.used / 2**20, "memory_total_mib": memory.total / 2**20}


def _instances(ask: Ask) -> tuple[MigInstance, ...] | None:
    """None where MIG is off or unknown to the card."""
    mode = ask("mig", "nvmlDeviceGetMigMode")
    if not mode or mode[0] != 1:
        return None
    most = ask("mig", "nvmlDeviceGetMaxMigDeviceCount")
    parts = (
        ask("mig", "nvmlDeviceGetMigDeviceHandleByIndex", i) for i in range(min(most or 0, 64))
    )
    found = [_instance(Ask(ask.nvml, part)) for part in parts if part is not None]
    return tuple(instance for instance in found if instance is not None)


def _instance(ask: Ask) -> MigInstance | None:
    number_, memory = ask("id", "nvmlDeviceGetGpuInstanceId"), ask("m", "nvmlDeviceGetMemoryInfo")
    if number_ is None:
        return None
    name = _text(ask("name", "nvmlDeviceGetName")) or ""  # `NVIDIA A100-SXM4-40GB MIG 1g.5gb`
    profile = name.partition(" MIG ")[2] or None
    return MigInstance(
        id=int(number_),
        profile=profile or _profile(ask("profile", "nvmlDeviceGetAttributes")),
        uuid=_text(ask("uuid", "nvmlDeviceGetUUID")),
        memory_total_mib=None if memory is None else memory.total / 2**20,
        memory_used_mib=None if memory is None else memory.used / 2**20,
    )


def _watts(milliwatts: Any) -> float | None:
    value = number(milliwatts)
    return None if value is None else value / 1000


def _profile(attributes: Any) -> str | None:
    """`1g.10gb`, from the slices and the memory of an instance."""
    slices = number(getattr(attributes, "gpuInstanceSliceCount", None))
    memory = number(getattr(attributes, "memorySizeMB", None))
    return f"{slices:.0f}g.{round(memory / 1024)}gb" if slices and memory else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return inert(value, 64) if value else None
