"""A token, all tokens and the audit devices as lines of text: for a page and for the shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labtui.spec import Cell
from labtui.text import age, inert

Line = str | Cell


def token(told: Mapping[str, Any], now: float) -> list[Line]:
    """Of `token.lookup`."""
    policies = ", ".join(inert(p, 60) for p in told.get("policies") or ()) or "none"
    more = ", ".join(inert(p, 60) for p in told.get("identity_policies") or ())
    ttl, most = told.get("ttl"), told.get("explicit_max_ttl")
    lines: list[Line] = [Cell(f"! {f}", "warn") for f in told.get("findings") or ()]
    lines += [""] if lines else []
    lines += [
        f"policies    {policies}" + (f"; by its entity: {more}" if more else ""),
        f"ends        {_ends(ttl)}" + (f", {age(most)} at most" if most else ""),
        f"renewable   {_yes(told.get('renewable'))}"
        + (f", every {age(told['period'])} for ever" if told.get("period") else ""),
        f"made        {_ago(told.get('creation_time'), now)}, by {inert(told.get('path'), 80)}",
        f"type        {inert(told.get('type'), 40)}"
        + (", an orphan: nobody's end is its end" if told.get("orphan") else ""),
        f"name        {inert(told.get('display_name') or '-', 80)}",
        f"entity      {inert(told.get('entity_id') or 'none', 80)}",
    ]
    if told.get("num_uses"):
        lines.append(f"uses left   {told['num_uses']}")
    if told.get("bound_cidrs"):
        lines.append(f"works from  {', '.join(inert(c, 60) for c in told['bound_cidrs'])}")
    return lines


def tokens(told: Mapping[str, Any], now: float) -> list[Line]:
    """Of `token.accessors`."""
    count, looked = told["count"], told["looked"]
    some = f", {looked} of them looked at" if looked < count else ""
    lines: list[Line] = [
        f"{count} token{'' if count == 1 else 's'} in all{some}; "
        f"the oldest was made {_ago(told.get('oldest'), now)}"
    ]
    for root in told["roots"]:
        name = inert(root.get("display_name") or "-", 60)
        made = _ago(root.get("creation_time"), now)
        ends = "never ends" if root.get("ttl") == 0 else f"ends {_ends(root.get('ttl'))}"
        lines.append(Cell(f"! a root token, {name}, made {made}, {ends}", "warn"))
    if told.get("endless", 0) > len(told["roots"]):
        others = told["endless"] - len(told["roots"])
        lines.append(Cell(f"! {others} other tokens never expire", "warn"))
    return lines


def audit(told: Mapping[str, Any]) -> list[Line]:
    """Of `audit.list`."""
    lines: list[Line] = [Cell(f"! {f}", "warn") for f in told["findings"]]
    lines += [""] if lines and told["devices"] else []
    for device in told["devices"]:
        options = ", ".join(f"{k}={v}" for k, v in sorted(device["options"].items()))
        lines.append(f"{inert(device['name'], 40):<16}{inert(device['type'], 20):<10}{options}")
    return lines


def _ends(ttl: Any) -> str:
    if not isinstance(ttl, (int, float)):
        return "not known"
    return f"in {age(ttl)}" if ttl else "never"


def _ago(moment: Any, now: float) -> str:
    return f"{age(max(0.0, now - moment))} ago" if isinstance(moment, (int, float)) else "-"


def _yes(value: Any) -> str:
    return "-" if value is None else "yes" if value else "no"
