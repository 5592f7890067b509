"""What can be done to Vault. `make` is what the session uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from labtui.actions.base import Action, ActionError
from labtui.actions.vault import agents, ceremonies, operations, rotation, snapshots, unsealing
from labtui.actions.vault.ceremony import Ceremony
from labtui.config import Config
from labtui.hosts.base import Host
from labtui.keyholder.holder import Keyholder
from labtui.keyholder.operation import Door
from labtui.store import Store


class Doors(msgspec.Struct, frozen=True):
    """What these actions reach the lab through."""

    config: Config
    store: Store
    hosts: Mapping[str, Host]
    holder: Keyholder | None = None
    """It has what the action's `secrets` asked for."""

    def door(self, node: str) -> Door:
        """The server called `node` in [vault.nodes]. Raises ActionError."""
        address = self.config.vault.nodes.get(node)
        if not address:
            raise ActionError(f"no Vault {node!r} in [vault.nodes]")
        return Door(node, address, self.config.vault.ca_file)

    def need_holder(self) -> Keyholder:
        if self.holder is None:
            raise ActionError("this needs a token, which was not given")
        return self.holder


Maker = Callable[[str, Sequence[Any], str, Mapping[str, str], Doors], Action | None]
"""`make(id, items, answer, changes, doors)` of each module: None for an id that is not its own."""

_MAKERS = (unsealing, operations, rotation, agents, ceremonies, snapshots)


def ceremony(id: str, items: Sequence[Any], doors: Doors) -> Ceremony | None:
    """The ceremony that the key of this action opens at once; None where a plan comes first."""
    return unsealing.ceremony(id, items, doors)


def make(
    id: str, items: Sequence[Any], answer: str, changes: Mapping[str, str] | None, doors: Doors
) -> Action:
    """The action `vault.*` or `agents.*` on these rows. Raises ActionError."""
    for module in _MAKERS:
        made: Action | None = module.make(id, items, answer, changes or {}, doors)
        if made is not None:
            return made
    raise ActionError(f"{id}: no such action")
