"""Detection of symbolic links that were checked out or unpacked as small text files holding the link's target.

Git writes a link so where ``core.symlinks`` is off (https://git-scm.com/docs/git-config), and so do archives and shares
that have no links. A program that imports or runs such a file fails with a misleading error.
"""

from pathlib import Path, PurePosixPath

from cloudtune.bundle.tree import Tree

CODE = frozenset({".py", ".sh", ".bash", ".r", ".jl", ".pl", ".rb", ".js"})
"""Suffixes of files for interpreters, in which a bare path is no valid program."""

_LONGEST = 1024


def written_links(tree: Tree) -> list[tuple[str, str]]:
    """Return the names of a tree's files that hold only the target of a link, each with that target."""
    small = (file for file in tree.files if 0 < file.size <= _LONGEST and not file.path.is_symlink())
    found = ((file.name, _path_in(file.path)) for file in small)
    return [(name, path) for name, path in found if path]


def _path_in(file: Path) -> str:
    """Return a file's content if it is only a relative path to another file with the same suffix; else ""."""
    try:
        text = file.read_bytes().decode().removesuffix("\n")
        leads = bool(text) and text.isprintable() and not text.startswith("/") and (file.parent / text).is_file()
        other = leads and not (file.parent / text).samefile(file)
    except (OSError, UnicodeDecodeError, ValueError):
        return ""
    return text if other and PurePosixPath(text).suffix == file.suffix else ""
