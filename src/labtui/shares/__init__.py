"""Who holds which share of which GPU: what every source says, reconciled. Pure, no I/O."""

from __future__ import annotations
