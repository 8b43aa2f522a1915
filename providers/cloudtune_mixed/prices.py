"""What trials cost on the profiles of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.planning.rates import Rate
from cloudtune.spec.job import TuningJob
from cloudtune_mixed.part import place_in


def machine_on(profile: str, plan: Plan, kind: str = "") -> str:
    """Return the name by which a profile's machine is charged.

    Args:
        profile: its name; the same type may have another price on another profile.
        plan: of the job on the profile.
        kind: the machine type; "" for that of the plan.
    """
    return place_in(profile, kind or ("a machine" if plan.machines is None else plan.machines.kind))


def rates_of(plans: Mapping[str, Plan]) -> tuple[Rate, ...]:
    """Return the prices of all profiles' machines; none if they are in several currencies."""
    if len(_currencies(plans)) > 1:
        return ()
    return tuple(
        replace(rate, machine=machine_on(profile, plan, rate.machine), count=machines.count, kept=machines.kept)
        for profile, plan in plans.items()
        for rate in plan.rates
        if (machines := plan.machines) is not None
    )


def notes_on_prices(job: TuningJob, plans: Mapping[str, Plan]) -> Iterator[Note]:
    """Yield what the prices of several profiles mean together, beside what each of them has noted."""
    currencies = _currencies(plans)
    if len(currencies) > 1:
        which = ", those of ".join(f"{' and '.join(profiles)} in {each}" for each, profiles in currencies.items())
        message = f"the prices of {which}: give them in one currency in [prices]"
        asked = job.limits.cost is not None
        unknown = "" if asked else "what the run costs is not known, since "
        yield Note("limits.cost", Support.UNSUPPORTED if asked else Support.UNCHECKED, unknown + message)
        if job.cost_place is not None:
            yield Note(f"{job.cost_place}.metric", Support.UNSUPPORTED, message)
    unpriced = [profile for profile, plan in plans.items() if not plan.rates]
    if currencies and unpriced and job.limits.cost is None:
        message = f"nothing says what trials cost on {', '.join(unpriced)}: what the run costs is known but for those"
        yield Note("limits.cost", Support.UNCHECKED, message)


def by_price(plans: Mapping[str, Plan], rented: Mapping[str, bool]) -> list[str]:
    """Return the profiles, those first whose trials cost least an hour; equals in their order.

    Without a known price, a machine of one's own counts as free, and one of a service as the dearest.

    Args:
        plans: by the profile's name.
        rented: whether trials run on machines of a service, by the profile's name.
    """

    def hourly(profile: str) -> Decimal:
        rates, machines = plans[profile].rates, plans[profile].machines
        if rates and machines is not None:
            return rates[0].amount(3600, machines.count)
        return Decimal("inf" if rented[profile] else 0)

    return sorted(plans, key=hourly)


def _currencies(plans: Mapping[str, Plan]) -> dict[str, list[str]]:
    """Return the profiles by the currency of their prices."""
    found: dict[str, list[str]] = {}
    for profile, plan in plans.items():
        for currency in {rate.currency for rate in plan.rates}:
            found.setdefault(currency, []).append(profile)
    return found
