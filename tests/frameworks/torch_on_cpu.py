"""Let a PyTorch that was installed without NVIDIA's packages be imported: ``python torch_on_cpu.py``, in its environment.

PyPI's wheels for Linux are linked to CUDA's libraries, four gigabytes that a test on a CPU never calls. This program compiles
libraries of the same names whose functions all fail with an error, as CUDA's do on a machine without a GPU, and puts
them beside PyTorch's own, where these look first. It needs a C compiler and ``readelf`` and ``nm`` (binutils).
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

_OF_NVIDIA = re.compile(r"lib(cu|nv|nccl)\w*\.so")
_SYMBOL = re.compile(r"^\s+U (\w+)(?:@(\S+))?$", re.MULTILINE)
_LOOSE = re.compile(r"cu|nv|nccl")


def _output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _wanted(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Return the functions that PyTorch wants of each of NVIDIA's libraries, by their versions; "" for none."""
    found: dict[str, dict[str, set[str]]] = {}
    loose: set[str] = set()
    for library in sorted(folder.glob("lib*.so*")):
        needed = re.findall(r"NEEDED\).*\[(.+)\]", _output("readelf", "-d", str(library)))
        for name in filter(_OF_NVIDIA.match, needed):
            found.setdefault(name, defaultdict(set))
        files = _files_of_versions(library)
        for symbol, version in _SYMBOL.findall(_output("nm", "-D", "--undefined-only", str(library))):
            if version in files and _OF_NVIDIA.match(files[version]):
                found.setdefault(files[version], defaultdict(set))[version].add(symbol)
            elif not version and _LOOSE.match(symbol):
                loose.add(symbol)
    for versions in found.values():
        versions[""] |= loose  # which of them has it is written nowhere
    return found


def _files_of_versions(library: Path) -> dict[str, str]:
    """Return the library that each version of a symbol belongs to."""
    found, file = {}, ""
    for of, version in re.findall(r"File: (\S+)|Name: (\S+)", _output("readelf", "-V", "-W", str(library))):
        file = of or file
        if version:
            found[version] = file
    return found


def _compile(name: str, versions: dict[str, set[str]], target: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, script = Path(place, "stub.c"), Path(place, "versions")
        functions = sorted(set().union(*versions.values()))
        source.write_text("".join(f"int {each}(void) {{ return 999; }}\n" for each in functions))  # cudaErrorUnknown
        named = {version: symbols for version, symbols in versions.items() if version}
        script.write_text(
            "".join(f"{version} {{ global: {'; '.join(sorted(each))}; }};\n" for version, each in named.items())
        )
        flags = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{name}"]
        flags += [f"-Wl,--version-script={script}"] if named else []
        subprocess.run(["cc", *flags, "-o", str(target / name), str(source)], check=True)


def main() -> int:
    """Write the libraries, and return the exit code of a first import."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        print("torch is not installed: pip install --no-deps torch", file=sys.stderr)
        return 1
    folder = Path(spec.submodule_search_locations[0], "lib")
    for name, versions in _wanted(folder).items():
        _compile(name, versions, folder)
    return subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__, torch.ones(2) + 1)"]
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
