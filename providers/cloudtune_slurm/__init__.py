"""Slurm: each trial a task of a job array, submitted by Slurm's own commands here or on a login node."""
