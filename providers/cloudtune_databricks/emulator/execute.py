"""The program in which a task of the emulator runs: executes a Python file as Databricks does, without ``__file__``, or a wheel's entry point.

``python execute.py ERROR file PATH WORDS…`` or ``… ERROR wheel PACKAGE ENTRY WORDS…``; what goes wrong is left in the file ERROR.
"""

import json
import sys
import traceback
from importlib import import_module, metadata
from pathlib import Path


def _run(kind: str, words: list[str]) -> None:
    sys.path.pop(0)  # the folder of this program
    if kind == "file":
        path, *sys.argv[1:] = words
        sys.argv[0] = path
        source = Path(path).read_text("utf-8")
        exec(compile(source, path, "exec"), {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102  # as the service does
        return
    package, entry, *sys.argv[1:] = words
    sys.argv[0] = entry
    named = [each for each in metadata.entry_points(name=entry) if each.dist is not None and each.dist.name == package]
    (named[0].load() if named else getattr(import_module(package), entry))()


def _main(place: str, kind: str, words: list[str]) -> None:
    try:
        _run(kind, words)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        if not isinstance(error, SystemExit) or error.code:
            Path(place).write_text(json.dumps({"error": said, "error_trace": traceback.format_exc()}), "utf-8")
        if not isinstance(error, SystemExit):
            traceback.print_exc()
            sys.exit(1)
        raise


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
