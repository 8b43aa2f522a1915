"""Fixtures that several files share."""

from ray_runs import cluster, finish, job, made, project, waiting

__all__ = ["cluster", "finish", "job", "made", "project", "waiting"]
