"""What steps that run use: `JobStep.load_stats` fills these."""

from labtui.slurm.db.stats import JobStatistics, JobStepStatistics

__all__ = ["JobStatistics", "JobStepStatistics"]
