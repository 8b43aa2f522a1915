"""How a function gets to its trials: pickled by value on this machine, by its file elsewhere."""

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path


def pickled(function: Callable[..., object]) -> bytes:
    """Return a function as bytes that workers on this machine read.

    Raises:
        TypeError: it refers to something that cannot be taken along, such as an open file or a lock.
    """
    import cloudpickle  # noqa: PLC0415  # only a function's run needs it

    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:
        raise TypeError(
            f"tune() cannot hand {_name(function)} to its workers: {error}; make what it refers to inside of it, for example "
            "open a file or a connection there"
        ) from error


def importable(function: Callable[..., object]) -> tuple[Path, str]:
    """Return the folder whose files bring a function along, and its name there as ``module:function``.

    Raises:
        TypeError: it stands in no file of the user's, or not at the top of it, so that nobody else can import it.
    """
    name = _name(function)
    module = sys.modules.get(getattr(function, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        raise TypeError(
            f"{name} stands in no file, so that no other machine can import it; write it into a file, and import it from there"
        )
    if getattr(function, "__qualname__", "") != getattr(function, "__name__", None) or not name.isidentifier():
        raise TypeError(
            f"{name} is a lambda, or made inside of something else, so that no other machine can import it; define it at the top of {file}"
        )
    path = Path(file).resolve()
    if path.is_relative_to(sysconfig.get_path("purelib")):
        raise TypeError(
            f"{name} belongs to an installed package, {path}; call it from a function in a file of your own"
        )
    if module.__name__ == "__main__":
        return path.parent, f"{path.stem}:{name}"
    parts = module.__name__.split(".")
    root = path.parents[len(parts) - (0 if path.name == "__init__.py" else 1)]
    return root, f"{module.__name__}:{name}"


def _name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
