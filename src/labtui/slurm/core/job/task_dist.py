"""How tasks are spread: `block:cyclic:fcyclic,NoPack`, `plane=4`."""

from __future__ import annotations

from typing import Any, Self

from labtui.slurm.utils.uint import u16

# slurm/slurm.h: SLURM_DIST_*. One hexadecimal digit a level, from the nodes on.
_NODES = {"cyclic": 1, "block": 2, "arbitrary": 3, "hostfile": 3}
_INNER = {"cyclic": 1, "block": 2, "fcyclic": 3}
_WORDS = {number: word for word, number in _INNER.items()}
_NODE_WORDS = {1: "cyclic", 2: "block", 3: "arbitrary"}
PLANE = 0x4
UNKNOWN = 0x2000
PACK, NO_PACK = 0x800000, 0x400000
_BASE, _FLAGS = 0x00FFFF, 0xFF0000


class TaskDistribution:
    """A method for nodes, sockets and cores each; None and `*`: Slurm's default."""

    def __init__(
        self,
        nodes: str | None = "block",
        sockets: str | None = "cyclic",
        cores: str | None = None,
        pack: bool | None = None,
        plane_size: Any = None,
    ) -> None:
        """ValueError for a method that does not exist."""
        self.nodes = nodes
        self.sockets = sockets
        self.cores = cores or sockets
        self.pack = pack
        self.plane = plane_size
        self._state: int | None = None
        self.as_int()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskDistribution):
            return NotImplemented
        return self.as_int() == other.as_int()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TaskDistribution({self.to_str()})"

    def _methods(self) -> list[str]:
        asked = (self.nodes, self.sockets, self.cores)
        nodes, sockets, cores = (None if word == "*" else word for word in asked)
        sockets = sockets or "cyclic"
        return [nodes or "block", sockets, cores or sockets]

    def to_str(self) -> str:
        """As srun's --distribution takes it; a plane without its size."""
        if self.plane:
            return "plane"
        pack = "" if self.pack is None else ",Pack" if self.pack else ",NoPack"
        return ":".join(self._methods()) + pack

    def to_dict(self, recursive: bool = False) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in ("nodes", "sockets", "cores", "plane", "pack")
        }

    def as_int(self) -> int:
        """Slurm's own number."""
        if self._state is not None:
            return self._state
        if self.plane:
            return PLANE
        words = self._methods()
        if words[0] in ("arbitrary", "hostfile"):
            number = _NODES[words[0]]
        elif words[0] in _NODES and all(word in _INNER for word in words[1:]):
            number = _NODES[words[0]] | _INNER[words[1]] << 4 | _INNER[words[2]] << 8
        else:
            raise ValueError(f"Invalid distribution specification: {':'.join(words)}")
        return number | (0 if self.pack is None else PACK if self.pack else NO_PACK)

    @classmethod
    def from_int(cls, dist: int) -> Self | None:
        """Of Slurm's own number; None where tasks are spread in no particular way."""
        number = int(dist)
        if number <= 0 or number == UNKNOWN:
            return None
        base, flags = number & _BASE, number & _FLAGS
        if base == UNKNOWN and not flags:
            return None
        new = cls(plane_size=PLANE if base == PLANE else None)
        if base != PLANE:
            known = base != UNKNOWN
            new.nodes = _NODE_WORDS.get(base & 0xF) if known else None
            new.sockets = _WORDS.get(base >> 4 & 0xF) if known else None
            new.cores = _WORDS.get(base >> 8 & 0xF) if known else None
        new.pack = {PACK: True, NO_PACK: False}.get(flags)
        new._state = number
        return new

    @classmethod
    def from_str(cls, dist_str: str) -> Self:
        """Of `nodes[:sockets[:cores]][,Pack|NoPack]` or `plane=size`. ValueError for another."""
        text = dist_str.strip()
        if text.casefold().startswith("plane"):
            _, mark, size = text.partition("=")
            return cls(plane_size=u16(size) if mark else True)
        methods, _, pack = text.partition(",")
        words = [word.casefold() or None for word in methods.split(":")]
        if len(words) > 3:
            raise ValueError(f"Invalid distribution specification: {dist_str}")
        nodes, sockets, cores = [*words, None, None][:3]
        packs = {"pack": True, "nopack": False, "": None}
        if pack.casefold() not in packs:
            raise ValueError(f"Invalid distribution specification: {dist_str}")
        return cls(nodes, sockets or "cyclic", cores, packs[pack.casefold()])


def distribution_of(word: str | None) -> TaskDistribution | None:
    """Of what Slurm prints of a step: `Cyclic`, `Block:Cyclic,Pack`, `Plane`, `Unknown`.

    None where it says nothing, or a word that is not known here.
    """
    if not word or word.casefold() == "unknown":
        return None
    try:
        return TaskDistribution.from_str(word.replace("CFull", "fcyclic"))
    except (ValueError, TypeError, OverflowError):
        return None
