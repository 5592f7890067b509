"""Values that mean something else than a number. PySlurm's names; numbers from slurm/slurm.h."""

from __future__ import annotations

from typing import Final

UNLIMITED: Final = "UNLIMITED"
"""No limit, where a number would stand."""

NO_VAL8: Final = 0xFE
NO_VAL16: Final = 0xFFFE
NO_VAL: Final = 0xFFFFFFFE
NO_VAL64: Final = 0xFFFFFFFFFFFFFFFE
"""Not set, by the width of the number in Slurm's own structures."""

INFINITE8: Final = 0xFF
INFINITE16: Final = 0xFFFF
INFINITE: Final = 0xFFFFFFFF
INFINITE64: Final = 0xFFFFFFFFFFFFFFFF
"""Unlimited, by width."""

PENDING_STEP: Final = 0xFFFFFFFD
EXTERN_STEP: Final = 0xFFFFFFFC
BATCH_STEP: Final = 0xFFFFFFFB
INTERACTIVE_STEP: Final = 0xFFFFFFFA
"""Step ids that have a name instead of a number."""
