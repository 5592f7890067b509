"""The cards of a machine by nvidia-smi there: one read-only command a poll.

The script is a constant; the fields to ask for reach it as arguments. All cards are asked by one
`--query-gpu`, the processes on them by one `--query-compute-apps`; what is known only where MIG is
on is asked only there. Texts of nvidia-smi: its manual, `--help-query-gpu`, and what drivers 470
to 580 were seen to print (tests/samples/gpu).
"""

from __future__ import annotations

from labtui.hosts.base import Host
from labtui.model import Gpu
from labtui.sources import processes
from labtui.sources.base import SourceError
from labtui.sources.smiparts import with_processes
from labtui.sources.smitext import FIELDS, Answer, cards, fault
from labtui.text import inert

# sh -c SCRIPT labtui FIELDS HUNG SINCE: HUNG is 1 after a time-out; SINCE for journalctl
SCRIPT = (
    r"""
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/lib/wsl/lib
say() { printf '\n@@ %s\n' "$1"; }
smi() { timeout -s KILL "$@" 2>&1; }
"""
    + processes.SCRIPT
    + r"""
say begin; date +%s
say kernel; head -c 300 /proc/version
command -v nvidia-smi >/dev/null || { say absent; say end; exit 0; }
# A process that waits for a dead card cannot be killed: never a second one beside it.
[ "$2" = 1 ] && pgrep -u "$(id -u)" -r D -x nvidia-smi >/dev/null 2>&1 && {
  say hung; say end; exit 0
}
say cards
# Without persistence mode the driver wakes each card first: seconds, on a machine with eight.
cards=$(smi 8 nvidia-smi "--query-gpu=$1" --format=csv,noheader,nounits); code=$?
printf '%s\n' "$cards"
say code; echo $code
say processes
apps=$(smi 3 nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits)
printf '%s\n' "$apps"
if printf '%s\n' "$cards" | grep -q ', Enabled$'; then
  say list; smi 3 nvidia-smi -L
  say table; smi 3 nvidia-smi
fi
say owners
pids=$(printf '%s\n' "$apps" | sed -n 's/^[^,]*, \([0-9]\{1,9\}\),.*/\1/p' | sort -u | head -n 256)
owners $pids
say minors
grep -s '^Device Minor' /dev/null /proc/driver/nvidia/gpus/*/information
say log
log() { timeout -s KILL 1 journalctl -k -q --no-pager "$@" 2>/dev/null; }
found=$(log -o short-unix -n 50 "--since=$3" --grep 'NVRM: Xid'); code=$?
# An account that may not read the journal is shown an empty one.
if [ -n "$found" ]; then echo read
elif ring=$(timeout -s KILL 1 dmesg 2>/dev/null); then
  found=$(printf '%s\n' "$ring" | grep 'NVRM: Xid' | tail -n 50); echo read
elif [ $code = 137 ]; then echo slow
elif [ -n "$(log -n 1)" ]; then echo read
fi
say xids
printf '%s\n' "$found"
say end
"""
)

_INSTEAD = {"clocks_event_reasons.active": "clocks_throttle_reasons.active"}
"""Field -> what drivers before 535 call it."""


class Smi:
    """Polls one machine; remembers what its driver does not know, its cards and their XIDs."""

    def __init__(self, node: str, host: Host) -> None:
        self.node = node
        self._host = host
        self._fields = list(FIELDS)
        self._hung = False
        self._since = 0
        self._known: dict[str, Gpu] = {}
        """Bus id -> the card as it was last seen: a lost one keeps its row."""

    async def cards(self, timeout: float) -> list[Gpu]:
        """Raises HostError, and SourceError when there is no card to be read."""
        for _ in FIELDS:
            answer = await self._ask(timeout)
            unknown = answer.unknown_field
            if unknown is None or unknown not in self._fields:
                break
            # An older driver: from now on it is asked for what it knows.
            at, instead = self._fields.index(unknown), _INSTEAD.get(unknown)
            self._fields[at : at + 1] = [instead] if instead else []
        found = with_processes(
            cards(answer, self.node, self._fields, self._known), answer, self.node
        )
        if not found:
            raise fault(answer, f"nvidia-smi on {self.node}")
        self._known |= {card.bus: card.gpu for card in found if card.bus}
        self._since = answer.taken_at
        return [card.gpu for card in found]

    async def _ask(self, timeout: float) -> Answer:
        since = f"@{self._since}" if self._since else "-1d"
        hung = "1" if self._hung else "0"
        argv = ["sh", "-c", SCRIPT, "labtui", ",".join(self._fields), hung, since]
        self._hung = True  # until it answers
        done = await self._host.run(argv, timeout=timeout)
        answer = Answer.of(done.stdout)
        who = f"nvidia-smi on {self.node}"
        if answer is None:
            said = inert(done.stdout.strip(), 60)
            raise SourceError("protocol", f"{who}: something else answered: {said or 'nothing'}")
        if "hung" in answer.parts:
            raise SourceError("timeout", f"{who}: an earlier one still waits for its card")
        self._hung = answer.killed
        if answer.killed:
            raise SourceError("timeout", f"{who}: no answer within 8 s: a card may hang")
        return answer
