"""Fixtures that several files share."""

from slurm_runs import cluster, finish, job, project, submit

__all__ = ["cluster", "finish", "job", "project", "submit"]
