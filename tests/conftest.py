"""Fixtures that every test may ask for."""

from conftest_lab import (  # noqa: F401 - taken up by pytest
    healed,
    lab,
    other_lab,
    pytest_collection_modifyitems,
)
from labcards import rig, sliced  # noqa: F401
