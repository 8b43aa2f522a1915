"""A Databricks workspace on this machine, for tests and for trying a job before it is paid for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudtune_databricks.emulator.errors import Faults
    from cloudtune_databricks.emulator.server import DatabricksEmulator
    from cloudtune_databricks.emulator.server import DatabricksEmulator as Emulator

__all__ = ["DatabricksEmulator", "Emulator", "Faults"]


def __getattr__(name: str) -> object:
    if name in ("DatabricksEmulator", "Emulator"):  # the other is what the entry point names
        from cloudtune_databricks.emulator.server import DatabricksEmulator  # noqa: PLC0415  # loads a web server

        return DatabricksEmulator
    if name == "Faults":
        from cloudtune_databricks.emulator.errors import Faults  # noqa: PLC0415

        return Faults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
