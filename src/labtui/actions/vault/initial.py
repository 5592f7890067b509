"""Init: the first shares of a new server, and its first root token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.actions.vault.asking import called
from labtui.actions.vault.serving import fresh
from labtui.actions.vault.wrapping import Wrapping, absent, wrapping
from labtui.keyholder.holder import HolderError, Keyholder
from labtui.sources.pgp import KeyFileError, recipients
from labtui.text import inert

if TYPE_CHECKING:
    from labtui.actions.vault import Doors

NOBODY = (
    "{node} is initialised, and nobody has its shares: it can never be unsealed. Wipe its data "
    "(stop it, empty its storage folder, start it) and begin again; nothing was in it yet"
)


class InitServer(Action):
    """Vault wraps each share for its holder: the answer is of no use to anybody else."""

    id = "vault.init"
    run_timeout = 120.0

    def __init__(self, doors: Doors, node: str, changes: Mapping[str, str]) -> None:
        self._doors, self._node, self._changes = doors, node, changes
        self._door = doors.door(node)
        self._wrapping: Wrapping | None = None
        self._files: list[str] = []
        self._unwritten: dict[str, str] = {}
        self._answered = False

    def _names(self, of: Wrapping) -> list[str]:
        names = [f"{self._node}-share-{n}-{key.short}.asc" for n, key in enumerate(of.keys, 1)]
        return [*names, f"{self._node}-root-token-{of.root.short}.asc"] if of.root else names

    async def plan(self) -> Plan:
        node = self._node
        now = await fresh(self._doors.config, self._node)
        if now.state != "uninitialised":
            raise ActionError(
                f"{node} is {now.state}: it has shares already; `labtui vault rekey {node}` makes "
                "new ones"
            )
        if now.seal_type and now.seal_type != "shamir":
            raise ActionError(
                f"{node} is unsealed by {now.seal_type}: its recovery keys are not made from here: "
                "vault operator init -recovery-pgp-keys=..."
            )
        of = self._wrapping = await wrapping(self._changes, root=True)
        assert of.root is not None
        absent(of.folder, self._names(of))
        there = [n for n in self._doors.config.vault.nodes if n != node and await self._made(n)]
        risks = [
            f"{other} is initialised: a peer joins it and is unsealed with its shares; initialised "
            f"by itself {node} is another Vault, with other secrets"
            for other in there
        ]
        risks += [
            "Vault tells the shares once: what is lost now can never be had again",
            *of.risks(),
            "compare each fingerprint with its holder: whose key it is can open what is wrapped",
        ]
        return Plan(
            title=f"Initialise {node}: {of.shares} shares, {of.threshold} needed",
            targets=(node,),
            steps=(
                Step(
                    node,
                    f"PUT /v1/sys/init secret_shares={of.shares} secret_threshold={of.threshold} "
                    f"pgp_keys=({of.shares} keys) root_token_pgp_key=({of.root.short})",
                ),
                Step(
                    "this machine",
                    f"write {node}-share-N-KEY.asc ({of.shares}) and {self._names(of)[-1]} to "
                    f"{of.folder}",
                ),
            ),
            risks=tuple(risks),
            undo="none: to begin again its data are wiped",
            dangerous=bool(there),
            confirm_word=node,
            preview="\n".join(of.lines()),
        )

    async def run(self, progress: Progress) -> None:
        of = self._wrapping
        if of is None or of.root is None:
            raise ActionError("there is no plan")
        notes = [
            f"share {n} of {of.shares} of Vault {self._node}, {of.threshold} are needed"
            for n in range(1, of.shares + 1)
        ]
        try:
            async with Keyholder.start() as holder:
                progress("Vault makes the shares")
                answer = await called(
                    holder, "init.init", self._door,
                    shares=of.shares, threshold=of.threshold,
                    pgp_keys=[key.data for key in of.keys], root_pgp_key=of.root.data,
                    folder=str(of.folder), names=self._names(of),
                    comments=[*notes, f"root token of Vault {self._node}: revoke it when done"],
                )  # fmt: skip
        except HolderError as error:
            raise ActionError(error.message, error.kind) from None
        self._answered = True
        self._files = [str(path) for path in answer.get("files", ())]
        self._unwritten = dict(answer.get("unwritten", {}))
        if self._unwritten:
            # Wrapped, so no secret: better on the screen than lost.
            progress(f"the files could not be written ({inert(answer.get('why'))}): copy these")
            for name, text in self._unwritten.items():
                progress(name)
                for line in text.splitlines():
                    progress(line)

    def interrupted(self) -> str:
        return (
            f"interrupted: if {self._node} is initialised now and no file has a share, nobody has "
            "them: wipe its data and begin again"
        )

    async def verify(self) -> Outcome:
        of, node = self._wrapping, self._node
        assert of is not None and of.root is not None
        if self._unwritten:
            return Outcome(
                "failed",
                f"{node} is initialised; its shares are not in files: copy the blocks above now",
            )
        if self._files:
            folder = Path(self._files[0]).parent
            for path, key in zip(self._files, (*of.keys, of.root), strict=True):
                try:
                    found = await recipients(path)
                except KeyFileError as error:
                    return Outcome("failed", f"{node} is initialised, but {error}")
                if not found or not found <= key.recipients:
                    text = f"{inert(path, 120)} is not addressed to {key.holder}"
                    return Outcome("failed", f"{node} is initialised, but {text}")
            return Outcome(
                "done",
                f"{node} is initialised: {of.shares} shares and the root token in "
                f"{inert(folder, 80)}, each for its holder alone. Next: each holder opens one "
                f"(labtui vault unseal {node} --gpg FILE); set it up (labtui vault setup {node} "
                f"--token-gpg FILE); then revoke the root token (labtui vault revoke-root {node})",
                {"folder": str(folder)},
            )
        now = await fresh(self._doors.config, self._node)
        if now.state == "uninitialised":
            return Outcome("failed", f"{node} is not initialised: nothing happened; try again")
        return Outcome("failed", NOBODY.format(node=node))

    async def _made(self, node: str) -> bool:
        """Another one is initialised, as far as it can be reached."""
        try:
            found = await fresh(self._doors.config, node)
        except ActionError:
            return False
        return found.state in ("sealed", "unsealing", "standby", "active")
