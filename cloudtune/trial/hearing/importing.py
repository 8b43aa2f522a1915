"""Change modules of libraries when a program imports them, and not before."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def when_imported(name: str, change: Callable[[Any], None]) -> None:
    """Call a function with a module: now if it is imported already, else as soon as it has been.

    Args:
        name: of the module.
        change: what it raises is told, and the import goes on.
    """
    if name in sys.modules:
        _changed(change, sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, change))


def _changed(change: Callable[[Any], None], module: Any) -> None:
    try:
        change(module)
    except Exception as error:  # noqa: BLE001  # the program needs the module, changed or not
        said = f"{type(error).__name__}: {error}"
        print(f"cloudtune: what is logged by {module.__name__} is not heard: {said}", file=sys.stderr)


class _Finder:
    """Finds one module as the others find it, and has it changed once it is loaded."""

    def __init__(self, name: str, change: Callable[[Any], None]) -> None:
        self._name, self._change = name, change

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's spec with a loader that changes it; None for other modules."""
        if name != self._name:
            return None
        for finder in sys.meta_path:
            found: Any = None if finder is self else finder.find_spec(name, path, target)
            if found is not None:
                if found.loader is not None:
                    found.loader = _Loader(found.loader, self._change)
                return found
        return None


class _Loader:
    """Loads a module as another loader does, and has it changed then."""

    def __init__(self, loader: Any, change: Callable[[Any], None]) -> None:
        self._loader, self._change = loader, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        """Return what the other loader creates."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Load the module, and leave no trace of this loader."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _changed(self._change, module)
