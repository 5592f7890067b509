"""What the driver's XID errors mean: NVIDIA's catalogue, docs.nvidia.com/deploy/xid-errors."""

from __future__ import annotations

APP = "most often a fault of the program that ran"
RESET = "drain the node, then reset the card; if it comes back, have it replaced"

XIDS: dict[int, tuple[int, str, str]] = {
    13: (1, "exception of the compute engine", APP),
    31: (1, "a program read or wrote memory that is not its own", APP),
    43: (1, "the card stopped a program's work", APP),
    45: (1, "a program's work was cleared away, as after a kill", "look for an error before it"),
    48: (3, "memory error that ECC could not mend", RESET),
    63: (2, "a bad row of memory was taken out of use", "reset the card when its jobs are over"),
    64: (3, "a bad row of memory could not be taken out of use", RESET),
    74: (3, "NVLink error", "jobs on several cards fail: look at the link, then reset the cards"),
    79: (3, "the card has fallen off the bus", "drain and reboot the node; look at its supply"),
    92: (2, "many memory errors, mended by ECC", "watch it: memory that fails begins so"),
    94: (2, "memory error, kept to one program", "that program ended; reset the card when it can"),
    95: (3, "memory error that was not kept to one program", RESET),
    119: (3, "the card's own processor (GSP) does not answer", "reset the card or reboot the node"),
    120: (3, "error of the card's own processor (GSP)", "reset the card or reboot the node"),
}
"""Code -> severity, what it is, what to do."""


def explained(code: int) -> tuple[int, str, str]:
    """Severity, what it is, what it probably means; a code that is not in the table is a 2."""
    return XIDS.get(code) or (2, "an error of the driver", "NVIDIA's catalogue has what it means")
