"""What kind of file system a folder lies on."""

from pathlib import Path

NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "9p",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.ceph-fuse",
        "orangefs",
        "pvfs2",
        "panfs",
        "wekafs",
    ]
)
"""File systems of other machines, as Linux names them in /proc/mounts."""


def network_filesystem(folder: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of network file system that a folder lies on; None for a disk of this machine, or where it is unknown.

    Args:
        folder: it or the nearest one above that exists is looked at.
        mounts: the table of mounts, as proc(5) describes it.
    """
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return None
    place, kind, longest = folder.resolve(), "", -1
    for _, point, found, *_ in lines:
        where = Path(point.replace("\\040", " "))
        if place.is_relative_to(where) and len(where.parts) >= longest:  # a later mount covers an earlier one
            kind, longest = found, len(where.parts)
    return kind if kind in NETWORK else None
