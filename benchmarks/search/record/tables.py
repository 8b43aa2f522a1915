"""Tables and a picture made from the lines of a record, and of nothing else."""

import json
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import ours_among, says
from scipy.stats import rankdata, wilcoxon

Lines = list[dict[str, Any]]
Block = dict[tuple[str, int], dict[str, float]]
"""(task, seed) -> peer -> the true loss at the end; infinite where all failed."""


def seen(lines: Lines, at: int | None = None, peers: Collection[str] | None = None) -> Lines:
    """Return the lines as they stood after so many evaluations, without shorter runs, and longer ones of peers that plan by the budget.

    Args:
        lines: of the record.
        at: evaluations; None for those of the longest run of a group, a variant and trials in flight.
        peers: whose lines; None for those of all.
    """
    chosen = [line for line in lines if peers is None or line["peer"] in peers]
    most: dict[tuple[Any, ...], int] = defaultdict(int)
    for line in chosen:
        most[_block(line)] = max(most[_block(line)], len(line.get("reached", ())))
    found = []
    for line in sorted(
        chosen, key=lambda line: len(line.get("reached", ()))
    ):  # of two runs of a pair the longer counts
        count = at or most[_block(line)]
        if "error" in line:
            found.append(line)
        elif says(line, count):
            found.append({**line, "reached": line["reached"][:count]})
    return found


