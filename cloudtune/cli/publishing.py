"""The command publish: copy a run to Optuna, MLflow, TensorBoard or W&B."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import run_argument
from cloudtune.cli.looking import json_option
from cloudtune.cli.output import print_json
from cloudtune.looking.data import seen_text

if TYPE_CHECKING:
    from cloudtune.publishing.target import Published


@click.command()
@run_argument
@click.option("--optuna", metavar="URL", help="A study in Optuna's storage: sqlite:///study.db, a journal's path, ….")
@click.option("--mlflow", metavar="URI", help="Runs in MLflow: a server's https://…, sqlite:///mlflow.db, ….")
@click.option(
    "--experiment", metavar="NAME", help="MLflow's experiment; default: MLFLOW_EXPERIMENT_NAME, else the job's."
)
@click.option(
    "--tensorboard",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Event files for TensorBoard's HParams and scalars.",
)
@click.option(
    "--wandb",
    metavar="PROJECT",
    help="Runs in Weights & Biases: PROJECT or ENTITY/PROJECT; WANDB_MODE=offline for files.",
)
@click.option("--to", metavar="NAME=ADDRESS", multiple=True, help="A target by its name, also of another package.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@json_option
def publish(
    run_id: str, optuna: str | None, mlflow: str | None, experiment: str | None, tensorboard: Path | None,
    wandb: str | None, to: tuple[str, ...], *, follow: bool, as_json: bool,
) -> int:  # fmt: skip
    """Bring a run to Optuna, MLflow, TensorBoard or W&B: as it is now, or with --follow until it has ended.

    Do it again whenever you like: what is there already stays as it is, and nothing comes twice. So it may be stopped at
    any moment (Ctrl-C; the run goes on) and started again.

    \b
    Examples:
      cloudtune publish --optuna sqlite:///study.db --follow
      cloudtune publish digits-svc-2f9c31aa --mlflow http://localhost:5000 --tensorboard ./logs
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.looking.asking import ask  # noqa: PLC0415
    from cloudtune.publishing import publisher_of  # noqa: PLC0415

    run = api.attach(run_id)
    trouble = "" if follow else ask([run]).get(run.id, "")
    if trouble:
        click.echo(f"{run.id}: {seen_text(run.record, trouble)}", err=True)
    if experiment is not None and mlflow is None:
        raise click.UsageError("--experiment is MLflow's; give --mlflow URI, too")
    targets = publisher_of(
        run,
        to=_addresses(to),
        optuna=optuna,
        mlflow=mlflow,
        experiment=experiment,
        tensorboard=tensorboard,
        wandb=wandb,
    )
    with targets as publisher:
        if follow and not as_json:
            _show(publisher.published)
            click.echo(f"publishing {run.id} until it ends; Ctrl-C stops this, not the run", err=True)
        state = publisher.publish(follow=follow, tell=lambda message: click.echo(message, err=True))
        published = publisher.published
    if as_json:
        print_json(
            {
                "run": run.id,
                "state": state.value,
                "emulated": run.record.emulated,
                "published": [_data(each) for each in published],
            }
        )
        return 0
    if not follow:
        _show(published)
    for each in published:
        for note in each.notes:
            click.echo(f"note: {each.target}: {note}", err=True)
    click.echo(f"{run.id}: {state.value}, {sum(run.counts().values())} trials published", err=True)
    return 0


def _addresses(to: tuple[str, ...]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for each in to:
        name, equals, address = each.partition("=")
        if not (name and equals and address):
            raise click.UsageError(f"--to takes NAME=ADDRESS, not {each!r}")
        if name in addresses:
            raise click.UsageError(f"two addresses of {name}; publish to them one after the other")
        addresses[name] = address
    return addresses


def _show(published: "list[Published]") -> None:
    for each in published:
        click.echo(f"{each.target}: {each.name}\n  {each.look}")


def _data(each: "Published") -> dict[str, object]:
    return {"target": each.target, "address": each.address, "name": each.name, "look": each.look, "notes": each.notes}
