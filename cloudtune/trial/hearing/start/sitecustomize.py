"""Begin to hear what the program logs: Python loads this module at its start, as the folder is in PYTHONPATH.

It needs the standard library alone, and Python 3.8 or newer, whatever interpreter the program runs in. A ``sitecustomize`` of
others, which this one hides, is loaded after it.
"""

# ruff: noqa: PTH100, PTH120, PTH118  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only this module needs is no name of it

from __future__ import annotations


def _begin() -> None:
    import importlib.util
    import os
    import sys

    own = os.path.dirname(os.path.abspath(__file__))
    package = os.path.dirname(os.path.dirname(own))
    name = "_cloudtune_trial"
    try:
        spec = importlib.util.spec_from_file_location(name, os.path.join(package, "__init__.py"))
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            importlib.import_module(name + ".hearing").begin()
    except Exception as error:  # noqa: BLE001  # the program must start whatever is wrong here
        print(f"cloudtune: what the program logs is not heard: {type(error).__name__}: {error}", file=sys.stderr)
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != own]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


_begin()
