"""The tables that a comparison prints."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from engines import OURS
from rich.console import Console
from rich.table import Table
from runs import Outcome
from scipy.stats import rankdata, wilcoxon
from tasks import task

Finals = dict[str, dict[str, dict[int, float]]]
"""task → engine → seed → the true loss of the best trial at the end."""


def report(outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints medians, regrets, ranks, and what a paired test says of us and the best peer."""
    finals: Finals = defaultdict(lambda: defaultdict(dict))
    for outcome in outcomes:
        finals[outcome.case.task][outcome.case.engine][outcome.case.seed] = outcome.reached[-1]
    engines = list(dict.fromkeys(outcome.case.engine for outcome in outcomes))
    flying = outcomes[0].case.parallel
    console.print(f"\nBest of {len(outcomes[0].reached)} evaluations, {flying} in flight: the median over the seeds")
    console.print(_medians(finals, engines))
    console.print("Normalised regret: (best - optimum) / (random's median - optimum), the median over the seeds")
    console.print(_regrets(finals, engines))
    console.print("Mean rank over seeds, 1 is best (ties share)")
    console.print(_ranks(finals, engines))
    if OURS in engines and len(engines) > 1:
        console.print(
            f"{OURS} and the best peer of each task (by median): Wilcoxon's signed-rank test over paired seeds"
        )
        console.print(_tests(finals, engines))
    seconds = defaultdict(list)
    for outcome in outcomes:
        seconds[outcome.case.engine].append(outcome.seconds)
    console.print(
        "seconds in the engine a run: " + ", ".join(f"{name} {np.mean(each):.2f}" for name, each in seconds.items())
    )


def _medians(finals: Finals, engines: Sequence[str]) -> Table:
    table = Table("task", "", *engines)
    for name, by_engine in finals.items():
        cells = [
            f"{np.median(list(by_engine[engine].values())):.5g}" if by_engine[engine] else "" for engine in engines
        ]
        table.add_row(name, task(name).half, *cells)
    return table


def optimum(name: str, by_engine: dict[str, dict[int, float]]) -> float:
    """The least loss of a task: the known one, else the least that anybody found."""
    known = task(name).optimum
    return min(min(seeds.values()) for seeds in by_engine.values()) if np.isnan(known) else known


def _regrets(finals: Finals, engines: Sequence[str]) -> Table:
    table = Table("task", "", *engines)
    means: dict[str, list[float]] = defaultdict(list)
    for name, by_engine in finals.items():
        least = optimum(name, by_engine)
        unit = float(np.median(list(by_engine["random"].values()))) - least if by_engine.get("random") else 1.0
        regrets = {
            engine: (float(np.median(list(by_engine[engine].values()))) - least) / unit if by_engine[engine] else np.nan
            for engine in engines
        }
        for engine, regret in regrets.items():
            means[engine].append(regret)
        table.add_row(name, task(name).half, *(f"{regrets[engine]:.3f}" for engine in engines))
    table.add_section()
    table.add_row("mean", "", *(f"{np.nanmean(means[engine]):.3f}" for engine in engines))
    return table


def _ranks(finals: Finals, engines: Sequence[str]) -> Table:
    table = Table("task", "", *engines)
    means = []
    for name, by_engine in finals.items():
        seeds = sorted(set.intersection(*(set(by_engine[engine]) for engine in engines)))
        if not seeds:
            continue
        losses = np.array([[by_engine[engine][seed] for engine in engines] for seed in seeds])
        ranks = np.mean([rankdata(np.round(row, 12)) for row in losses], axis=0)
        means.append(ranks)
        table.add_row(name, task(name).half, *(f"{rank:.2f}" for rank in ranks))
    table.add_section()
    if means:
        table.add_row("mean", "", *(f"{rank:.2f}" for rank in np.mean(means, axis=0)))
    return table


def _tests(finals: Finals, engines: Sequence[str]) -> Table:
    table = Table("task", "", "best peer", "its median", "ours", "won / tied / lost", "p (two-sided)", "verdict")
    for name, by_engine in finals.items():
        peers = [engine for engine in engines if not engine.startswith(OURS) and by_engine[engine]]
        best = min(peers, key=lambda engine: (np.median(list(by_engine[engine].values())), engine))
        seeds = sorted(set(by_engine[OURS]) & set(by_engine[best]))
        ours = np.array([by_engine[OURS][seed] for seed in seeds])
        theirs = np.array([by_engine[best][seed] for seed in seeds])
        apart = np.where(np.abs(ours - theirs) <= 1e-9 * np.abs(theirs), 0.0, ours - theirs)
        p = float(wilcoxon(apart).pvalue) if np.any(apart) and len(seeds) > 1 else 1.0
        verdict = "no difference" if p >= 0.05 else "better" if np.median(apart) < 0 else "WORSE"
        counts = f"{np.sum(apart < 0)} / {np.sum(apart == 0)} / {np.sum(apart > 0)}"
        table.add_row(
            name,
            task(name).half,
            best,
            f"{np.median(theirs):.5g}",
            f"{np.median(ours):.5g}",
            counts,
            f"{p:.3f}",
            verdict,
        )
    return table
