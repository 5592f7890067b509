"""Ways between a card, who holds it, and what is seen of it elsewhere. They change nothing."""

from __future__ import annotations

from labtui.spec import ActionSpec
from labtui.views.gpucells import whose
from labtui.views.gpurows import GpuRow


def _nobody(row: GpuRow) -> str | None:
    if whose(row) is not None:
        return None
    return "choose one of its slices" if row.is_card else "nobody is known to hold it"


_CLOSER = ("pods", "processes", "slurmclusters")

ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "gpus.follow", "f", "follow", "To the job, pod or process that holds it; esc comes back.",
        ("gpus",), changes=False, disabled=_nobody,
    ),
    ActionSpec(
        "gpus.views", "p", "pods", "Pods, GPU processes, Soperator's clusters.", ("gpus",),
        changes=False,
    ),
    ActionSpec(
        "gpus.card", "f", "its card", "To the card that it is on; esc comes back.",
        ("pods", "processes"), changes=False,
    ),
    ActionSpec(
        "gpus.of_job", "g", "its GPUs", "To the card that it holds or could have; esc comes back.",
        ("jobs",), changes=False, footer=False,
    ),
    ActionSpec(
        "gpus.next_view", "p", "next view", "Pods, GPU processes, Soperator's clusters in turn.",
        _CLOSER, changes=False,
    ),
)  # fmt: skip
