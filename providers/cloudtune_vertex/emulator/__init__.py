"""Vertex AI on this machine, for tests and for trying a job before it is paid for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune_vertex.emulator.faults import Faults
    from cloudtune_vertex.emulator.server import VertexEmulator
    from cloudtune_vertex.emulator.server import VertexEmulator as Emulator

__all__ = ["Emulator", "Faults", "VertexEmulator"]


def __getattr__(name: str) -> object:
    if name in ("VertexEmulator", "Emulator"):  # the other is what the entry point names
        from cloudtune_vertex.emulator.server import VertexEmulator  # noqa: PLC0415  # loads Google's SDK

        return VertexEmulator
    if name == "Faults":
        from cloudtune_vertex.emulator.faults import Faults  # noqa: PLC0415

        return Faults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
