"""Fixtures that several files share."""

from vertex_emulation import emulate, shared

__all__ = ["emulate", "shared"]
