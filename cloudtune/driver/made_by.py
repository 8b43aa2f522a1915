"""The versions of what a run's suggestions depend on, as the run keeps them."""

import platform
from importlib import metadata

from cloudtune.plugins.version import __version__

MADE_BY = "made_by"
"""Key of a run's notes: the versions as JSON by name; see `versions`."""

_PACKAGES = ("numpy", "scipy")


def versions() -> dict[str, str]:
    """Return the versions of what suggestions depend on, by name: of cloudtune, Python, its packages, and the processor."""
    found = {"cloudtune": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = _version(metadata.distribution(package))
        except metadata.PackageNotFoundError:
            continue
    return found


def _version(package: metadata.Distribution) -> str:
    """Return a package's version without parsing the rest of its metadata, as `metadata.version` does: licences, mostly."""
    lines = (package.read_text("METADATA") or "").splitlines()
    found = next((line for line in lines if line.startswith("Version:")), None)
    return package.version if found is None else found.removeprefix("Version:").strip()
