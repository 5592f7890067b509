"""Why a pod waits, in words: the scheduler's message and the kubelet's reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping

from labtui.text import inert

_COUNTED = re.compile(r"(\d+) (?=\D)")

_UNSCHEDULED: tuple[tuple[str, str, str], ...] = (
    (r"Insufficient (?P<what>\S+)", "not enough {what} free",
     "it starts when a holder ends; free a slice to start it now"),
    (r"untolerated taint \{node\.kubernetes\.io/unschedulable", "cordoned",
     "`kubectl uncordon NODE` opens it"),
    (r"untolerated taint \{node\.kubernetes\.io/(?:not-ready|unreachable)", "not ready",
     "look at the node and its kubelet"),
    (r"untolerated taint \{(?P<what>[^:}]+)", "taint {what} is not tolerated",
     "add a toleration to the pod, or remove the taint"),
    (r"untolerated taint", "a taint is not tolerated",
     "add a toleration to the pod, or remove the taint"),
    (r"were unschedulable", "cordoned", "`kubectl uncordon NODE` opens it"),
    (r"node affinity/selector", "not the labels that the pod asks for",
     "compare the pod's nodeSelector with the node's labels"),
    (r"unbound immediate PersistentVolumeClaims", "its volume claim is not bound",
     "look at `kubectl get pvc` and the storage class"),
    (r"persistentvolumeclaim \"(?P<what>[^\"]+)\" not found", "volume claim {what} is not there",
     "make it"),
    (r"available persistent volumes to bind", "no volume fits its claim",
     "look at `kubectl get pvc` and the storage class"),
    (r"volume node affinity conflict", "its volume is on another machine",
     "it can only run where the volume is"),
    (r"Too many pods", "as many pods as the node takes", "it starts when one ends"),
    (r"anti-affinity", "the pod will not share a machine with one that runs there",
     "it starts when that one ends"),
    (r"pod affinity", "the pod it wants beside itself is not there", "start that one"),
    (r"topology spread", "would stand too many on one place (topology spread)",
     "it starts when the others are spread"),
    (r"free ports", "a port that it asks for is taken", "it starts when the other pod ends"),
)  # fmt: skip

_WAITING: dict[str, str] = {
    "ImagePullBackOff": "its image cannot be pulled: check name, tag and pull secret",
    "ErrImagePull": "its image cannot be pulled: check name, tag and pull secret",
    "InvalidImageName": "its image's name is wrong",
    "ErrImageNeverPull": "its image is not on the node, and may not be pulled",
    "CrashLoopBackOff": "it starts and ends again and again: `kubectl logs --previous` says why",
    "CreateContainerConfigError": "a ConfigMap or Secret that it names is not there",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
    "ContainerCreating": "its container is being made",
    "PodInitializing": "its first steps (init containers) are under way",
    "SchedulingGated": "somebody holds it back (a scheduling gate)",
    "Terminating": "it is ending, and holds what it has until it is over",
}


def unscheduled(message: str, asked: Mapping[str, int]) -> str:
    """The scheduler's message, `0/2 nodes are available: 1 Insufficient nvidia.com/gpu, ...`.

    `asked`: resource -> how many the pod asks for. A message that is not known is told as it is.
    """
    if message.startswith("no nodes available"):
        return "the cluster has no node that takes pods"
    said: list[str] = []
    do: list[str] = []
    for count, cause in causes(message):
        words, remedy = _cause(cause, asked)
        where = f"{count} node{'s' * (count != 1)}: " if count is not None else ""
        said.append(where + words)
        if remedy and remedy not in do:
            do.append(remedy)
    if not said:
        return inert(message, 300)
    return inert("; ".join(said) + (f" - {do[0]}" if do else ""), 400)


def causes(message: str) -> list[tuple[int | None, str]]:
    """(nodes, why they cannot have the pod), as far as the message counts them."""
    # What follows is about preemption, or about claims.
    told = message.partition("nodes are available: ")[2].partition(". ")[0].rstrip(".")
    found: list[tuple[int | None, str]] = []
    for cause in re.split(r", (?=\d+ )", told[:2000]) if told else ():
        counted = _COUNTED.match(cause)
        found.append((int(counted[1]), cause[counted.end() :]) if counted else (None, cause))
    return found


def _cause(cause: str, asked: Mapping[str, int]) -> tuple[str, str]:
    for pattern, words, remedy in _UNSCHEDULED:
        if found := re.search(pattern, cause):
            what = found.groupdict().get("what") or ""
            count = asked.get(what)
            words = words.format(what=what)
            return words + (f" ({count} asked)" if count else ""), remedy
    return cause, ""


def waiting(reason: str, message: str | None, last: str | None) -> str:
    """A container's waiting reason; `last`: how it ended before, `OOMKilled` or `exit 1`."""
    words = _WAITING.get(reason)
    if words is None:
        return inert(f"{reason}: {message}" if message else reason, 300)
    return inert(words + (f" (the last time: {last})" if last else ""), 300)
