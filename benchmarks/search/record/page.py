"""The page of a record and its picture, made from its lines and of nothing else."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import ours_among
from tables import Block, Lines, block_of, blocks, ranks, scores, versus

_HOW = """Each peer runs in an environment of its own with its defaults, one process and one thread at a time, on the same tasks, with the same
seeds and numbers of trials, which those that plan by it are told. A rank is that of the true loss of the trial that looked best at the end; 1 is best, and
ties share. Mean ranks ± their standard errors are over the pairs of a task and a seed that all ranked peers ran; a peer that ran less than
half of ours is not ranked, only compared. *Better / worse* is how often cloudtune was better and worse than the peer, over all pairs that both
ran, with p of the sign test: above 0.05 no difference is shown. Times are those of the processor in the peer's own process, on a machine that had
other work. Tasks are halved by a digest of their names: settings of cloudtune were chosen on the *design* half alone."""

_AGAIN = """Run it again, or more of it: `python benchmarks/search/record --help`. This page is made from the runs in `benchmarks/search/record/kept.jsonl`, and
from nothing else. What was tried to be better, and was not, is under [how a search chooses](search.md#what-did-not-help).

![Mean ranks of each group](../pictures/record.svg)"""

_ALL = "all of these"


def text(lines: Lines) -> str:
    """Return the page of lines (see `tables.seen`) as Markdown."""
    parts = ["# The search record", "", *_about(lines)]
    several: dict[tuple[str, int], Block] = defaultdict(dict)
    found = sorted(blocks(lines).items())
    for (_, variant, parallel), block in found:
        several[variant, parallel].update(block)
    for (variant, parallel), block in sorted(several.items()):
        groups = [each for each, _ in found if each[1:] == (variant, parallel)]
        if len(groups) > 1:
            parts += _table(_ALL, [line for line in lines if block_of(line) in groups], block)
        for each in groups:
            parts += _table(each[0], [line for line in lines if block_of(line) == each], dict(blocks(lines)[each]))
    broken = [line for line in lines if "error" in line]
    if broken:
        why = "; ".join(sorted({f"{each['peer']}: {each['error']}" for each in broken}))
        parts += ["", f"{len(broken)} runs broke: {why}"]
    return "\n".join(parts) + "\n"


def _table(name: str, lines: Lines, block: Block) -> list[str]:
    """Return the table of a group, or of several together; nothing where no two peers can be ranked."""
    found, count = ranks(block)
    if not found:
        return []
    ours = ours_among(found)
    halves: dict[str, Block] = defaultdict(dict)
    for (task, seed), pair in block.items():
        halves[next(str(line["half"]) for line in lines if line["task"] == task)][task, seed] = pair
    split = {each: ranks(part, list(found))[0] for each, part in sorted(halves.items())}
    scored = {} if name == _ALL else scores(lines, block)
    lengths = "/".join(map(str, sorted({len(line["reached"]) for line in lines if "reached" in line})))
    _, variant, parallel = block_of(lines[0])
    title = f"{name}{'' if variant == 'plain' else f', {variant}'}, {parallel} in flight"
    columns = [
        "peer",
        "mean rank",
        *(f"{each} half" for each in split),
        *(["score"] if scored else []),
        "better / worse (p)",
        "a trial",
    ]
    parts = ["", f"## {title}", "", f"{lengths} trials, {count} pairs of a task and a seed.", ""]
    parts += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    others = sorted({peer for pair in block.values() for peer in pair} - found.keys())
    for peer in (*found, *others):
        cells = [
            f"**{peer}**" if peer == ours else peer,
            _with_spread(found, peer, 2),
            *(_with_spread(part, peer, None) for part in split.values()),
        ]
        cells += [_with_spread(scored, peer, 1)] if scored else []
        cells.append("" if peer == ours else "{} / {} ({:.2g})".format(*versus(block, ours, peer)))
        seconds = [line["seconds"] for line in lines if line["peer"] == peer and "error" not in line]
        cells.append(f"{1000 * float(np.mean(seconds)):,.1f} ms")
        parts.append(f"| {' | '.join(cells)} |")
    return parts


def _with_spread(found: dict[str, tuple[float, float]], peer: str, digits: int | None) -> str:
    """Return a mean with its standard error to some digits; without it for None."""
    if peer not in found:
        return ""
    mean, error = found[peer]
    if digits is None:
        return f"{mean:.2f}"
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


def _about(lines: Lines) -> list[str]:
    machines = {json.dumps(line["machine"], sort_keys=True): line["machine"] for line in lines}
    told = "; ".join(
        f"{each['system']} on {each['cores']} cores of {each['processor'] or each['machine']}"
        for each in machines.values()
    )
    versions = {line["peer"]: line["versions"] for line in lines if "error" not in line}
    each = [
        f"{peer} ({' '.join(f'{name} {version}' for name, version in found.items())})"
        for peer, found in sorted(versions.items())
    ]
    ended = [line["ended"] for line in lines if "ended" in line]
    days = sorted({datetime.fromtimestamp(when, UTC).date().isoformat() for when in ended})
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "at an unknown time"
    return [f"{len(lines)} runs, {when}, {told}.", "", _HOW, "", f"Peers: {', '.join(each)}.", "", _AGAIN]


def picture(lines: Lines) -> str:
    """Return the mean ranks as an SVG picture: a row for each group, variant and parallelism, a mark for each peer."""
    rows = [(name, ranks(block)[0]) for name, block in sorted(blocks(lines).items())]
    rows = [(name, found) for name, found in rows if found]
    peers = sorted({peer for _, found in rows for peer in found})
    most = max((len(found) for _, found in rows), default=1)
    colours = {peer: f"hsl({360 * at // max(len(peers), 1)} 60% 42%)" for at, peer in enumerate(peers)}
    height = 60 + 28 * len(rows) + 18 * len(peers)
    style = f'width="760" height="{height}" font-family="sans-serif" font-size="12" fill="currentColor"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {style}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<g fill="#222">',
    ]
    for at, (name, found) in enumerate(rows):
        y = 40 + 28 * at
        parts.append(f'<text x="8" y="{y + 4}">{name[0]}, {name[1]}, {name[2]} in flight</text>')
        parts.append(f'<line x1="240" x2="740" y1="{y}" y2="{y}" stroke="#ccc"/>')
        for peer, (rank, _) in found.items():
            x = 240 + 500 * (rank - 1) / max(most - 1, 1)
            size = 7 if peer == ours_among(found) else 5
            parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="{size}" fill="{colours[peer]}"/>')
    for at, peer in enumerate(peers):
        y = 60 + 28 * len(rows) + 18 * at
        parts.append(f'<circle cx="16" cy="{y - 4}" r="5" fill="{colours[peer]}"/><text x="28" y="{y}">{peer}</text>')
    parts.append('<text x="240" y="20">mean rank: 1 (best) on the left</text></g></svg>')
    return "\n".join(parts) + "\n"


def write(lines: Lines, page: Path, image: Path) -> list[Path]:
    """Write the page and the picture, and return their paths."""
    made: dict[Path, Any] = {page: text(lines), image: picture(lines)}
    for path, content in made.items():
        path.write_text(content, encoding="utf-8")
    return list(made)
