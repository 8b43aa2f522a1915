"""Fixtures that several files share."""

from emulator_requests import emulators

__all__ = ["emulators"]
