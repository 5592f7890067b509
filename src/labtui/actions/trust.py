"""Accepting a machine's host key: shown with its fingerprint, asked about, never silent."""

from __future__ import annotations

from labtui.actions.base import Action, ActionError, Outcome, Plan, Progress, Step
from labtui.hosts.base import Host, HostError, UnknownHostKey
from labtui.hosts.ssh import SshHost
from labtui.model import Node
from labtui.text import inert

TIMEOUT = 8.0


class TrustKey(Action):
    """Adds the key that the machine shows now to known_hosts; a changed key is only explained."""

    id = "nodes.trust"

    def __init__(self, host: Host | None, name: str) -> None:
        self.name = name
        self._host = host
        self._key: UnknownHostKey | None = None

    @property
    def _ssh(self) -> SshHost:
        if not isinstance(self._host, SshHost):
            raise ActionError(f"{self.name} is not reached by ssh: it has no host key")
        return self._host

    async def plan(self) -> Plan:
        host = self._ssh
        key = await self._offered(host)
        if key is None:
            raise ActionError(f"{self.name}: its host key is known already")
        file = inert(host.node.known_hosts or "~/.ssh/known_hosts")
        if key.changed:
            raise ActionError(
                f"{self.name} shows another key than {file} holds ({inert(key.fingerprint)}). "
                "Was it installed anew? Compare the fingerprint on its own console, then remove "
                "the old line from that file and come back"
            )
        self._key = key
        return Plan(
            title=f"Trust the host key of {self.name}",
            targets=(self.name,),
            steps=(Step("this machine", f"add to {file}: {inert(key.key_line, 300)}"),),
            risks=(
                f"compare {inert(key.fingerprint)} with `ssh-keygen -lf` on the machine's own "
                "console: whoever holds this key gets all you send",
            ),
            undo=f"remove the line from {file}",
            dangerous=True,
            confirm_word=self.name,
        )

    async def run(self, progress: Progress) -> None:
        if self._key is None:
            raise ActionError("there is no plan")
        self._ssh.trust(self._key)
        progress("added")

    async def verify(self) -> Outcome:
        key = await self._offered(self._ssh)
        if key is None:
            return Outcome("done", f"{self.name} answers with the accepted key")
        return Outcome("failed", f"{self.name}: {inert(key.message)}")

    async def _offered(self, host: SshHost) -> UnknownHostKey | None:
        """The key that is not accepted yet; None when it is."""
        host.retry()
        try:
            await host.run(["true"], timeout=TIMEOUT)
        except UnknownHostKey as error:
            return error
        except HostError as error:
            raise ActionError(f"{self.name}: {error.message}", error.kind) from None
        return None


def known(node: Node) -> str | None:
    return None if node.fault_kind == "host-key" else "its host key is not in question"
