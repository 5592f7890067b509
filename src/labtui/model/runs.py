"""MLflow's runs."""

from __future__ import annotations

from labtui.model.base import Item


class Run(Item, frozen=True, kw_only=True):
    run_id: str
    experiment: str
    name: str | None = None
    status: str
    start_time: float | None = None
    end_time: float | None = None
    params: dict[str, str] = {}
    metrics: dict[str, float | None] = {}
    """Last value of each metric; NaN and infinities are None."""
    job_id: str | None = None
    node: str | None = None
    note: str | None = None
    tags: dict[str, str] = {}
    experiment_id: str | None = None
