"""`pyslurm.db`: what the accounting keeps."""
