"""Links that were checked out or unpacked as small files which hold nothing but the path that the link led to.

Git writes a link so where ``core.symlinks`` is off (https://git-scm.com/docs/git-config), and so do archives and shares
that have no links. A program that imports or runs such a file fails with a riddle.
"""

from pathlib import Path, PurePosixPath

from cloudtune.bundle.tree import Tree

CODE = frozenset({".py", ".sh", ".bash", ".r", ".jl", ".pl", ".rb", ".js"})
"""Endings of files that are read by an interpreter, to which a bare path says nothing."""

_LONGEST = 1024


def written_links(tree: Tree) -> list[tuple[str, str]]:
    """Return the files of a tree that hold a link's path instead of content, each with that path."""
    small = (file for file in tree.files if 0 < file.size <= _LONGEST and not file.path.is_symlink())
    found = ((file.name, _path_in(file.path)) for file in small)
    return [(name, path) for name, path in found if path]


def _path_in(file: Path) -> str:
    """Return the path that is all of a file's content and leads to a file of the same ending; "" for any other content."""
    try:
        text = file.read_bytes().decode().removesuffix("\n")
        leads = bool(text) and text.isprintable() and not text.startswith("/") and (file.parent / text).is_file()
        other = leads and not (file.parent / text).samefile(file)
    except (OSError, UnicodeDecodeError, ValueError):
        return ""
    return text if other and PurePosixPath(text).suffix == file.suffix else ""
