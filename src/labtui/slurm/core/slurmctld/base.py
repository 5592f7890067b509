"""Is slurmctld there, and what can be told to it. All functions raise RPCError."""

from __future__ import annotations

from typing import Any

from labtui.slurm import bridge, fields
from labtui.slurm.core.slurmctld.config import Config
from labtui.slurm.core.slurmctld.enums import ShutdownMode
from labtui.slurm.core.telling import control
from labtui.slurm.errors import SLURMCTLD_COMMUNICATIONS_CONNECTION_ERROR, RPCError
from labtui.slurm.record import Record
from labtui.slurm.served import COUNT, WORD, Kind, Served, none

_LEVELS = (
    "quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4", "debug5",
)  # fmt: skip
MAX_DAMPENING = 2**16 - 1

_SET: Kind[bool | None] = Kind(fields.flag, fields.flag, none)
_MS: Kind[float | None] = Kind(lambda v: None, lambda v: None, none)


class PingResponse(Record):
    """One slurmctld."""

    is_primary = Served(_SET, "Slurmctld(primary)", "primary", "Whether it is the first one.")
    is_responding = Served(_SET, "UP", "responding", "Whether it answers.")
    index = Served(COUNT, "", "", "Its place among the controllers, from 0.")
    hostname = Served(WORD, "at", "hostname", "Where it runs.")
    latency = Served(
        _MS, "", "latency", "Milliseconds: of `scontrol ping --json` from 23.02 on, else None for "
        "what is parsed and the time of the whole command, its start and the way to the login "
        "node included, for `ping`.",
    )  # fmt: skip

    def __repr__(self) -> str:
        return f"pyslurm.slurmctld.PingResponse({self.hostname}, {self.is_responding})"


def ping(index: int) -> PingResponse:
    """`scontrol ping`: one controller. RPCError where there is none of that number, and where it
    does not answer."""
    found = ping_all()
    if not 0 <= index < len(found):
        raise RPCError(msg="Invalid Index specified.")
    if not found[index].is_responding:
        raise RPCError(SLURMCTLD_COMMUNICATIONS_CONNECTION_ERROR)
    return found[index]


def ping_primary() -> PingResponse:
    """`scontrol ping`: the first controller."""
    return ping(0)


def ping_backup() -> PingResponse:
    """`scontrol ping`: the second controller. RPCError where there is none."""
    return ping(1)


def ping_all() -> list[PingResponse]:
    """`scontrol ping`: all controllers, also those that do not answer."""
    from labtui.slurm.core.slurmctld import aio

    return bridge.call(aio.pings)


def shutdown(mode: ShutdownMode | int) -> None:
    """`scontrol shutdown`, `scontrol shutdown slurmctld` or `scontrol abort`. ValueError for an
    unknown mode."""
    words = {
        ShutdownMode.ALL: ["shutdown"],
        ShutdownMode.CORE_FILE: ["abort"],
        ShutdownMode.CONTROLLER_ONLY: ["shutdown", "slurmctld"],
    }
    control(*words[ShutdownMode(mode)])


def reconfigure() -> None:
    """`scontrol reconfigure`"""
    control("reconfigure")


def takeover(index: int = 1) -> None:
    """`scontrol takeover INDEX`: that backup becomes the controller."""
    control("takeover", str(int(index)))


def add_debug_flags(flags: Any) -> None:
    """`scontrol setdebugflags +FLAG`; nothing for no flags. RPCError for an unknown one."""
    _debug("+", flags)


def remove_debug_flags(flags: Any) -> None:
    """`scontrol setdebugflags -FLAG`; nothing for no flags. RPCError for an unknown one."""
    _debug("-", flags)


def clear_debug_flags() -> None:
    """`scontrol setdebugflags -FLAG` for all that are set."""
    remove_debug_flags(get_debug_flags())


def get_debug_flags() -> list[str]:
    """`DebugFlags` of `scontrol show config`."""
    return Config.load().debug_flags


def set_log_level(level: Any) -> None:
    """`scontrol setdebug LEVEL`: "quiet" to "debug5", or 0 to 9. RPCError for another one."""
    word = str(level).lower()
    if word not in _LEVELS and word not in map(str, range(len(_LEVELS))):
        raise RPCError(msg=f"Invalid Log level: {level}.")
    control("setdebug", word)


def get_log_level() -> str | None:
    """`SlurmctldDebug` of `scontrol show config`."""
    return Config.load().slurmctld_log_level


def enable_scheduler_logging() -> None:
    """`scontrol schedloglevel 1`. RPCError where SlurmSchedLogFile is not set."""
    control("schedloglevel", "1")


def is_scheduler_logging_enabled() -> bool | None:
    """`SlurmSchedLogLevel` of `scontrol show config`."""
    return Config.load().scheduler_logging_enabled


def set_fair_share_dampening_factor(factor: int) -> None:
    """`scontrol fsdampeningfactor FACTOR`. RPCError for one that Slurm cannot hold, which
    scontrol itself takes without a word."""
    if not isinstance(factor, int) or not 0 < factor < MAX_DAMPENING:
        raise RPCError(
            msg=f"Invalid Dampening factor: {factor}. Factor must be between 0 and {MAX_DAMPENING}."
        )
    control("fsdampeningfactor", str(factor))


def get_fair_share_dampening_factor() -> int | str | None:
    """`FairShareDampeningFactor` of `scontrol show config`."""
    return Config.load().fair_share_dampening_factor


def _debug(sign: str, flags: Any) -> None:
    words = flags.split(",") if isinstance(flags, str) else list(flags or ())
    if not words:
        return
    if not all(str(word).isalnum() or set(str(word)) <= _FLAG for word in words):
        raise RPCError(msg="Invalid Debug Flags specified.")
    try:
        for word in words:  # 22.05 takes no more than one
            control("setdebugflags", f"{sign}{word}")
    except RPCError as error:
        if "invalid debug" in error.msg.lower():
            raise RPCError(msg="Invalid Debug Flags specified.") from None
        raise


_FLAG = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
