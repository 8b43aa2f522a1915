"""All peers of the record, and what a line of it says of them."""

from collections.abc import Iterable
from typing import Any

from fidelity_peers import FIDELITY_PEERS
from peers import PEERS, Peer

ALL: dict[str, Peer] = {**PEERS, **FIDELITY_PEERS}


OURS = ("cloudtune", "cloudtune hyperband")
"""What others are compared with: in groups of one loss a trial, and in those where trials are followed."""


def peers_of(follows: bool) -> dict[str, Peer]:
    """Return the peers of groups in which trials are followed epoch by epoch, or of the others."""
    return FIDELITY_PEERS if follows else PEERS


def ours_among(peers: Iterable[str]) -> str:
    """Return the one of `OURS` that the peers of a group are compared with."""
    return OURS[any(peer in FIDELITY_PEERS for peer in peers)]


def says(line: dict[str, Any], count: int) -> bool:
    """Return whether a line of a record says what its peer reaches in a run of so many evaluations."""
    done = len(line.get("reached", ()))
    return done == count if ALL[line["peer"]].planned else done >= count
