"""Which entries of the plug-in's ConfigMap a node may follow, and copies with another number."""

from __future__ import annotations

from typing import Any

import pytest

from labtui.actions.base import ActionError, Plan
from labtui.actions.slicing import Slices
from labtui.sources.slicing import read, recut, slicing
from test_gpu_actions import CARD, FOUR, Cluster1, told

MPS = FOUR.replace("timeSlicing", "mps")
MIXED = "version: v1\nflags:\n  migStrategy: mixed\n"
TWO_KINDS = """\
version: v1
flags:
  migStrategy: none
  deviceListStrategy: envvar
sharing:
  timeSlicing:
    failRequestsGreaterThanOne: true
    resources:
    - name: nvidia.com/mig-1g.5gb
      replicas: 2
    - name: nvidia.com/gpu
      replicas: 2  # of a whole card
"""
FLAGS = "version: v1\nflags:\n  deviceListStrategy: volume-mounts\n"
RENAMED = FOUR.replace("  timeSlicing:", "  timeSlicing:\n    renameByDefault: true")


async def plan(answer: str, *, now: str = FOUR, **others: str) -> tuple[Plan, Slices]:
    """The node follows `four`, whose text is `now`."""
    cluster = Cluster1()
    cluster.data = {"four": now, **others}
    action = Slices(cluster.client, CARD, answer, told())
    return await action.plan(), action


def test_how_an_entry_shares_is_read() -> None:
    found = slicing("g", "c", None, {"ts": FOUR, "mps": MPS, "mixed": MIXED, "flags": FLAGS})
    assert found.mps == ("mps",) and found.mig == {"mixed": "mixed"}


async def test_a_number_means_an_entry_that_shares_in_the_same_way() -> None:
    made, action = await plan("8", mps=MPS.replace("4", "8"))
    assert action._new.keys() == {"slices-8"} and "slices-8" in made.title
    made, action = await plan("1", mixed=MIXED)
    assert action._new.keys() == {"slices-1"}
    made, action = await plan("1", mixed=MIXED, flags=FLAGS)
    assert not action._new and "(flags)" in made.title, "who says nothing says none"


async def test_an_entry_of_another_kind_is_refused_or_said() -> None:
    with pytest.raises(ActionError, match="mps shares its cards by MPS, which splits pods' memory"):
        await plan("mps", mps=MPS)
    with pytest.raises(ActionError, match="four shares its cards by MPS"):
        await plan("8", now=MPS)
    with pytest.raises(ActionError, match=r"there are four \(4\), flags \(1\); or") as raised:
        await plan("?", mps=MPS, flags=FLAGS)
    assert "mps" not in str(raised.value)
    made, _ = await plan("mixed", mixed=MIXED)
    assert any("migStrategy is mixed then, none now" in risk for risk in made.risks)
    made, _ = await plan("flags", flags=FLAGS)
    assert not any("migStrategy" in risk for risk in made.risks)


@pytest.mark.parametrize("text", [FOUR, TWO_KINDS, FLAGS, RENAMED, ""])
def test_a_copy_differs_in_its_number_alone(text: str) -> None:
    def without(document: Any) -> Any:
        sharing = document.pop("sharing", None)
        for one in sharing["timeSlicing"]["resources"] if sharing else ():
            if one["name"] == "nvidia.com/gpu":
                del one["replicas"]
        return document, sharing

    made = recut(text, 6)
    assert slicing("g", "c", None, {"x": made}).entries == {"x": 6}
    before, sharing = without(read(text) or {"version": "v1"})
    after, shared = without(read(made))
    assert after == before and (sharing is None or shared == sharing)


@pytest.mark.parametrize(
    "text",
    [
        '{"version": "v1", "sharing": {"timeSlicing": {"resources": []}}}',
        "version: v1\nsharing:\n  timeSlicing:\n    resources:\n    - name: nvidia.com/mig-1g.5gb\n"
        "      replicas: 2\n",
        "version: v1\nsharing:\n",
        "version: &a v1\n",
        "sharing: {timeSlicing: {resources: [{name: gpu, replicas: 2}]}}\n",
    ],
)
async def test_what_cannot_be_copied_whole_is_not_copied(text: str) -> None:
    with pytest.raises(ActionError, match="four cannot be copied with another number"):
        await plan("8", now=text)


async def test_a_copy_keeps_the_name_of_its_slices() -> None:
    made, _ = await plan("8", now=RENAMED)
    assert not any("are called" in risk for risk in made.risks)
    made, _ = await plan("flags", now=RENAMED, flags=FLAGS)
    assert any("are called nvidia.com/gpu then" in risk for risk in made.risks)
