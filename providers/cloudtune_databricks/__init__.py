"""Databricks: each trial is a one-time run of its Jobs API."""
