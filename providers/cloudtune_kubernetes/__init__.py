"""Kubernetes: each trial a Job of a cluster, driven by cloudtune, or the whole run an Experiment of Katib."""