def _block(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["group"], line["variant"], line["parallel"]


def blocks(lines: Lines) -> dict[tuple[str, str, int], Block]:
    """Return the runs by group, variant and trials in flight, paired by task and seed."""
    found: dict[tuple[str, str, int], Block] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if "error" not in line:
            end = line["reached"][-1]
            pair = found[line["group"], line["variant"], line["parallel"]][line["task"], line["seed"]]
            pair[line["peer"]] = float("inf") if end is None else end
    return found


def ranks(block: Block) -> tuple[dict[str, tuple[float, float]], int]:
    """Return the mean rank of each peer and its standard error over the pairs that have all peers; and how many these are.

    1 is best, and ties share.
    """
    peers = sorted({peer for pair in block.values() for peer in pair})
    whole = [[pair[peer] for peer in peers] for pair in block.values() if len(pair) == len(peers)]
    if not whole or len(peers) < 2:
        return {}, len(whole)
    each = np.array([rankdata(row) for row in whole])
    errors = each.std(axis=0, ddof=1) / len(whole) ** 0.5 if len(whole) > 1 else np.full(len(peers), np.nan)
    found = zip(peers, each.mean(axis=0).tolist(), errors.tolist(), strict=True)
    return {peer: (mean, error) for peer, mean, error in sorted(found, key=lambda item: item[1])}, len(whole)


def scores(lines: Lines, block: Block) -> dict[str, tuple[float, float]]:
    """Return the mean score of each peer and its standard error over the pairs that have all peers: 100 is the best known, 0 chance.

    As Bayesmark's (docs/scoring.rst there), whose optimum is the best that was seen of a task, here by any peer: what is not better
    than the median of single random trials counts as that.

    Args:
        lines: of a group; nothing is returned where random trials of a task were not kept one by one.
        block: of these lines.
    """
    drawn: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        drawn[line["task"]] += [loss for loss in line.get("drawn", ()) if loss is not None]
    peers = sorted({peer for pair in block.values() for peer in pair})
    whole = {key: pair for key, pair in block.items() if len(pair) == len(peers)}
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
    """Return how often ours was better and worse than a peer, and p of Wilcoxon's signed-rank test over the signed ranks."""
    pairs = [(pair[ours], pair[other]) for pair in block.values() if ours in pair and other in pair]
    signs = [float(np.sign(right - left)) for left, right in pairs]
    better, worse = signs.count(1.0), signs.count(-1.0)
    scores = [sign for sign in signs if sign]
    p = float(wilcoxon(scores).pvalue) if len(scores) > 5 else 1.0
    return better, worse, p


def text(lines: Lines) -> str:
    """Return the tables of lines (see `seen`) as Markdown."""
    parts = ["# The search record", "", *_about(lines)]
    for (group, variant, parallel), block in sorted(blocks(lines).items()):
        found, count = ranks(block)
        if not found:
            continue
        ours = ours_among(found)
        halves: dict[str, Block] = defaultdict(dict)
        for (task, seed), pair in block.items():
            halves[_half(lines, task)][task, seed] = pair
        length = next(
            len(line["reached"]) for line in lines if _block(line) == (group, variant, parallel) and "reached" in line
        )
        told = f"{length} evaluations, {count} pairs of a task and a seed"
        parts += ["", f"## {group}, {variant}, {parallel} in flight: {told}", ""]
        scored = scores([line for line in lines if _block(line) == (group, variant, parallel)], block)
        split = {name: ranks(part)[0] for name, part in sorted(halves.items())}
        columns = [
            "peer",
            "mean rank",
            *(f"{name} half" for name in split),
            *(["score"] if scored else []),
            "ours better / worse (p)",
            "ms a suggestion",
        ]
        parts += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        for peer, (rank, error) in found.items():
            halved = (f"{part[peer][0]:.2f}" if peer in part else "" for part in split.values())
            spread = "" if np.isnan(error) else f" ± {error:.2f}"
            cells = [peer, f"{rank:.2f}{spread}", *halved]
            if scored:
                cells.append("{:.1f} ± {:.1f}".format(*scored[peer]))
            cells.append("" if peer == ours else "{} / {} ({:.2g})".format(*versus(block, ours, peer)))
            cells.append(f"{1000 * _seconds(lines, group, variant, parallel, peer):.1f}")
            parts.append(f"| {' | '.join(cells)} |")
    broken = [line for line in lines if "error" in line]
    if broken:
        parts += [
            "",
            f"{len(broken)} runs broke: " + "; ".join(sorted({f"{each['peer']}: {each['error']}" for each in broken})),
        ]
    return "\n".join(parts) + "\n"


def _about(lines: Lines) -> list[str]:
    machines = {json.dumps(line["machine"], sort_keys=True) for line in lines}
    versions = {peer: line["versions"] for line in lines if "error" not in line for peer in [line["peer"]]}
    told = ", ".join(f"{peer} ({' '.join(f'{k} {v}' for k, v in each.items())})" for peer, each in versions.items())
    how = (
        "Mean ranks ± their standard errors over pairs of a task and a seed that every peer has run; 1 is best, and ties share. "
        "Better and worse are counted over all pairs that both have run, whatever others have. Seconds are those of the "
        "processor in the peer's own process, with one thread."
    )
    return [f"{len(lines)} runs on {'; '.join(sorted(machines))}.", "", f"Peers: {told}.", "", how]


def _half(lines: Lines, task: str) -> str:
    return next(str(line["half"]) for line in lines if line["task"] == task)


def _seconds(lines: Lines, group: str, variant: str, parallel: int, peer: str) -> float:
    mine = (group, variant, parallel, peer)
    found = [
        line["seconds"]
        for line in lines
        if "error" not in line and (line["group"], line["variant"], line["parallel"], line["peer"]) == mine
    ]
    return float(np.mean(found))


def picture(lines: Lines) -> str:
    """Return the mean ranks as an SVG picture: a row for each group, variant and parallelism, a mark for each peer."""
    rows = [(name, ranks(block)[0]) for name, block in sorted(blocks(lines).items())]
    rows = [(name, found) for name, found in rows if found]
    peers = sorted({peer for _, found in rows for peer in found})
    most = max((len(found) for _, found in rows), default=1)
    colours = {peer: f"hsl({360 * at // max(len(peers), 1)} 60% 42%)" for at, peer in enumerate(peers)}
    height = 60 + 28 * len(rows) + 18 * len(peers)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" font-size="12">'
    ]
    for at, (name, found) in enumerate(rows):
        y = 40 + 28 * at
        parts.append(f'<text x="8" y="{y + 4}">{name[0]}, {name[1]}, {name[2]} in flight</text>')
        parts.append(f'<line x1="240" x2="740" y1="{y}" y2="{y}" stroke="#ccc"/>')
        for peer, (rank, _) in found.items():
            x = 240 + 500 * (rank - 1) / max(most - 1, 1)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="{7 if peer == ours_among(found) else 5}" fill="{colours[peer]}"/>'
            )
    for at, peer in enumerate(peers):
        y = 60 + 28 * len(rows) + 18 * at
        parts.append(f'<circle cx="16" cy="{y - 4}" r="5" fill="{colours[peer]}"/><text x="28" y="{y}">{peer}</text>')
    parts.append('<text x="240" y="20">mean rank: 1 (best) on the left</text></svg>')
    return "\n".join(parts) + "\n"


def write(lines: Lines, folder: Path) -> list[Path]:
    """Write the tables and the picture into a folder, and return their paths."""
    made = {folder / "RECORD.md": text(lines), folder / "ranks.svg": picture(lines)}
    for path, content in made.items():
        path.write_text(content)
    return list(made)
