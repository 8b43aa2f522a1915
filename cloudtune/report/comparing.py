"""Several runs beside each other: the best so far by trials and by time."""

from collections.abc import Sequence

from cloudtune.report.charts import best_so_far
from cloudtune.report.figures import Axis, Chart, Colour, Dash, Series
from cloudtune.report.looks import time_unit, value_axis
from cloudtune.report.study import Study
from cloudtune.report.words import short

_COLOURS: tuple[Colour, ...] = ("blue", "amber", "green", "red", "grey")
_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot")


def comparison(studies: Sequence[Study]) -> list[Chart]:
    """Return charts of the best so far of each run: by ended trials, and by the time since its start; [] where no run has a best.

    Runs of another first objective than the first run's are left out, which the caption says.
    """
    first = studies[0].objective
    alike = [each for each in studies if (each.objective.metric, each.objective.goal) == (first.metric, first.goal)]
    lines = [(study, best_so_far(study)) for study in alike]
    shown = [(study, line) for study, line in lines if line]
    if not shown:
        return []
    values = value_axis((value for _, line in shown for _, _, value in line), first.goal)
    longest = max(study.latest - (study.record.started or study.record.created) for study, _ in shown)
    unit, seconds = time_unit(longest)
    by_trials: list[Series] = []
    by_time: list[Series] = []
    for index, (study, line) in enumerate(shown):
        looks: tuple[Colour, Dash] = _COLOURS[index % 5], _DASHES[index // 5 % 3]
        start, ended = study.record.started or study.record.created, sum(each.state.ended for each in study.trials)
        places = [*(float(place) for place, _, _ in line), float(ended)]
        times = [*((when - start) / seconds for _, when, _ in line), (study.latest - start) / seconds]
        heights = [*(value for _, _, value in line), line[-1][2]]
        for found, x in ((by_trials, places), (by_time, times)):
            found.append(
                Series("steps", short(study.record.id, 40), x, heights, colour=looks[0], dash=looks[1], size=2.2)
            )
    other = len(studies) - len(alike)
    remark = f" {other} of the runs have another objective, and are not drawn." if other else ""
    caption = (
        f"The best {first.metric} ({first.goal}d) of each run, by the trials that have ended.{remark}{values.remark}"
    )
    later = f"The same by the time since each run's start.{values.remark}"
    axis = values.titled(first.metric)
    return [
        Chart(caption, Axis("ended trials", "count"), axis, by_trials),
        Chart(later, Axis(f"{unit} since the start"), axis, by_time),
    ]
