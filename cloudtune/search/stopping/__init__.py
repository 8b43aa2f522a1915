"""Stopping rules: which running trials are not worth their end."""

from cloudtune.search.stopping.rule import StoppingRule

__all__ = ["StoppingRule"]
