"""One question to NVML, and what its errors mean."""

from __future__ import annotations

from typing import Any

from labtui.sources.base import SourceError
from labtui.store import FaultKind
from labtui.text import inert

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
_WORDS = {
    "NotSupported": "not supported by this card",
    "FunctionNotFound": "the driver is too old to tell",
    "NVMLLibraryMismatchError": "library and driver do not match",
    "NoPermission": "this user may not read it",
    "InsufficientPower": "its power cables are not plugged in as they should be",
    "IrqIssue": "its interrupts do not reach the driver",
    **_LOST,
}


class Lost(Exception):
    """The card is lost: nothing else is asked of it."""


class Ask:
    """Questions to a card or to a MIG instance: an answer, or None with the reason in `na`."""

    def __init__(self, nvml: Any, device: Any) -> None:
        self.nvml = nvml
        self.device = device
        self.na: dict[str, str] = {}

    def __call__(self, field: str, function: str, *arguments: Any) -> Any:
        try:
            answer = getattr(self.nvml, function)(self.device, *arguments)
        except Exception as error:  # see words
            if name(error) in _START_AGAIN:
                raise
            if is_lost(error):
                raise Lost(words(error)) from None
            self.na[field] = f"nvml: {words(error)}"
            return None
        self.na.pop(field, None)
        return answer

    def either(self, field: str, *functions: str) -> Any:
        """The answer of the first that the driver knows, the newest first."""
        for function in functions:
            answer = self(field, function)
            if answer is not None:
                return answer
        return None


def opened(nvml: Any, index: int) -> Any:
    """The card's handle, or why it has none."""
    try:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except Exception as error:
        if name(error) in _START_AGAIN:
            raise
        return error


def name(error: Exception) -> str:
    return type(error).__name__.removeprefix("NVMLError_")


def is_lost(error: Exception) -> bool:
    return name(error) in _LOST


def words(error: Exception) -> str:
    """NVMLLibraryMismatchError is no NVMLError: every exception has to be taken for one."""
    return _WORDS.get(name(error)) or inert(f"{name(error)}: {error}", 80)


def fault(error: Exception, node: str) -> SourceError:
    kind, text = _KINDS.get(name(error), ("protocol", words(error)))
    return SourceError(kind, f"NVML on {node}: {text}")
