"""Every action that a person can choose: its key, its words, where it applies.

What an action needs is imported when it is used, not with this table, which each start reads.
How one is made of rows: `Session.action`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from labtui.spec import ActionSpec, Wanted

_QUEUE, _NODES, _CARDS, _VAULT = ("jobs",), ("nodes",), ("gpus",), ("vault",)
_LIMITS = ("partitions", "reservations", "qos", "fairshare")
_HOLDERS = ("pods", "processes", "slurmclusters")


@cache
def found(target: str) -> Any:
    """`module:name` below this package."""
    module, _, name = target.partition(":")
    return getattr(import_module(f"labtui.actions.{module}"), name)


def _late(target: str) -> Callable[..., Any]:
    """The function `module:name`, looked up at its first call."""
    return lambda *args: found(target)(*args)


def _asked(*targets: str) -> Callable[[Any, Any], tuple[Wanted, ...]]:
    """These secrets, whatever the row is."""
    return lambda item, store: tuple(found(target) for target in targets)


JOBS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "queue.submit", "n", "new", "A new job: a form, and its script beside it.", ("jobs",)
    ),
    ActionSpec(
        "queue.edit", "e", "edit+resubmit", "Its script in the form, to be sent as a new job.",
        ("jobs",), disabled=lambda job: None,
    ),
    ActionSpec(
        "queue.after", "d", "new job after", "A new job that waits for these.", ("jobs",),
        many=True, disabled=_late("submit:cannot_wait"), footer=False,
    ),
    ActionSpec(
        "queue.pipeline", "N", "pipeline", "Several jobs as one: submit, watch, take up again.",
        ("jobs",), changes=False, footer=False,
    ),
    ActionSpec(
        "queue.log", "l", "log", "Its output, as it is written.", _QUEUE,
        changes=False, disabled=_late("queue:no_log"),
    ),
    ActionSpec(
        "queue.script", "v", "script", "Its batch script, as it was sent.", _QUEUE,
        changes=False, footer=False,
    ),
    ActionSpec(
        "queue.efficiency", "E", "efficiency", "How much it used of what it asked.", _QUEUE,
        changes=False, footer=False, disabled=_late("queue:not_started"),
    ),
    ActionSpec(
        "queue.cancel", "c", "cancel", "End it, or take it out of the queue.", _QUEUE,
        many=True, disabled=_late("queue:over"),
    ),
    ActionSpec(
        "queue.hold", "h", "hold", "Keep it from starting until it is released.", _QUEUE,
        many=True, disabled=_late("queue:not_waiting"),
    ),
    ActionSpec(
        "queue.release", "H", "release", "Let a held job start.", _QUEUE,
        many=True, disabled=_late("queue:not_held"),
    ),
    ActionSpec(
        "queue.requeue", "R", "requeue", "Back into the queue, to run again.", _QUEUE,
        many=True, disabled=_late("queue:cannot_requeue"), footer=False,
    ),
    ActionSpec(
        "queue.suspend", "z", "suspend", "Stop a running job where it is.", _QUEUE,
        many=True, disabled=_late("queue:not_running"), footer=False,
    ),
    ActionSpec(
        "queue.resume", "Z", "resume", "Let a suspended job go on.", _QUEUE,
        many=True, disabled=_late("queue:not_suspended"), footer=False,
    ),
    ActionSpec(
        "queue.views", "p", "partitions", "Partitions, reservations, QoS, fair share.", _QUEUE,
        changes=False, footer=False,
    ),
    ActionSpec(
        "queue.only", "f", "its jobs", "The queue, with only the jobs of this row.",
        ("partitions", "qos", "fairshare"), changes=False,
    ),
    ActionSpec(
        "queue.next_view", "p", "next view", "Partitions, reservations, QoS, fair share in turn.",
        _LIMITS, changes=False,
    ),
    ActionSpec(
        "queue.why", "w", "why not", "Why it does not start, node by node, and what would help.",
        _QUEUE, changes=False, disabled=_late("queue:not_pending"),
    ),
    ActionSpec(
        "queue.modify", "m", "modify", "Its time limit, partition, QoS, priority, nice.", _QUEUE,
        many=True, disabled=_late("queue:over"), footer=False,
    ),
    ActionSpec(
        "queue.top", "t", "put first", "Before its user's other waiting jobs.", _QUEUE,
        many=True, disabled=_late("modify:cannot_be_first"), footer=False,
    ),
)  # fmt: skip

NODES: tuple[ActionSpec, ...] = (
    ActionSpec(
        "nodes.drain", "d", "drain", "No new jobs there; what runs ends in peace.", _NODES,
        many=True, disabled=_late("nodes:cannot_drain"),
        question=lambda node, store: (
            "Drain: the reason others will read", "for example: fan is loud, ana"
        ),
    ),
    ActionSpec(
        "nodes.resume", "D", "resume", "Let Slurm use it again.", _NODES,
        many=True, disabled=_late("nodes:cannot_resume"),
    ),
    ActionSpec(
        "nodes.shell", "exclamation_mark", "shell", "A shell on this machine; exit comes back.",
        _NODES, asks=False,
    ),
    ActionSpec(
        "nodes.trust", "t", "trust key", "Compare and accept its host key.", ("nodes",),
        disabled=_late("trust:known"), footer=False,
    ),
)  # fmt: skip

GPUS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "gpus.follow", "f", "follow", "To the job, pod or process that holds it; esc comes back.",
        ("gpus",), changes=False, disabled=_late("gpus:nobody"),
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
        _HOLDERS, changes=False,
    ),
    ActionSpec(
        "gpus.suggest", "w", "let a job through",
        "Who waits for a GPU of this machine, and what would let it through.", _CARDS,
        changes=False, asks=False,
    ),
    ActionSpec(
        "gpus.cancel", "c", "cancel holder", "End the job, the pod or the process that holds it.",
        _CARDS, disabled=_late("gpus:no_holder"),
    ),
    ActionSpec(
        "gpus.slices", "m", "slices", "Into how many Kubernetes cuts this machine's cards.",
        _CARDS, disabled=_late("gpus:no_slicing"), question=_late("gpus:ask_slices"),
    ),
    ActionSpec(
        "gpus.power", "P", "power limit", "The most watts that the card may draw.", _CARDS,
        disabled=_late("gpus:no_card"), question=_late("gpus:ask_watts"), footer=False,
    ),
    ActionSpec(
        "gpus.clocks", "L", "lock clocks", "Keep the card's clocks within a range, or free them.",
        _CARDS, disabled=_late("gpus:no_card"), question=_late("gpus:ask_clocks"), footer=False,
    ),
    ActionSpec(
        "gpus.persistence", "O", "persistence",
        "Keep the driver loaded while nobody uses the card, or not.", _CARDS,
        disabled=_late("gpus:no_card"), footer=False,
    ),
    ActionSpec(
        "gpus.undo", "u", "undo", "Set back what labtui changed last of this card.", _CARDS,
        footer=False,
    ),
    ActionSpec(
        "pods.cancel", "c", "delete", "End this pod; its owner may make it anew.", ("pods",),
    ),
    ActionSpec(
        "processes.cancel", "c", "end",
        "Cancel its job, delete its pod, or end the bare process.", ("processes",),
        dangerous=True,
    ),
)  # fmt: skip

VAULT: tuple[ActionSpec, ...] = (
    ActionSpec(
        "vault.unseal", "u", "unseal", "Give shares to a sealed server, one after another.",
        ("vault",), asks=False, disabled=_late("vault.unsealing:cannot_unseal"),
    ),
    ActionSpec(
        "vault.reset", "R", "reset the shares", "Drop the shares that a sealed server has so far.",
        ("vault",), disabled=_late("vault.unsealing:cannot_reset"), footer=False,
    ),
    ActionSpec(
        "vault.seal", "L", "seal", "It forgets its key: nothing is served until shares are given.",
        _VAULT, dangerous=True, disabled=_late("vault.sealing:cannot_seal"),
        secrets=_asked("vault.operations:SEALER"),
    ),
    ActionSpec(
        "vault.setup", "e", "set up", "AppRole, policy and engine for the agents, as a diff.",
        _VAULT, disabled=_late("vault.serving:cannot_serve"),
        secrets=_asked("vault.operations:SETTER"), footer=False,
    ),
    ActionSpec(
        "vault.token", "t", "token", "What a token may, how long it lives, how many there are.",
        _VAULT, changes=False, asks=False, disabled=_late("vault.serving:cannot_serve"),
        secrets=_asked("vault.operations:READER"), footer=False,
    ),
    ActionSpec(
        "vault.audit", "D", "audit devices", "Where Vault writes who asked for what.",
        _VAULT, changes=False, asks=False, disabled=_late("vault.serving:cannot_serve"),
        secrets=_asked("vault.operations:AUDITOR"), footer=False,
    ),
    ActionSpec(
        "vault.rotate", "o", "rotate",
        "A new version of a secret, watched until every node's file has it.", ("vault",),
        disabled=_late("vault.serving:cannot_serve"),
        secrets=_asked("vault.rotation:VALUE", "vault.rotation:WRITER"),
    ),
    ActionSpec(
        "vault.rollback", "b", "roll back",
        "An earlier version of a secret again, watched likewise.", ("vault",),
        disabled=_late("vault.serving:cannot_serve"),
        secrets=_asked("vault.rotation:WRITER"), footer=False,
    ),
    ActionSpec(
        "vault.agents", "p", "agents", "The vault-agent of each node, and what it rendered.",
        ("vault",), changes=False,
    ),
    ActionSpec(
        "agents.install", "n", "install agents",
        "vault-agent on its nodes, by a playbook: preview, apply, check.",
        ("vault", "agents"), many=True, secrets=_late("vault.agents:secrets"), footer=False,
    ),
    ActionSpec(
        "agents.undo", "x", "take away", "The agent and all that it rendered, kept and was given.",
        ("agents",), many=True, dangerous=True, disabled=_late("vault.agents:cannot_undo"),
        footer=False,
    ),
    ActionSpec(
        "vault.init", "I", "initialise",
        "A new server's shares and root token, each wrapped for its holder's PGP key.", _VAULT,
        disabled=_late("vault.ceremonies:initialised"), footer=False,
    ),
    ActionSpec(
        "vault.rekey", "r", "rekey",
        "New shares for new holders: present shares make them, new ones confirm them.", _VAULT,
        disabled=_late("vault.ceremonies:closed"), footer=False,
    ),
    ActionSpec(
        "vault.generate-root", "G", "make root token",
        "By shares, wrapped for one person's PGP key. Revoke it when done.", _VAULT,
        disabled=_late("vault.ceremonies:closed"), footer=False,
    ),
    ActionSpec(
        "vault.cancel-ceremony", "K", "cancel ceremony",
        "End the rekey, or the root token, that is under way: its shares are dropped.", _VAULT,
        disabled=_late("vault.ceremonies:closed"), footer=False,
    ),
    ActionSpec(
        "vault.revoke-root", "X", "revoke root token",
        "The root token that is given ends, and what was made with it.", _VAULT,
        disabled=_late("vault.ceremonies:closed"),
        secrets=_asked("vault.ceremonies:ROOT"), footer=False,
    ),
    ActionSpec(
        "vault.snapshot", "w", "save a snapshot", "What Vault stores, into a file.", _VAULT,
        disabled=_late("vault.snapshots:cannot_save"),
        secrets=_late("vault.snapshots:saves"), footer=False,
    ),
    ActionSpec(
        "vault.restore", "W", "restore a snapshot",
        "A snapshot takes the place of what Vault stores now.", _VAULT, dangerous=True,
        disabled=_late("vault.snapshots:cannot_save"),
        secrets=_late("vault.snapshots:restores"), footer=False,
    ),
)  # fmt: skip

ACTIONS = (*JOBS, *NODES, *GPUS, *VAULT)
