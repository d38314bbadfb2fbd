"""To and from other systems: their workflows as campaigns, campaigns as theirs, a live SLURM."""
