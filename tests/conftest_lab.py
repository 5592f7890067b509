"""The real four machines for tests: one lab for the whole session, never the operator's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from labtui.lab import machines, up
from labtui.lab.layout import MACHINES, Lab
from labtui.lab.system import LabError


def need_lab() -> None:
    """Skip, and say why, where no lab can be had."""
    try:
        up.check_host(Lab("test"))
    except LabError as e:
        pytest.skip(f"NO LAB HERE: {e}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that is up, of the name LABTUI_TEST_LAB ("test"); LABTUI_TEST_KEEP=1 leaves it so."""
    need_lab()
    wanted = up.remembered(
        os.environ.get("LABTUI_TEST_LAB", "test"), os.environ.get("LABTUI_TEST_SUITE")
    )
    # With the services: on a fresh machine that waits for Vault's build.
    up.bring_up(wanted, print, wait=True)
    yield wanted
    if os.environ.get("LABTUI_TEST_KEEP") != "1":
        up.take_down(wanted, print)


@pytest.fixture
def other_lab(lab: Lab) -> Iterator[Callable[[str], Lab]]:
    """Makes names of more labs, for tests that kill them; they are gone afterwards."""
    made: list[Lab] = []

    def name(suffix: str) -> Lab:
        made.append(replace(lab, name=f"{lab.name[:9]}-{suffix}"))
        return made[-1]

    yield name
    for one in made:
        up.take_down(one, print, forget=True)


@pytest.fixture
def healed(lab: Lab) -> Iterator[Lab]:
    """The lab for a test that breaks it: whatever it leaves broken is mended."""
    yield lab
    up.bring_up(lab, print)
    assert set(machines.leaders(lab)) == set(MACHINES)


def _on_lab(item: pytest.Item) -> bool:
    return bool({"lab", "healed", "other_lab"} & set(getattr(item, "fixturenames", ())))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What needs no lab comes first: meanwhile the lab's services get ready.
    items.sort(key=_on_lab)
    for item in items:
        if _on_lab(item):
            item.add_marker(pytest.mark.lab)
            # The first start may build a root file system: that is not the test's own time.
            item.add_marker(pytest.mark.timeout(300, func_only=True))
