"""Text from files and standard input, within bounds whatever they are: a folder, a pipe, a disk without end, no text."""

import codecs
import os
import stat
import sys
from pathlib import Path

from cloudtune.errors import ConfigError, Problem, SpecError

MAX_BYTES = 1 << 20
"""The size of a document in UTF-8."""

STDIN = "-"
"""What stands for standard input on the command line."""

_OPEN_FILES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Where a shell puts what it has opened itself, such as the pipe of ``<(command)``: it has a writer, so that reading ends."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Byte order marks: editors of Windows write them, and PowerShell's > writes UTF-16."""


def read_file(path: Path) -> str:
    """Return the text of a file.

    Raises:
        SpecError: it is no plain file, is larger than `MAX_BYTES`, or holds no text.
        OSError: it cannot be read.
    """
    return decode(_bytes_of(path), str(path))


def read_source(source: str) -> str:
    """Return the text of a file, or of standard input for ``-``.

    Raises:
        ConfigError: there is no such file.
        SpecError: as `read_file` does.
        OSError: it cannot be read.
    """
    if source != STDIN:
        if "\0" in source or not Path(source).exists():
            raise ConfigError(f"there is no file {source!r}")
        return read_file(Path(source))
    raw = getattr(sys.stdin, "buffer", None)  # none where somebody has put a stream of texts there
    content = raw.read(MAX_BYTES + 1) if raw else sys.stdin.read(MAX_BYTES + 1).encode(errors="surrogatepass")
    return decode(content, name_of(source))


def name_of(source: str) -> str:
    """Return what messages call a source."""
    return "standard input" if source == STDIN else source


def _bytes_of(path: Path) -> bytes:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not str(path).startswith(_OPEN_FILES):
        raise SpecError([Problem("", f"it is {_kind(mode)}, not a file", "give a file")], str(path))
    # What takes a plain file's place between the look and the opening must not be waited for either.
    flags = os.O_RDONLY | (getattr(os, "O_NONBLOCK", 0) if stat.S_ISREG(mode) else 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read(MAX_BYTES + 1)  # one more shows that the file is too large


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for check, name in kinds.items() if check(mode)), "a device")


def decode(content: bytes, source: str) -> str:
    """Return the text that bytes are, in UTF-8 or, with a byte order mark, UTF-16.

    Raises:
        SpecError: they are no text, or more than `MAX_BYTES`.
    """
    if len(content) > MAX_BYTES:
        raise too_large(source)
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        place = error.start + len(mark)
        line = content.count(b"\n", 0, place) + 1
        called = "UTF-16" if "16" in encoding else "UTF-8"
        hint = "it is no text file" if b"\0" in content else "save the file as UTF-8"
        raise SpecError([Problem("", f"byte {place} is not {called}", hint, line)], source) from None


def too_large(source: str) -> SpecError:
    """Return the error of a document that is larger than `MAX_BYTES`."""
    return SpecError([Problem("", f"the document is larger than {MAX_BYTES >> 20} MiB")], source)
