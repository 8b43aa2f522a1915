"""What to tell of a store that lies on the disk of another machine."""

from pathlib import Path

from cloudtune.system.filesystems import network_filesystem


def store_warning(folder: Path) -> str:
    """Return what a user has to know of a store in a folder; "" for one on a disk of this machine.

    SQLite's write-ahead log needs memory that all who open the store share, so that they have to be on one machine
    (https://www.sqlite.org/wal.html).
    """
    kind = network_filesystem(folder)
    if kind is None:
        return ""
    return (
        f"the store is on a network's file system ({kind}): read and drive its runs from one machine at a time, "
        "or keep the project on a disk of this machine"
    )
