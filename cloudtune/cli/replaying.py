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

    The exit code is 0 where every suggestion is the trial that was run, and 1 where one differs, or cannot be derived since
    the store has not the whole order; the first difference is explained. Nothing is launched, and the run stays as it is.

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
        click.echo("\n".join(said_of(found)))
    return 0 if found.same else 1


def said_of(found: "Replay") -> list[str]:
    """Return lines that say how suggestions compare."""
    count, differing, lost = len(found.trials), sum(each.differs for each in found.trials), found.underivable
    chosen = sum(bool(each.note) for each in found.trials)
    own = f"; {chosen} of them chosen by a user" if chosen else ""
    if found.same:
        return [f"{found.run_id}: all {count} suggestions are the same{own}"]
    first = found.first_difference
    said = [f"{differing} of {count} suggestions differ"] if first else []
    said += [f"{len(lost)} of {count} suggestions cannot be derived, the first is trial {lost[0]}"] if lost else []
    rest = "" if first else "; all others are the same"
    return [
        f"{found.run_id}: {'; '.join(said)}{rest}{own}",
        *([f"the first is trial {first.number}: {first.difference}"] if first else []),
        *(f"  {reason}" for reason in found.reasons),
    ]
