"""What a user may do from the page with ``--control``; each does what the command of its name does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune import api
from cloudtune.errors import ConfigError
from cloudtune.looking.given import given_values
from cloudtune.run import Run
from cloudtune.store.enqueued import shown

Given = Mapping[str, Any]
"""The body of a request: plain data of a user."""


def _cancel(run: Run, given: Given) -> str:
    _only(given)
    if run.state.ended:
        raise ConfigError(f"{run.id} has ended already: {run.state.value}")
    run.cancel()
    return f"{run.id} is being cancelled"


def _stop(run: Run, given: Given) -> str:
    _only(given, "trial")
    number = given.get("trial")
    if type(number) is not int:
        raise ConfigError("`trial` takes the number of a trial")
    run.stop_trial(number)
    return f"trial {number} is being stopped"


def _resume(run: Run, given: Given) -> str:
    _only(given)
    return _go_on(run)


def _extend(run: Run, given: Given) -> str:
    _only(given, "trials", "cost", "time")
    more = {name: str(value).strip().removeprefix("+") for name, value in given.items() if str(value).strip()}
    if not more:
        raise ConfigError("say how many more trials, how much more cost, or how much longer")
    api.check_detachable(run, detach=True)
    run.extend(**more)  # type: ignore[arg-type]  # texts, as for the command
    return _go_on(run)


def _retry(run: Run, given: Given) -> str:
    _only(given, "trials", "failed")
    numbers, failed = given.get("trials", []), given.get("failed", False)
    if not isinstance(numbers, list) or any(type(each) is not int for each in numbers) or not isinstance(failed, bool):
        raise ConfigError("`trials` takes a list of numbers, and `failed` true or false")
    api.check_detachable(run, detach=True)
    run.retry(*numbers, failed=failed)
    return _go_on(run)


def _try(run: Run, given: Given) -> str:
    _only(given, "values")
    values = given_values(str(given.get("values", "")).split(), run.job.search_space())
    state = run.enqueue(values)
    when = "is run before the next suggestion"
    if state.value != "running":
        when = f"is run when {run.id} goes on ({state.value} now)"
    return f"{shown(values)} {when}"


def _go_on(run: Run) -> str:
    """Have a run go on by a process of its own, as ``resume --detach``."""
    with api.revived(run, detach=True):
        run.resume()
    return f"{run.id} goes on"


def _only(given: Given, *names: str) -> None:
    if odd := sorted(set(given) - set(names)):
        raise ConfigError(f"there is no {odd[0]!r} here; this takes {', '.join(names) or 'nothing'}")


ACTIONS: dict[str, Callable[[Run, Given], str]] = {
    "cancel": _cancel,
    "stop": _stop,
    "resume": _resume,
    "extend": _extend,
    "retry": _retry,
    "try": _try,
}


def act(project: Path, run_id: str, action: str, given: Given) -> str:
    """Do something with a run, with connections of the calling thread's own; return a sentence of what was done.

    Raises:
        CloudtuneError: it cannot be done; says why.
    """
    return ACTIONS[action](api.attach(run_id, project=project), given)
