"""The emulator's class by the path that programs written before `server` import it from."""

from cloudtune_vertex.emulator.server import VertexEmulator

__all__ = ["VertexEmulator"]
