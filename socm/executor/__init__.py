"""Backends that carry jobs out: on SLURM and elsewhere through PSI/J, and on this machine."""
