"""The local provider: every trial is a process of this machine."""

from cloudtune_local.provider import LocalProvider

__all__ = ["LocalProvider"]
