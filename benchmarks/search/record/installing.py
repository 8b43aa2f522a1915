"""An environment for each peer, made by pip, and a try whether the peer works in it."""

import re
import subprocess
import venv
from pathlib import Path

from catalogue import ALL
from fidelity_peers import EPOCHS, FIDELITY_PEERS
from peers import Peer
from running import Worker

_TRIALS = 8
"""Of a try: enough for a model of most peers to be built."""

_SPACE = [
    {"name": "a", "type": "float", "low": 1e-3, "high": 1.0, "log": True},
    {"name": "b", "type": "int", "low": 1, "high": 9, "log": False},
    {"name": "c", "type": "ordinal", "values": [1, 2, 4, 8]},
    {"name": "d", "type": "categorical", "values": ["p", "q", "r"]},
]


def install(name: str, environments: Path) -> str:
    """Make the environment of a peer, unless it is there and works; return what came of it, in a sentence.

    Peers that share an environment share the installation.
    """
    peer = ALL[name]
    place = environments / peer.environment
    if not peer.environment:
        return f"{name} runs in this environment"
    if not (place / "done").exists():
        environments.mkdir(parents=True, exist_ok=True)
        venv.create(place, with_pip=True, clear=True)
        for step in _steps(peer, place):
            done = _pip(place, *step)
            if done.returncode:
                return f"{name} cannot be installed here: {_why(done.stderr)}"
        (place / "done").write_text("")
    return _tried(name, environments)


def _steps(peer: Peer, place: Path) -> list[list[str]]:
    """Return the arguments of pip, install after install."""
    pinned = [f"torch=={found}" if each == "torch" and (found := _cpu_torch(place)) else each for each in peer.packages]
    steps = [["install", "--quiet", *pinned]]
    if peer.alone:  # of an author whose pins no other package of today meets
        steps.append(["install", "--quiet", "--no-deps", *peer.alone])
    return steps


def _cpu_torch(place: Path) -> str | None:
    """Return the newest build of torch for processors alone that pip is shown; the usual one brings gigabytes for others.

    Such builds are in an index of PyTorch's own, which ``PIP_EXTRA_INDEX_URL`` may name.
    """
    shown = _pip(place, "index", "versions", "torch").stdout
    builds = re.findall(r"[\d.]+\+cpu", shown)
    return builds[0] if builds else None


def _pip(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [place / "bin" / "python", "-m", "pip", *arguments], check=False, capture_output=True, text=True
    )


def _why(said: str) -> str:
    """Return the last error of what pip said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip said nothing"])[-1]


def _tried(name: str, environments: Path) -> str:
    """Ask a peer for a few trials of a space with every type."""
    log = environments / f"{name}.log"
    worker = Worker(name, environments, log)
    try:
        versions = worker.request(do="new", space=_SPACE, seed=1, budget=60, parallel=1)["versions"]
        for _ in range(_TRIALS):
            asked = worker.request(do="ask")
            loss = float(asked["values"]["a"]) - asked["values"]["b"]
            about = {"do": "report", "epoch": EPOCHS} if name in FIDELITY_PEERS else {"do": "tell"}
            worker.request(token=asked["token"], loss=loss, **about)
    except RuntimeError:
        said = log.read_text().strip().splitlines()
        return f"{name} is installed and does not work: {said[-1] if said else 'it said nothing'}"
    finally:
        worker.close()
    return f"{name} works: {' '.join(f'{package} {version}' for package, version in versions.items())}"
