"""The NVIDIA cards of this machine through nvidia-ml-py. Blocking: call it in a lane.

A figure that a card cannot give (Jetson, MIG, old drivers) is None with its reason; only a
library that cannot be used at all is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labtui.model import Gpu, Holder
from labtui.sources.base import SourceError, number
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


_KINDS: dict[str, tuple[FaultKind, str]] = {
    "LibraryNotFound": ("not-found", "there is no libnvidia-ml.so.1 (no NVIDIA driver)"),
    "DriverNotLoaded": ("not-found", "the NVIDIA driver is not loaded"),
    "NoPermission": ("permission", "it may not be read by this user"),
    "LibRmVersionMismatch": ("protocol", "driver and library differ in version: reboot"),
    "GpuIsLost": ("unreachable", "a card has fallen off the bus"),
}


class Nvml:
    def __init__(self, node: str) -> None:
        self.node = node

    def cards(self) -> list[Gpu]:
        """All cards. Raises SourceError when the library or the driver cannot be used."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 - see _words
            raise self._error(error) from None
        try:
            return [self._card(pynvml, i) for i in range(pynvml.nvmlDeviceGetCount())]
        except Exception as error:  # noqa: BLE001
            raise self._error(error) from None
        finally:
            self._try(pynvml.nvmlShutdown, {}, "")

    def _card(self, nvml: Any, index: int) -> Gpu:
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        na: dict[str, str] = {}

        def ask(field: str, function: str, *arguments: Any) -> Any:
            return self._try(lambda: getattr(nvml, function)(device, *arguments), na, field)

        name, uuid = ask("product", "nvmlDeviceGetName"), ask("uuid", "nvmlDeviceGetUUID")
        rates = ask("util_percent", "nvmlDeviceGetUtilizationRates")
        memory = ask("memory_used_mib", "nvmlDeviceGetMemoryInfo")
        power = number(ask("power_w", "nvmlDeviceGetPowerUsage"))
        reasons = ask("throttle", "nvmlDeviceGetCurrentClocksEventReasons")
        util = None if rates is None else number(rates.gpu)
        if util is not None and not 0 <= util <= 100:
            util, na["util_percent"] = None, f"NVML says {util:g}"
        processes = ask("processes", "nvmlDeviceGetComputeRunningProcesses")
        if "memory_used_mib" in na:
            na["memory_total_mib"] = na["memory_used_mib"]
        return Gpu(
            node=self.node,
            index=index,
            product=_text(name),
            uuid=_text(uuid),
            util_percent=util,
            memory_used_mib=None if memory is None else memory.used / 2**20,
            memory_total_mib=None if memory is None else memory.total / 2**20,
            temperature_c=number(ask("temperature_c", "nvmlDeviceGetTemperature", 0)),
            power_w=None if power is None else power / 1000,
            clock_mhz=number(ask("clock_mhz", "nvmlDeviceGetClockInfo", 1)),
            throttle=None if reasons is None else throttle_words(int(reasons)),
            holders=tuple(
                Holder(kind="process", id=str(p.pid), slices=0, source="nvml")
                for p in processes or ()
            ),
            na=na,
        )

    def _try(self, call: Callable[[], Any], na: dict[str, str], field: str) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001
            na[field] = f"nvml: {_words(error)}"
            return None

    def _error(self, error: Exception) -> SourceError:
        name = type(error).__name__.removeprefix("NVMLError_")
        kind, text = _KINDS.get(name, ("protocol", _words(error)))
        return SourceError(kind, f"NVML on {self.node}: {text}")


def _words(error: Exception) -> str:
    """NVMLLibraryMismatchError is no NVMLError: every exception has to be taken for one."""
    name = type(error).__name__.removeprefix("NVMLError_")
    return {
        "NotSupported": "not supported by this card",
        "FunctionNotFound": "the driver is too old to tell",
        "NVMLLibraryMismatchError": "library and driver do not match",
    }.get(name, inert(f"{name}: {error}", 80))


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return inert(value, 64) if value else None
