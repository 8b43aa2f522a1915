"""The public record of the search: every peer on every task, kept as data, with tables and a picture made from them.

    python benchmarks/search/record install HEBO Vizier "Optuna GP"      # an environment of its own for each
    python benchmarks/search/record run --groups hpob bbob --minutes 600
    python benchmarks/search/record tables                               # a page and a picture beside the data
    python benchmarks/search/record keep                                 # what was run, among what is kept here

Needs here: pip install --no-deps bocode && pip install coco-experiment scikit-learn. What is in the data is not run again, so a
run may be killed at any moment and goes on with the same command. A whole record takes days; wants a machine that does nothing else.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from catalogue import ALL, peers_of  # after the threads are limited
from groups import GROUPS, VARIANTS, half
from installing import install
from keeping import pack, unpack
from page import write
from running import Case, kept, run_all
from tables import seen

FOLDER = Path.home() / ".cache" / "cloudtune" / "record"
KEPT = Path(__file__).parent / "kept.jsonl"
_DOCS = Path(__file__).parents[3] / "docs"
PAGE = (_DOCS / "how-it-works" / "record.md", _DOCS / "pictures" / "record.svg")
"""The page of the kept data, and its picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the environments and the data")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("install", help="make the environments of peers, and try whether each works")
    making.add_argument("peers", nargs="*", default=list(ALL))
    run = commands.add_parser("run", help="run what the data lacks")
    run.add_argument("--groups", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    run.add_argument("--peers", nargs="*", default=list(ALL), choices=list(ALL))
    run.add_argument("--variants", nargs="*", default=["plain"], choices=list(VARIANTS))
    run.add_argument("--parallel", nargs="*", type=int, default=[1], help="trials in flight, such as 1 8 64")
    run.add_argument("--half", choices=["design", "report", "all"], default="all")
    run.add_argument("--tasks", nargs="*", help="names, in the place of all of a group")
    run.add_argument("--seeds", type=int, default=10)
    run.add_argument("--budget", type=int, help="evaluations of a run, in the place of the group's")
    run.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    keeping = commands.add_parser(
        "keep", help="add the data to that of this repository, and write its page of the documentation"
    )
    keeping.add_argument("files", nargs="*", type=Path, help="other data, in the place of the folder's")
    showing = commands.add_parser("tables", help="write RECORD.md and ranks.svg from the data")
    showing.add_argument("--kept", action="store_true", help="of the data of this repository")
    showing.add_argument(
        "--at", type=int, help="after so many evaluations, in the place of those of most runs of a group"
    )
    showing.add_argument("--peers", nargs="*", choices=list(ALL), help="in the place of all")
    asked = parser.parse_args()
    data = asked.folder / "record.jsonl"
    if asked.command == "install":
        for peer in asked.peers:
            print(install(peer, asked.folder / "environments"), flush=True)
    elif asked.command == "run":
        until = time.monotonic() + 60 * asked.minutes
        for said in run_all(_cases(asked), data, asked.folder / "environments", until, asked.budget):
            print(said, flush=True)
    if asked.command == "keep":
        every = [line for path in asked.files or [data] for line in kept(path)]
        KEPT.write_text(pack([*unpack(KEPT), *every]), encoding="utf-8")
        _say(write(seen(unpack(KEPT)), *PAGE))
    elif asked.command != "install":
        shown = (asked.at, asked.peers) if asked.command == "tables" else ()
        lines = unpack(KEPT) if asked.command == "tables" and asked.kept else kept(data)
        _say(write(seen(lines, *shown), asked.folder / "RECORD.md", asked.folder / "ranks.svg"))


def _say(paths: list[Path]) -> None:
    for path in paths:
        print(f"wrote {path}")


def _cases(asked: argparse.Namespace) -> list[Case]:
    """Return the cases of a run: seed after seed, so that a part of a record has every task."""
    tasks = [
        (group, name)
        for group in asked.groups
        for name in GROUPS[group].names()
        if (asked.tasks is None or name in asked.tasks) and asked.half in ("all", half(name))
    ]
    return [
        Case(group, name, variant, parallel, seed, peer)
        for seed in range(asked.seeds)
        for parallel in asked.parallel
        for variant in asked.variants
        for group, name in tasks
        for peer in asked.peers
        if peer in peers_of(GROUPS[group].follows)
    ]


if __name__ == "__main__":
    main()
