"""Deleting the pod that holds a slice, and what all actions on Kubernetes share."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from typing import Any

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step, Unknown
from labtui.sources.base import SourceError
from labtui.sources.kubernetes import Kubectl
from labtui.text import inert

SETTLE = 50.0
"""Seconds that a pod may take to end, at most: its own grace period is 30 s by default."""
STEP = 0.5
_DNS = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


def kubectl_step(kube: Kubectl, *words: str) -> Step:
    return Step(kube.host.name, shlex.join(kube.argv(*words)))


async def ask(kube: Kubectl, *words: str, stdin: str | None = None, sends: bool = False) -> str:
    """kubectl's answer. Raises ActionError, and Unknown on a time-out where something is sent."""
    try:
        return await kube.run(*words, stdin=stdin)
    except SourceError as error:
        if sends and error.fault.kind == "timeout":
            raise Unknown(error.fault.message) from None
        raise ActionError(error.fault.message, error.fault.kind) from None


def absent(error: ActionError) -> bool:
    """Kubernetes says that there is no such pod: a kubectl that is not found is another matter."""
    return re.search(r'(pods|namespaces) ".*" not found', str(error)) is not None


def document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise ActionError(f"kubectl answered something else: {inert(text.strip(), 60)}")
    return found


class DeletePod(Action):
    """That very pod: one of the same name that came after it is left alone."""

    id = "pods.cancel"

    def __init__(
        self,
        kube: Kubectl,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        owner: str | None = None,
        settle: float = SETTLE,
    ) -> None:
        """`uid` and `owner`: as the person saw them."""
        if not (_DNS.fullmatch(namespace) and _DNS.fullmatch(name)):
            raise ActionError(f"{inert(namespace, 60)}/{inert(name, 60)}: not the name of a pod")
        self.kube = kube
        self.namespace, self.name = namespace, name
        self.path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.uid, self.owner = uid, owner
        self.settle = settle
        self._grace = 30

    @property
    def words(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def plan(self) -> Plan:
        try:
            pod = document(await ask(self.kube, "get", "--raw", self.path))
        except ActionError as error:
            if absent(error):
                raise ActionError(f"pod {self.words}: it is gone already") from None
            raise
        meta, spec = pod["metadata"], pod.get("spec") or {}
        uid = str(meta.get("uid", ""))
        if self.uid and uid != self.uid:
            raise ActionError(
                f"pod {self.words}: the one that was shown is gone, another has its name now"
            )
        if meta.get("deletionTimestamp"):
            raise ActionError(f"pod {self.words}: it is being deleted already")
        self.uid = uid
        self.owner = self.owner or _owner(meta)
        grace = spec.get("terminationGracePeriodSeconds")
        self._grace = grace if isinstance(grace, int) else 30
        return Plan(
            title=f"Delete pod {self.words}",
            targets=(f"pod {self.words} {inert(uid, 40)}",),
            steps=(
                kubectl_step(self.kube, "delete", "--raw", self.path, "-f", "-"),
                Step("on its stdin", self._options()),
            ),
            risks=self._risks(),
            undo=(
                f"not needed: {inert(self.owner, 80)} makes it anew"
                if self.owner
                else "none: nobody makes it anew; apply its manifest again"
            ),
        )

    def _options(self) -> str:
        """The API server refuses where the uid is another."""
        return json.dumps(
            {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": self.uid}}
        )

    def _risks(self) -> tuple[str, ...]:
        lost = f"it has {self._grace} s to end; what it has not written to disk is lost"
        if not self.owner:
            return (lost,)
        kind, _, name = self.owner.partition("/")
        instead = f"delete {inert(self.owner, 80)} instead"
        if kind in _SCALED:
            argv = ["kubectl", "scale", "-n", self.namespace, f"{kind.lower()}/{name}"]
            instead = f"to end it: {inert(shlex.join([*argv, '--replicas=0']), 200)}"
        again = f"{inert(self.owner, 80)} makes it anew at once, so this only restarts it"
        return (f"{again}; {instead}", lost)

    async def run(self, progress: Progress) -> None:
        words = ("delete", "--raw", self.path, "-f", "-")
        try:
            await ask(self.kube, *words, stdin=self._options(), sends=True)
        except ActionError as error:
            if "recondition" in str(error):
                text = "the one that was shown is gone, another has its name; nothing was deleted"
                raise ActionError(f"pod {self.words}: {text}") from None
            if not absent(error):
                raise
        progress(f"sent; it has {self._grace} s to end")

    async def verify(self) -> Outcome:
        deadline = time.monotonic() + min(self.settle, self._grace + 10.0)
        details = {"pod": self.words, "uid": self.uid or ""}
        while True:
            try:
                pod = document(await ask(self.kube, "get", "--raw", self.path))
            except ActionError as error:
                if not absent(error):
                    raise
                return Outcome("done", f"pod {self.words} is gone", details)
            if pod["metadata"].get("uid") != self.uid:
                text = f"pod {self.words} is gone; a new one of that name is there already"
                return Outcome("done", text, details)
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(STEP)
        if pod["metadata"].get("deletionTimestamp"):
            text = f"pod {self.words} is still ending (it has {self._grace} s)"
            return Outcome("unknown", text, details)
        return Outcome("failed", f"pod {self.words} is still there", details)


def _owner(meta: dict[str, Any]) -> str | None:
    for one in meta.get("ownerReferences") or ():
        if isinstance(one, dict) and one.get("controller"):
            return inert(f"{one.get('kind', '')}/{one.get('name', '')}", 120)
    return None
