"""The GPUs, processors and memory of this machine that trials may use. It needs the standard library alone.

NVIDIA's GPUs are found by ``nvidia-smi``, AMD's by ``rocm-smi``. What the user's shell hides stays hidden: the variables
that the makers' runtimes read (CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES) bound what is found.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"

_TIMEOUT = 60.0
"""Seconds that a maker's program may take: it wakes the GPUs up first, which takes many seconds where there are many."""

_WORD = re.compile(r"\d+|[A-Za-z]+-.+")
"""A word for a device: a number or a UUID; others, such as ``-1`` and ``NoDevFiles``, name none."""

_QUERY = ("--query-gpu=index,uuid,name,mig.mode.current", "--format=csv,noheader")


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a part of one that has been split off for good (NVIDIA's MIG).

    Attributes:
        id: the word for it in the variable that shows it to a program.
        kind: its maker's name of it, such as ``Tesla T4``; "" where that is unknown.
        key: names it for all programs of this machine, whatever they call it.
    """

    id: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs, and how a program gets to see some of them.

    Attributes:
        devices: all that trials may use.
        variables: the environment variables that name those which a program sees.
        order: variables that say what the words in them mean.
    """

    devices: tuple[Device, ...] = ()
    variables: tuple[str, ...] = ()
    order: Mapping[str, str] = field(default_factory=dict)

    def environment(self, chosen: Sequence[Device]) -> dict[str, str]:
        """Return the variables by which a program sees these devices and no others."""
        return {**self.order, **dict.fromkeys(self.variables, ",".join(device.id for device in chosen))}


def gpus_here(said: int | Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Gpus:
    """Return the GPUs of this machine.

    Args:
        said: how many of those that are found, or which of them; where nothing can be found, how many there are, or
            their numbers or UUIDs. None for all.
        environ: the user's environment.

    Raises:
        ValueError: one that is said is not among those that are found.
    """
    found = _nvidia(environ) or _amd(environ) or _shown(environ)
    if found is None:
        words = [str(number) for number in range(said)] if isinstance(said, int) else said or ()
        return Gpus(tuple(Device(word, "", word) for word in words), (CUDA, HIP))
    if said is None or isinstance(said, int):
        return replace(found, devices=found.devices[:said])
    return replace(found, devices=tuple(_found(word, found.devices) for word in said))


def _found(word: str, known: Sequence[Device]) -> Device:
    device = _named(word, known)
    if device is None:
        there = ", ".join(device.id for device in known) or "none"
        raise ValueError(f"there is no GPU {word!r} here that may be used; there are: {there}")
    return device


def _shown(environ: Mapping[str, str]) -> Gpus | None:
    """Return GPUs of which only the words in a variable are known, as batch systems leave them."""
    name = next((name for name in (CUDA, HIP, ROCR) if name in environ), None)
    if name is None:
        return None
    words = [word.strip() for word in environ[name].split(",")]
    return Gpus(tuple(Device(word, "", word) for word in words if _WORD.fullmatch(word)), (name,))


def _nvidia(environ: Mapping[str, str]) -> Gpus | None:
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    known = _nvidia_devices(program) if program else ()
    if not known:
        return None
    if CUDA in environ:  # its words, whose meaning CUDA_DEVICE_ORDER may change
        return Gpus(tuple(_chosen(environ[CUDA], known)), (CUDA,))
    split = {device.key.partition("/")[0] for device in known if "/" in device.key}
    usable = tuple(device for device in known if device.key not in split)
    return Gpus(usable, (CUDA,), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})  # the order of nvidia-smi's numbers


@lru_cache
def _nvidia_devices(program: str) -> tuple[Device, ...]:
    """Return all GPUs, and the parts that they are split into: a part's key is that of its GPU, "/" and its own."""
    rows = [[cell.strip() for cell in line.split(",")] for line in _lines(program, *_QUERY)]
    whole = [Device(row[0], row[2], row[1]) for row in rows if len(row) >= 3 and row[0].isdecimal()]
    if whole and not any(row[-1] == "Enabled" for row in rows):
        return tuple(whole)
    return _listed(_lines(program, "-L"))


def _listed(lines: Sequence[str]) -> tuple[Device, ...]:
    """Return the GPUs and their parts from what ``nvidia-smi -L`` prints."""
    devices: list[Device] = []
    gpu = ""
    for line in lines:
        named = re.match(r"\s*(?:GPU (\d+):|MIG)\s+(.*?)\s*(?:Device\s+\d+:)?\s*\(UUID: ([^)\s]+)\)", line)
        if named is None:
            continue
        number, kind, uuid = named.groups()
        gpu = uuid if number is not None else gpu
        devices.append(
            Device(number, kind, uuid) if number is not None else Device(uuid, f"MIG {kind}", f"{gpu}/{uuid}")
        )
    return tuple(devices)


def _amd(environ: Mapping[str, str]) -> Gpus | None:
    program = shutil.which("rocm-smi", path=environ.get("PATH"))
    known = _amd_devices(program) if program else ()
    if not known:
        return None
    if ROCR in environ:
        shown = _chosen(environ[ROCR], known)
        if HIP not in environ:
            return Gpus(tuple(shown), (ROCR,))
        known = tuple(
            replace(device, id=str(index)) for index, device in enumerate(shown)
        )  # HIP counts what ROCr shows
    name = next((name for name in (HIP, CUDA) if name in environ), None)
    return Gpus(known, (HIP,)) if name is None else Gpus(tuple(_chosen(environ[name], known)), (name,))


@lru_cache
def _amd_devices(program: str) -> tuple[Device, ...]:
    text = "\n".join(_lines(program, "--showproductname", "--showuniqueid", "--json"))
    try:
        cards = json.loads(text[text.index("{") :])  # warnings may stand before
    except ValueError:
        return ()
    numbers = sorted(int(name[4:]) for name in cards if re.fullmatch(r"card\d+", name))
    return tuple(_card(index, cards[f"card{number}"]) for index, number in enumerate(numbers))


def _card(index: int, card: Mapping[str, str]) -> Device:
    said = {name.lower(): text for name, text in card.items()}
    unique = said.get("unique id", "N/A")
    return Device(str(index), said.get("card series", ""), str(index) if unique == "N/A" else unique)


def _lines(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):  # a maker's program without its driver finds nothing
        return []
    return done.stdout.splitlines()


def _chosen(words: str, known: Sequence[Device]) -> list[Device]:
    """Return the devices that a variable shows. As CUDA does, it ends at the first word that names none."""
    chosen: list[Device] = []
    for word in words.split(","):
        device = _named(word.strip(), known)
        if device is None:
            break
        chosen.append(device)
    return chosen


def _named(word: str, known: Sequence[Device]) -> Device | None:
    """Return the device that a word means, under this name: its number, or enough of the beginning of its UUID."""
    for device in known:
        if word == device.id or (_WORD.fullmatch(word) and any(key.startswith(word) for key in device.key.split("/"))):
            return replace(device, id=word)
    return None


def is_of_kind(device: Device, kind: str) -> bool:
    """Return whether a device is of a kind, by its maker's name of it: ``A100-80GB`` is ``NVIDIA A100 80GB PCIe``.

    Args:
        device: a device whose kind is unknown is of every kind.
        kind: the kind's name in any service's spelling; ``GPU`` or ``any`` for any.
    """
    return not device.kind or _words(kind) <= _words(device.kind)


_OF_NO_KIND = {"", "nvidia", "tesla", "amd", "com", "gpu", "any"}
"""Words that tell no kind from another, also in Kubernetes' ``nvidia.com/gpu``."""


def _words(kind: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", kind.lower())) - _OF_NO_KIND


def cpus_here() -> tuple[int, ...]:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container finds the limit of its memory: of cgroups' second version, and of their first (see cgroups(7))."""


def memory_here() -> int:
    """Return the memory in bytes that this machine has, or that this process's container may use of it."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    else:
        import psutil  # noqa: PLC0415  # Linux and macOS need it not

        limits = [psutil.virtual_memory().total]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no container, or ``max``
            limits.append(int(Path(path).read_text()))
    return min(limits)
