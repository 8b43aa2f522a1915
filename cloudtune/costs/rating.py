"""Put the prices of a plan's machines into it, and refuse a budget that no price can be held against."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

from cloudtune.machines.accelerators import accelerator, neutral
from cloudtune.machines.catalogue import Catalogue
from cloudtune.machines.machine import Accelerator, Machine, Price
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.planning.rates import Rate
from cloudtune.spec.compute import Compute
from cloudtune.spec.job import TuningJob


def rated(plan: Plan, job: TuningJob, catalogue: Catalogue, region: str, *, away: bool) -> Plan:
    """Return a plan with the rates of its machines, and notes on what needs a price: a budget, the objective ``cost``. Pure.

    Args:
        plan: of the job.
        job: in the words of the service.
        catalogue: of the service, with the user's prices.
        region: whose prices count.
        away: whether trials run elsewhere than on this machine, which costs nothing that is said by nobody.
    """
    unpriced = "its machine"
    if plan.machines is not None and not plan.rates:
        kinds = (plan.machines.kind, *plan.machines.others)
        rates = {kind: _rate(kind, job.compute, catalogue, region) for kind in kinds}
        known = _of_one_currency(rates.values())
        unpriced = next((kind for kind, rate in rates.items() if rate not in known), kinds[0])
        needed = job.limits.cost is not None or job.cost_place is not None
        if len(known) == len(rates) or not needed:
            plan = replace(plan, rates=known)
    remedy = _remedy(unpriced, plan.provider, catalogue, region)
    return _measured(_budgeted(plan, job, remedy, away=away), job, remedy)


def _of_one_currency(rates: Iterable[Rate | None]) -> tuple[Rate, ...]:
    """Return the rates that are known, in the currency of the first: no others can be added to them."""
    known = [rate for rate in rates if rate is not None]
    return tuple(rate for rate in known if rate.currency == known[0].currency)


def _rate(kind: str, compute: Compute, catalogue: Catalogue, region: str) -> Rate | None:
    machine = catalogue.machine(kind, _accelerator(compute)) or _own(catalogue.service, kind, compute)
    price = catalogue.prices.of(machine, region)
    hourly = None if price is None else price.hourly(spot=compute.spot)
    if price is None:
        return None
    if hourly is not None:
        return _rate_of(kind, price, compute.spot)
    # Where only the full price is known, it is the most that the cheaper capacity costs. On SageMaker it is what is
    # paid: there the saving is in the billed seconds (DescribeTrainingJob, BillableTimeInSeconds).
    return None if price.on_demand is None else _rate_of(kind, price, spot=False)


def _rate_of(kind: str, price: Price, spot: bool) -> Rate | None:
    hourly = price.hourly(spot=spot)
    if hourly is None:
        return None
    source = price.described(dt.datetime.now(dt.UTC).date())
    otherwise = price.hourly(spot=not spot)
    return Rate(kind, hourly, price.currency, spot, source, price.estimated, otherwise=otherwise)


def _accelerator(compute: Compute) -> Accelerator | None:
    asked = compute.accelerators
    kind = None if asked is None else neutral(asked.type)
    return None if asked is None or kind is None else accelerator(kind, asked.count)


def _own(service: str, kind: str, compute: Compute) -> Machine:
    """Return a machine that no list has, such as one of the user's own, as far as the job says what it has.

    Its accelerators cost what any do, also those whose name is of the place alone, such as ``gpu``.
    """
    asked = compute.accelerators
    held = None if asked is None else _accelerator(compute) or Accelerator(asked.type, asked.count)
    return Machine(service, kind, compute.cpus or 1, compute.memory or 1, held)


def _remedy(kind: str, provider: str, catalogue: Catalogue, region: str) -> tuple[str, str]:
    """Return what is not known of a machine, and where to say it."""
    what = f"{kind} in {region}" if region else f"a {kind}"
    entry = f'"{kind}" = …' if catalogue.machines else "hour = …"
    return (
        f"nothing says what {what} costs",
        f"say it in cloudtune.toml, below [prices.{provider}]: {entry} (money an hour)",
    )


def _budgeted(plan: Plan, job: TuningJob, remedy: tuple[str, str], *, away: bool) -> Plan:
    limit = job.limits.cost
    if limit is None:
        return plan
    unknown, say_it = remedy
    if not plan.rates:
        if away:
            return _noted(plan, "limits.cost", Support.UNSUPPORTED, f"{unknown}: {say_it}, or leave the budget out")
        return _noted(plan, "limits.cost", Support.APPROXIMATE, f"of no effect, since {unknown}; {say_it}")
    currency = plan.rates[0].currency
    if limit.currency not in ("", currency):
        message = (
            f"the prices are in {currency}: give the budget in {currency}, or prices in {limit.currency} in [prices]"
        )
        return _noted(plan, "limits.cost", Support.UNSUPPORTED, message)
    return plan


def _measured(plan: Plan, job: TuningJob, remedy: tuple[str, str]) -> Plan:
    """Return a plan with a note that says who reports the metric ``cost`` of an objective or constraint, where that is not the program for sure."""
    if job.cost_place is None:
        return plan
    path, (unknown, say_it) = f"{job.cost_place}.metric", remedy
    if plan.support(path) is Support.UNSUPPORTED:
        return plan  # which says why
    if plan.mode == "managed":
        message = "the service does not know what a trial costs; take it away, or give a regex if the program prints it"
        return _noted(plan, path, Support.UNSUPPORTED, message)
    if plan.rates:
        message = f"cloudtune reports what the trial cost in {plan.rates[0].currency}, unless its program reports it"
        return _noted(plan, path, Support.UNCHECKED, message)
    message = f"the program has to report it, since {unknown}; if it does not, {say_it}"
    return _noted(plan, path, Support.APPROXIMATE, message)


def _noted(plan: Plan, path: str, support: Support, message: str) -> Plan:
    return plan.with_notes([Note(path, support, message)])
