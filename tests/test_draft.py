"""A half-typed job survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from labtui.draft import Draft
from labtui.slurm.script import BatchScript


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draft:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Draft("lab")


def test_what_was_typed_is_there_again_and_only_for_its_owner(draft: Draft) -> None:
    job = BatchScript(
        "echo 1\necho 2", {"job-name": "llama [x]\x1b", "exclusive": ""}, extra=("#SBATCH --x=1",)
    )
    draft.keep(job)
    kept = Draft("lab").load()
    assert kept is not None and kept[0] == job
    assert draft.path.stat().st_mode & 0o077 == 0
    assert Draft("other").load() is None
    draft.forget()
    assert draft.load() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job": 3}', b'{"job": {"extra": 5}}'])
def test_a_broken_file_is_no_draft_and_no_error(draft: Draft, content: bytes) -> None:
    draft.keep(BatchScript())
    draft.path.write_bytes(content)
    assert draft.load() is None


def test_fields_of_another_version_are_left_out(draft: Draft) -> None:
    draft.keep(BatchScript("x"))
    draft.path.write_text(
        '{"job": {"body": "x", "from_the_future": 1, "options": {"not-yet": "1"}}}'
    )
    kept = draft.load()
    assert kept is not None and kept[0] == BatchScript("x")


def test_a_disk_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    draft = Draft("lab")
    draft.keep(BatchScript())
    assert draft.problem and "cannot be kept" in draft.problem
