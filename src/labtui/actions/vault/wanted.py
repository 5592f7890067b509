"""What the agents need in Vault, from playbooks/vault and the configuration. Pure but for files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from labtui.config import Config
from labtui.text import inert

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
BINDS = ("secret_id_bound_cidrs", "token_bound_cidrs")
"""The role's fields that say from which addresses."""


def paths(config: Config) -> list[str]:
    """Of [vault.secrets], each once."""
    return list(dict.fromkeys(s.path for s in config.vault.secrets.values() if s.path))


def wanted(config: Config, state: Mapping[str, Any]) -> dict[str, Any]:
    """`state`: what setup.read told, which knows where a path's engine is mounted."""
    name = config.vault.role
    fields = dict(_role())
    fields["token_policies"] = [name]
    bound, _ = addresses(config)
    for bind in BINDS if bound else ():
        there = (state.get("role") or {}).get(bind) or []
        fields[bind] = there if covers(there, bound) else bound
    return {
        "policy": {"name": name, "text": policy(state["places"].values())},
        "role": {"name": name, "fields": fields},
    }


def covers(there: Sequence[str], bound: Sequence[str]) -> bool:
    """A binding that somebody widened on purpose: it has every node, and is not the whole world."""
    try:
        networks = [ipaddress.ip_network(text, strict=False) for text in there]
    except ValueError:
        return False
    if not networks or any(network.prefixlen == 0 for network in networks):
        return False
    return all(
        any(ipaddress.ip_network(one).network_address in network for network in networks)
        for one in bound
    )


def role_problem(name: str) -> str | None:
    """Why it cannot be the name of a role and of a policy; Vault makes policies lower case."""
    if not _NAME.fullmatch(name) or name in ("root", "default"):
        return f"[vault] role {inert(name, 60)!r}: a name of small letters, digits, - and _"
    return None


def policy(places: Any) -> str:
    """compute-node.hcl with its block once for each place (mount, path)."""
    head, _, rest = _template().partition("\n\n")
    block = rest.partition('path "')[2]
    blocks = [
        f'path "{block}'.replace("MOUNT", mount).replace("PATH", path)
        for mount, path in sorted({(m, p) for m, p in places})
    ]
    return f"{head}\n\n" + "\n".join(blocks)


def addresses(config: Config) -> tuple[list[str], list[str]]:
    """From where the agents come, as CIDRs, and the nodes of which that is not known.

    A name is not resolved: it may be another machine tomorrow. One that is not known leaves all
    of them unbound, as Vault would turn that node away.
    """
    found: list[str] = []
    unknown: list[str] = []
    for node in config.vault.agents:
        text = config.nodes[node].address if node in config.nodes else ""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            unknown.append(node)
        else:
            found.append(f"{address}/{address.max_prefixlen}")
    return (sorted(set(found)) if not unknown else []), unknown


@cache
def _template() -> str:
    return (files("labtui.playbooks") / "vault" / "compute-node.hcl").read_text()


@cache
def _role() -> dict[str, Any]:
    text = (files("labtui.playbooks") / "vault" / "compute-node.toml").read_text()
    found: dict[str, Any] = msgspec.toml.decode(text)
    return found


def named(nodes: Sequence[str]) -> str:
    return ", ".join(inert(n, 60) for n in nodes)
