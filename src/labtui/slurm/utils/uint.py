"""Numbers as Slurm's structures hold them: unsigned, with marks for unset and unlimited."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from labtui.slurm.constants import UNLIMITED


def _to(
    val: Any,
    inf: bool = False,
    noval: int | None = None,
    on_noval: int | None = None,
    zero_is_noval: bool = True,
    *,
    bits: int,
) -> Any:
    unset = 2**bits - 2
    if val is None or val == (unset if noval is None else noval) or (val == 0 and zero_is_noval):
        return unset if on_noval is None else on_noval
    if isinstance(val, str):
        if inf and val in (UNLIMITED, "unlimited"):
            return 2**bits - 1
        if not (val.isascii() and val.isdigit()):
            raise TypeError("an integer is required")
        val = int(val)
    if not isinstance(val, int | float):
        raise TypeError("an integer is required")
    if val < 0:
        raise OverflowError(f"can't convert negative value to uint{bits}_t")
    if val >= 2**bits:
        raise OverflowError(f"value too large to convert to uint{bits}_t")
    return int(val)


def _from(
    val: int,
    on_inf: Any = UNLIMITED,
    on_noval: Any = None,
    noval: int | None = None,
    zero_is_noval: bool = True,
    *,
    bits: int,
) -> Any:
    if val == (2**bits - 2 if noval is None else noval) or (val == 0 and zero_is_noval):
        return on_noval
    return on_inf if val == 2**bits - 1 else val


def _bool(val: Any, *, bits: int) -> int:
    return 2**bits - 2 if val is None else int(bool(val))


# u8(val, inf, noval, on_noval, zero_is_noval): a value of any kind as the number Slurm stores.
# TypeError for what is no number, OverflowError for one that does not fit.
u8: Final = partial(_to, bits=8)
u16: Final = partial(_to, bits=16)
u32: Final = partial(_to, bits=32)
u64: Final = partial(_to, bits=64)

# u8_parse(val, on_inf, on_noval, noval, zero_is_noval): back again.
u8_parse: Final = partial(_from, bits=8)
u16_parse: Final = partial(_from, bits=16)
u32_parse: Final = partial(_from, bits=32)
u64_parse: Final = partial(_from, bits=64)

u8_bool: Final = partial(_bool, bits=8)
u16_bool: Final = partial(_bool, bits=16)
