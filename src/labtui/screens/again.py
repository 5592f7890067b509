"""A job that was, in the form: to be changed and submitted anew."""

from __future__ import annotations

from labtui.actions.resubmit import as_it_was
from labtui.kept import Kept
from labtui.model import Job
from labtui.screens.submit import SubmitScreen
from labtui.session import Session
from labtui.slurm.form import word_of


async def again(session: Session, job: Job) -> SubmitScreen:
    """Raises ActionError, HostError or RPCError where its script is not to be had."""
    kept = Kept(session.config.cluster.name)
    script, own = await as_it_was(session.need_slurm(), kept, job)
    words = ", ".join(map(word_of, own))
    return SubmitScreen(script, said=f"not in its script, but so it was: {words}" if own else "")
