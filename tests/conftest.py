"""Fixtures that every test may ask for."""

from itertools import count

import pytest
from hypothesis import settings

from conftest_lab import (  # noqa: F401 - taken up by pytest
    healed,
    lab,
    other_lab,
    pytest_collection_modifyitems,
)
from labcards import rig, sliced  # noqa: F401

# The same examples on every machine, however slow; --hypothesis-profile=default looks further.
settings.load_profile("ci")
_numbers = count()


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a history, drafts and table choices of its own: it reads none of another's,
    nor of the person who runs the tests, and leaves them none."""
    place = tmp_path_factory.getbasetemp() / f"state-{next(_numbers)}"
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
