"""The NVIDIA cards of this machine through nvidia-ml-py. Blocking: call it in a lane.

NVML stays initialised between two polls: to start it costs up to a second on a card without
persistence mode. So it also holds the driver: who reloads its modules ends labtui first. A figure
that a card cannot give (MIG, old drivers) is None with its reason; a card that has fallen off the
bus costs its own row only. XIDs are not waited for here: an event set would hold a thread inside
the library while it is shut down; DCGM and the kernel's log tell them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from labtui.model import Finding, Gpu, GpuProcess, MigInstance
from labtui.sources import processes
from labtui.sources.base import SourceError, number
from labtui.sources.gpufigures import possible
from labtui.store import FaultKind
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


_DIFFER = (
    "driver and library differ: it was upgraded under the running programs; reboot, or reload the "
    "modules and start labtui again"
)
_KINDS: dict[str, tuple[FaultKind, str]] = {
    "LibraryNotFound": ("not-found", "there is no libnvidia-ml.so.1 (no NVIDIA driver)"),
    "DriverNotLoaded": ("not-found", "the NVIDIA driver is not loaded"),
    "NoPermission": ("permission", "it may not be read by this user"),
    "LibRmVersionMismatch": ("protocol", _DIFFER),
    "GpuIsLost": ("unreachable", "a card has fallen off the bus"),
}
_START_AGAIN = frozenset({"DriverNotLoaded", "LibRmVersionMismatch", "Uninitialized"})
"""Errors after which nothing else is to be had from this start of the library."""
_LOST = {"GpuIsLost": "the card has fallen off the bus", "ResetRequired": "it must be reset"}
_GONE = "the card is lost"
_UNTOLD = "the driver does not tell"


class Nvml:
    def __init__(self, node: str) -> None:
        self.node = node
        self._nvml: Any = None
        self._fixed: dict[int, dict[str, Any]] = {}
        """Index -> what does not change while NVML is initialised."""
        self._driver: str | None = None

    def cards(self) -> list[Gpu]:
        """All cards. Raises SourceError when the library or the driver cannot be used."""
        try:
            nvml = self._started()
            count = nvml.nvmlDeviceGetCount()
            return [self._card(nvml, i) for i in range(count)]
        except Exception as error:  # noqa: BLE001 - see _words
            self.close()
            raise self._error(error) from None

    def close(self) -> None:
        """Let go of the driver; the next poll starts anew. Never raises."""
        nvml, self._nvml = self._nvml, None
        self._fixed.clear()
        if nvml is not None:
            self._try(nvml.nvmlShutdown, {}, "")

    def _started(self) -> Any:
        if self._nvml is None:
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._driver = _text(self._try(pynvml.nvmlSystemGetDriverVersion, {}, ""))
        return self._nvml

    def _card(self, nvml: Any, index: int) -> Gpu:
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
        except Exception as error:
            name = _name(error)
            if name not in _LOST:
                raise
            return self._lost(index, _LOST[name])
        na: dict[str, str] = {"clock_lock_mhz": "no driver tells to what its clocks are locked"}
        lost: list[str] = []

        def ask(field: str, function: str, *arguments: Any) -> Any:
            """None with its reason, of a card that is lost without asking on."""
            if lost:
                na[field] = _GONE
                return None
            return self._try(lambda: getattr(nvml, function)(device, *arguments), na, field, lost)

        fixed = self._fixed.get(index)
        if fixed is None:
            before = dict(na)
            fixed = self._unchanging(ask)
            fixed["na"] = {f: why for f, why in na.items() if f not in before}
        na.update(fixed["na"])
        rates = ask("util_percent", "nvmlDeviceGetUtilizationRates")
        power, limit = (
            number(ask("power_w", "nvmlDeviceGetPowerUsage")),
            number(ask("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit")),
        )
        told: dict[str, Any] = {
            "util_percent": None if rates is None else number(rates.gpu),
            **self._memory(ask, nvml, na),
            "temperature_c": number(ask("temperature_c", "nvmlDeviceGetTemperature", 0)),
            "power_w": None if power is None else power / 1000,
            "power_limit_w": None if limit is None else limit / 1000,
            "clock_mhz": number(ask("clock_mhz", "nvmlDeviceGetClockInfo", 1)),
            "throttle": self._reasons(ask, na),
            "ecc_uncorrected": number(ask("ecc_uncorrected", "nvmlDeviceGetTotalEccErrors", 1, 0)),
            **{f: v for f, v in fixed.items() if f not in ("product", "uuid", "na")},
        }
        told = possible(told, na, "NVML")
        mask, ecc = told.pop("throttle"), told.pop("ecc_uncorrected")
        persistence = ask("persistence", "nvmlDeviceGetPersistenceMode")
        mig = self._instances(nvml, device, ask)
        if mig is not None and told["util_percent"] is None:
            na["util_percent"] = "under MIG each instance is busy apart; there is no figure for all"
        running = self._processes(ask, na, fixed.get("uuid"))
        if lost:
            return self._lost(index, lost[0], fixed)
        self._fixed[index] = fixed
        return Gpu(
            node=self.node,
            index=index,
            product=fixed["product"],
            uuid=fixed["uuid"],
            driver=self._driver,
            sharing=None if mig is None else "mig",
            persistence=None if persistence is None else bool(persistence),
            throttle=None if mask is None else throttle_words(int(mask)),
            ecc_uncorrected=None if ecc is None else int(ecc),
            mig=mig or (),
            processes=tuple(processes.here(running)),
            na=na,
            **told,
        )

    def _unchanging(self, ask: Callable[..., Any]) -> dict[str, Any]:
        low_high = ask("power_min_w", "nvmlDeviceGetPowerManagementLimitConstraints")
        low, high = map(number, low_high or (None, None))
        usual = number(ask("power_default_w", "nvmlDeviceGetPowerManagementDefaultLimit"))
        return {
            "product": _text(ask("product", "nvmlDeviceGetName")),
            "uuid": _text(ask("uuid", "nvmlDeviceGetUUID")),
            "power_min_w": None if low is None else low / 1000,
            "power_max_w": None if high is None else high / 1000,
            "power_default_w": None if usual is None else usual / 1000,
            "clock_max_mhz": number(ask("clock_max_mhz", "nvmlDeviceGetMaxClockInfo", 1)),
        }

    def _memory(self, ask: Callable[..., Any], nvml: Any, na: dict[str, str]) -> dict[str, Any]:
        """Without what the driver reserves for itself where it tells that apart (v2), as DCGM and
        nvidia-smi do."""
        field = "memory_used_mib"
        memory = ask(field, "nvmlDeviceGetMemoryInfo", getattr(nvml, "nvmlMemory_v2", None))
        if memory is None and na[field] != _GONE:
            del na[field]
            memory = ask(field, "nvmlDeviceGetMemoryInfo")
        if memory is None:
            na["memory_total_mib"] = na[field]
            return {field: None, "memory_total_mib": None}
        return {field: memory.used / 2**20, "memory_total_mib": memory.total / 2**20}

    def _reasons(self, ask: Callable[..., Any], na: dict[str, str]) -> float | None:
        mask = ask("throttle", "nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None and na["throttle"] != _GONE:  # drivers before 535
            del na["throttle"]
            mask = ask("throttle", "nvmlDeviceGetCurrentClocksThrottleReasons")
        return number(mask)

    def _instances(
        self, nvml: Any, device: Any, ask: Callable[..., Any]
    ) -> tuple[MigInstance, ...] | None:
        """None where MIG is off or unknown to the card."""
        mode = self._try(lambda: nvml.nvmlDeviceGetMigMode(device), {}, "")
        if not mode or mode[0] != 1:
            return None
        most = self._try(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(device), {}, "")
        found: list[MigInstance] = []
        for i in range(min(int(most or 0), 64)):
            handle = partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, device, i)
            part = self._try(handle, {}, "")
            if part is not None:
                found += self._instance(nvml, part)
        return tuple(found)

    def _instance(self, nvml: Any, part: Any) -> list[MigInstance]:
        def ask(function: str) -> Any:
            return self._try(lambda: getattr(nvml, function)(part), {}, "")

        number_, memory = ask("nvmlDeviceGetGpuInstanceId"), ask("nvmlDeviceGetMemoryInfo")
        if number_ is None:
            return []
        name = _text(ask("nvmlDeviceGetName")) or ""  # `NVIDIA A100-SXM4-40GB MIG 1g.5gb`
        profile = name.partition(" MIG ")[2] or None
        return [
            MigInstance(
                id=int(number_),
                profile=profile or _profile(ask("nvmlDeviceGetAttributes")),
                uuid=_text(ask("nvmlDeviceGetUUID")),
                memory_total_mib=None if memory is None else memory.total / 2**20,
                memory_used_mib=None if memory is None else memory.used / 2**20,
            )
        ]

    def _processes(
        self, ask: Callable[..., Any], na: dict[str, str], uuid: str | None
    ) -> list[GpuProcess]:
        """Those that compute, by MPS too, and those that draw; each once."""
        found: dict[int, GpuProcess] = {}
        for kind in ("Compute", "MPSCompute", "Graphics"):
            field = "processes" if kind == "Compute" else f"processes.{kind}"
            for version in ("", "_v2"):  # drivers before 510 have no v3
                running = ask(field, f"nvmlDeviceGet{kind}RunningProcesses{version}")
                if running is not None:
                    na.pop(field, None)
                    break
            if kind != "Compute":
                na.pop(field, None)  # many cards have no MPS, and nothing that draws
            for process in running or ():
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
            na["process_memory"] = _UNTOLD
        return list(found.values())

    def _lost(self, index: int, why: str, fixed: dict[str, Any] | None = None) -> Gpu:
        """Its row stays, with what was known of it."""
        known = fixed or self._fixed.get(index) or {}
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
            driver=self._driver,
            na=dict.fromkeys(fields, f"nvml: {why}"),
            findings=(Finding(kind="lost", severity=3, text=why, means=means),),
        )

    def _try(
        self,
        call: Callable[[], Any],
        na: dict[str, str],
        field: str,
        lost: list[str] | None = None,
    ) -> Any:
        try:
            return call()
        except Exception as error:
            name = _name(error)
            if field and name in _START_AGAIN:
                raise
            if lost is not None and name in _LOST:
                lost.append(_LOST[name])
            na[field] = f"nvml: {_words(error)}"
            return None

    def _error(self, error: Exception) -> SourceError:
        kind, text = _KINDS.get(_name(error), ("protocol", _words(error)))
        return SourceError(kind, f"NVML on {self.node}: {text}")


def _name(error: Exception) -> str:
    return type(error).__name__.removeprefix("NVMLError_")


def _words(error: Exception) -> str:
    """NVMLLibraryMismatchError is no NVMLError: every exception has to be taken for one."""
    name = _name(error)
    return {
        "NotSupported": "not supported by this card",
        "FunctionNotFound": "the driver is too old to tell",
        "NVMLLibraryMismatchError": "library and driver do not match",
        "NoPermission": "this user may not read it",
        **_LOST,
    }.get(name, inert(f"{name}: {error}", 80))


def _profile(attributes: Any) -> str | None:
    """`1g.10gb`, from the slices and the memory of an instance."""
    slices = number(getattr(attributes, "gpuInstanceSliceCount", None))
    memory = number(getattr(attributes, "memorySizeMB", None))
    return f"{slices:.0f}g.{round(memory / 1024)}gb" if slices and memory else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return inert(value, 64) if value else None
