"""The command replay, which derives a run's suggestions anew."""

from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import run_argument
from cloudtune.cli.looking import json_option
from cloudtune.cli.output import print_json

if TYPE_CHECKING:
    from cloudtune.driver.replay import Replay


@click.command()
@run_argument
@json_option
def replay(run_id: str, *, as_json: bool) -> int:
    """Say whether a run's suggestions can be derived anew: the same seed, order and results give the same trials.

    The exit code is 0 where every suggestion is the trial that was run, and 1 where one differs; the first difference is
    explained. Nothing is launched, and the run stays as it is.

    \b
    Examples:
      cloudtune replay
      cloudtune replay latest --json
    """
    from cloudtune import api  # noqa: PLC0415

    found = api.attach(run_id).replay()
    if as_json:
        print_json(found.to_data())
    else:
        click.echo("\n".join(_lines(found)))
    return 0 if found.same else 1


def _lines(found: "Replay") -> list[str]:
    differing = [each for each in found.trials if not each.same]
    chosen = sum(bool(each.note) for each in found.trials)
    own = f"; {chosen} of them chosen by a user" if chosen else ""
    if not differing:
        return [f"{found.run_id}: all {len(found.trials)} suggestions are the same{own}"]
    first = differing[0]
    return [
        f"{found.run_id}: {len(differing)} of {len(found.trials)} suggestions differ{own}",
        f"the first is trial {first.number}: {first.difference}",
        *(f"  {reason}" for reason in found.reasons),
    ]
