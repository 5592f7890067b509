"""What would let a waiting job or pod have a GPU of one machine: suggestions, the best first. Pure.

A suggestion changes nothing: choosing it opens the ordinary plan of an action. What Slurm and
Kubernetes wait for is judged apart, as each of them does.
"""

from __future__ import annotations

from labtui.actions.suggestion import Suggestion, idle
from labtui.actions.suggestjobs import of_slurm
from labtui.actions.suggestpods import of_pods
from labtui.config import Config
from labtui.model import Gpu
from labtui.shares.cards import items
from labtui.store import Store
from labtui.text import inert

__all__ = ["Suggestion", "suggestions"]


def suggestions(where: Gpu | str, store: Store, config: Config, now: float) -> list[Suggestion]:
    """For a card, or for all of a machine's by its name. Never empty."""
    every = items(store, config, now)
    if isinstance(where, Gpu):
        node, cards = where.node, [where]
        every = [where, *(g for g in every if (g.node, g.index) != (node, where.index))]
    else:
        node, cards = where, [g for g in every if g.node == where]
    name = inert(node, 60)
    if store.feed("slurm.jobs") is None and store.feed("k8s.gpus") is None:
        why = "neither Slurm nor Kubernetes is asked"
        return [Suggestion(f"it is not known what waits for a GPU of {name}", why)]
    waits = idle(cards, every)
    here = [g for g in every if g.node == node]  # Kubernetes cuts all of them alike
    ranked = [*of_slurm(node, waits, store, now), *of_pods(node, here, waits, store, now)]
    told: dict[tuple[str, str], Suggestion] = {}
    for _, one in sorted(ranked, key=lambda pair: pair[0]):
        told.setdefault((one.words, one.command), one)
    if told:
        return list(told.values())
    if not cards:
        return [Suggestion(f"no GPU of {name} is known", "no source tells of one")]
    return [Suggestion(f"nothing waits for a GPU of {name}", "nobody is in line for it")]
