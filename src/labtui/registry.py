"""One entry a subject, an action, a command. Keys, footer, help, palette and docs derive from it.

Adding a subject: a feed in collectors/, a view in views/ with its SubjectSpec, its name here, a
snapshot. Adding an action: a class and how it is made in actions/, its ActionSpec in
actions/offered.py.
"""

from __future__ import annotations

from labtui.actions.offered import ACTIONS as ACTIONS
from labtui.spec import ActionSpec, SubjectSpec
from labtui.views import (
    agents,
    fairshare,
    gpus,
    jobs,
    nodes,
    partitions,
    pods,
    processes,
    qos,
    reservations,
    runs,
    slurmclusters,
    vault,
)

SUBJECTS: tuple[SubjectSpec, ...] = (
    nodes.SUBJECT,
    gpus.SUBJECT,
    jobs.SUBJECT,
    vault.SUBJECT,
    runs.SUBJECT,
    partitions.SUBJECT,
    reservations.SUBJECT,
    qos.SUBJECT,
    fairshare.SUBJECT,
    pods.SUBJECT,
    processes.SUBJECT,
    slurmclusters.SUBJECT,
    agents.SUBJECT,
)

SUBJECT: dict[str, SubjectSpec] = {s.name: s for s in SUBJECTS}

SUB_VIEWS: dict[str, tuple[str, ...]] = {
    parent: tuple(s.name for s in SUBJECTS if s.parent == parent)
    for parent in dict.fromkeys(s.parent for s in SUBJECTS if s.parent)
}
"""Subject -> the closer looks at it, in the order that a key goes through them."""


def _command(
    id: str, key: str, words: str, help: str, *, subjects: tuple[str, ...] = (), footer: bool = True
) -> ActionSpec:
    return ActionSpec(id, key, words, help, subjects=subjects, changes=False, footer=footer)


COMMANDS: tuple[ActionSpec, ...] = (
    *(_command(f"go.{s.name}", s.key, s.title, s.words, footer=False) for s in SUBJECTS if s.key),
    _command("show.detail", "enter", "detail", "Everything known of this row; esc comes back."),
    _command("show.actions", "a", "actions", "What can be done to this row, and why not."),
    _command("filter", "slash", "filter", "Substring, /regex/, !inverse, field:value."),
    _command("command", "colon", "go", "Go anywhere by name: :jobs, :truenas, :1431, :theme."),
    _command("palette", "ctrl+p", "palette", "Find any screen, row or action.", footer=False),
    _command("sort", "s", "sort", "Sort by the next column.", footer=False),
    _command("sort.reverse", "S", "reverse", "Turn the order around.", footer=False),
    _command("columns", "C", "columns", "Choose the columns and their order.", footer=False),
    _command(
        "fold",
        "x",
        "fold/unfold",
        "An array's tasks one by one, or all as one row.",
        subjects=("jobs",),
        footer=False,
    ),
    _command(
        "tree",
        "T",
        "tree",
        "Each job under the one it waits for; again: the list.",
        subjects=("jobs",),
        footer=False,
    ),
    _command("mark", "space", "mark", "Mark this row; actions take all marked ones.", footer=False),
    _command("copy", "y", "copy", "Send this row's name to your clipboard.", footer=False),
    _command("refresh", "ctrl+r", "refresh", "Ask every source now.", footer=False),
    _command("redraw", "ctrl+l", "redraw", "Draw the whole screen again.", footer=False),
    _command("sources", "i", "sources", "Each source: fresh, stale, failed and why.", footer=False),
    _command("help", "question_mark", "help", "The keys of this screen."),
    _command("quit", "q", "quit", "Leave labtui."),
)
"""What changes nothing: navigation and display."""
