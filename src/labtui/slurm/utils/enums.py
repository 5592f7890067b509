"""Where PySlurm keeps its enumerations' bases."""

from labtui.slurm.enums import SlurmEnum, SlurmFlag

__all__ = ["SlurmEnum", "SlurmFlag"]
