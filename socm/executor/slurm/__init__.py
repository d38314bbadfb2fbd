"""SLURM: the commands, what they answer, and the executor that uses both."""
