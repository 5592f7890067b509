"""What can be done to a card, to who holds it, and to how it is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labtui.actions.base import Action, ActionError
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.slurm.client import SlurmClient
from labtui.sources.kubernetes import Kubectl
from labtui.spec import ActionSpec
from labtui.store import Store


@dataclass(frozen=True, slots=True)
class Doors:
    """What these actions go through."""

    config: Config
    store: Store
    hosts: Mapping[str, Host]
    slurm: SlurmClient | None
    kube: Kubectl | None


def make(id: str, items: Sequence[Any], answer: str, doors: Doors) -> Action:
    """The action `id` of ACTIONS on rows; `answer` is what its question was answered with.

    Raises ActionError when it cannot be made.
    """
    raise ActionError(f"{id}: no such action")


_CARDS = ("gpus",)

ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "gpus.suggest", "w", "let a job through",
        "Who waits for a GPU of this machine, and what would let it through.", _CARDS,
        changes=False, asks=False,
    ),
)  # fmt: skip
