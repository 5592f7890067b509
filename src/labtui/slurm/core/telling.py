"""Telling Slurm to change something, with errors as PySlurm words them."""

from __future__ import annotations

from collections.abc import Sequence

from labtui.slurm import bridge
from labtui.slurm.client import SlurmClient
from labtui.slurm.errors import SLURM_ERROR, RPCError, slurm_strerror


def control(*argv: str) -> None:
    """Run scontrol on the connection. RPCError where Slurm refuses."""
    bridge.call(lambda client: tell(client, ["scontrol", *argv]))


async def tell(client: SlurmClient, argv: Sequence[str], stdin: str | None = None) -> str:
    """Run it; its stdout. Where Slurm's own text is among the words of an error, that is it."""
    try:
        return (await client.tell(argv, stdin=stdin)).stdout
    except RPCError as error:
        raise plain(error) from None


def plain(error: RPCError) -> RPCError:
    """`Invalid job id specified for job 7` as `Invalid job id specified`."""
    if error.errno == SLURM_ERROR:
        return error
    found = RPCError(error.errno, slurm_strerror(error.errno), kind=error.kind)
    found.said = error.said
    return found
