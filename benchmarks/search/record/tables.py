"""Ranks, scores and comparisons of the lines of a record."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from catalogue import OURS, ours_among, says
from scipy.stats import binomtest, rankdata

Lines = list[dict[str, Any]]
Block = dict[tuple[str, int], dict[str, float]]
"""(task, seed) -> peer -> the true loss at the end; infinite where all failed."""


def seen(lines: Lines, at: int | None = None, peers: Collection[str] | None = None) -> Lines:
    """Return the lines as they stood after so many evaluations, without shorter runs, and longer ones of peers that plan by the budget.

    Args:
        lines: of the record.
        at: evaluations; None for those of most runs of cloudtune in a group, with a variant and so many in flight, the more of
            equally many; without such runs for those of the longest.
        peers: whose lines; None for those of all.
    """
    chosen = [line for line in lines if peers is None or line["peer"] in peers]
    lengths = {block: _length([line for line in chosen if block_of(line) == block]) for block in map(block_of, chosen)}
    found = []
    # Of two runs of a pair the longer counts.
    for line in sorted(chosen, key=lambda line: len(line.get("reached", ()))):
        count = at or lengths[block_of(line)]
        if "error" in line:
            found.append(line)
        elif says(line, count):
            found.append({**line, "reached": line["reached"][:count]})
    return found


def _length(lines: Lines) -> int:
    ours = Counter(len(line["reached"]) for line in lines if line["peer"] in OURS and "reached" in line)
    longest = max((len(line.get("reached", ())) for line in lines), default=0)
    return max(ours, key=lambda length: (ours[length], length)) if ours else longest


def block_of(line: dict[str, Any]) -> tuple[str, str, int]:
    """Return the group, the variant and the trials in flight of a line."""
    return line["group"], line["variant"], line["parallel"]


def blocks(lines: Lines) -> dict[tuple[str, str, int], Block]:
    """Return the runs by group, variant and trials in flight, paired by task and seed."""
    found: dict[tuple[str, str, int], Block] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if "error" not in line:
            end = line["reached"][-1]
            pair = found[block_of(line)][line["task"], line["seed"]]
            pair[line["peer"]] = float("inf") if end is None else end
    return found


def ranked_peers(block: Block) -> list[str]:
    """Return the peers that ran at least half of the pairs that ours ran: the others are not ranked, else few pairs are left."""
    ours = ours_among(peer for pair in block.values() for peer in pair)
    pairs = [pair for pair in block.values() if ours in pair] or list(block.values())
    counts = Counter(peer for pair in pairs for peer in pair)
    return sorted(peer for peer, count in counts.items() if 2 * count >= len(pairs))


def ranks(block: Block, peers: Sequence[str] | None = None) -> tuple[dict[str, tuple[float, float]], int]:
    """Return the mean rank of each peer and its standard error over the pairs that all of them ran; and how many these are.

    1 is best, and ties share.

    Args:
        block: the pairs.
        peers: which to rank; None for `ranked_peers`.
    """
    peers = ranked_peers(block) if peers is None else peers
    whole = [[pair[peer] for peer in peers] for pair in block.values() if pair.keys() >= set(peers)]
    if not whole or len(peers) < 2:
        return {}, len(whole)
    each = np.array([rankdata(row) for row in whole])
    errors = each.std(axis=0, ddof=1) / len(whole) ** 0.5 if len(whole) > 1 else np.full(len(peers), np.nan)
    found = zip(peers, each.mean(axis=0).tolist(), errors.tolist(), strict=True)
    return {peer: (mean, error) for peer, mean, error in sorted(found, key=lambda item: item[1])}, len(whole)


def scores(lines: Lines, block: Block) -> dict[str, tuple[float, float]]:
    """Return the mean score of each peer and its standard error over the pairs that all ranked peers ran: 100 is the best known, 0 chance.

    As Bayesmark's (docs/scoring.rst there), whose optimum is the best that was seen of a task, here by any peer: what is not better
    than the median of single random trials counts as that.

    Args:
        lines: of a group; nothing is returned where random trials of a task were not kept one by one.
        block: of these lines.
    """
    drawn: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        drawn[line["task"]] += [loss for loss in line.get("drawn", ()) if loss is not None]
    peers = ranked_peers(block)
    whole = {key: pair for key, pair in block.items() if pair.keys() >= set(peers)}
    if not whole or not all(drawn[task] for task, _ in whole):
        return {}
    rows = []
    for (task, _), pair in whole.items():
        seen_of = [each for (other, _), others in block.items() if other == task for each in others.values()]
        best, chance = min([*seen_of, *drawn[task]]), float(np.median(drawn[task]))
        gap = max(chance - best, 1e-300)
        rows.append([100 * (chance - min(pair[peer], chance)) / gap for peer in peers])
    means, count = np.mean(rows, axis=0), len(rows)
    errors = np.std(rows, axis=0, ddof=1) / count**0.5 if count > 1 else np.full(len(peers), np.nan)
    return {peer: (mean, error) for peer, mean, error in zip(peers, means.tolist(), errors.tolist(), strict=True)}


def versus(block: Block, ours: str, other: str) -> tuple[int, int, float]:
    """Return how often ours was better and worse than a peer, and p of the sign test."""
    pairs = [(pair[ours], pair[other]) for pair in block.values() if ours in pair and other in pair]
    better, worse = sum(left < right for left, right in pairs), sum(left > right for left, right in pairs)
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return better, worse, p
