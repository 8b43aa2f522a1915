"""The settings of the strategy ``vizier``, and what plans say of it."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloudtune.search import StrategySpec
from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.strategies import Remark, Searched, Seed
from cloudtune_vertex.vizier.codecs import flat, nested

PRICES = "https://cloud.google.com/vertex-ai/pricing"
"""Where Google says what Vizier costs; no table of prices here has it."""

LOCAL = ("gp", "random", "nsga2")
"""Algorithms of the open google-vizier."""

_SERVICE = ("default", "random")

Name = Annotated[str, Field(min_length=1)]


class VizierSpec(StrategySpec):
    """Google's Vizier: Vertex AI's service, which keeps the trials as a study, or with ``local: true`` the open google-vizier on this machine."""

    type: Literal["vizier"] = "vizier"
    local: bool = False
    """Whether the open google-vizier (extra ``vizier-local``) suggests the trials here; no service is asked then."""
    project: Name | None = None
    """The Google Cloud project of the study; null for the profile's."""
    location: Name | None = None
    """The region of the study; null for the profile's, else us-central1."""
    profile: Name = "vertex"
    """The profile of cloudtune.toml that says the project, the region and how Vertex AI is reached."""
    study: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The study's display name, or its full name (projects/…/locations/…/studies/…): one that is there goes on, with what it knows; null for a new one that is named after the run."""
    algorithm: Literal["default", "random", "gp", "nsga2"] = "default"
    """default or random at the service; gp (the default), random or nsga2 with local: true."""
    noise: Literal["low", "high"] | None = None
    """How repeatable trials are, as far as Vizier should assume (observation_noise); null leaves it to Vizier. Of the service alone."""
    early_stopping: Literal["median", "curve"] | None = None
    """Vizier's own rule for stopping trials, by what they report; each report is a call of the service. Of the service alone."""
    seed: Seed | None = None
    """Makes the run repeatable, with local: true; the service takes none."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        asked = {"noise": self.noise, "early_stopping": self.early_stopping, "study": self.study}
        asked |= {"project": self.project, "location": self.location}
        said = [name for name, value in asked.items() if value is not None]
        if self.local and said:
            raise ValueError(f"{said[0]} is of Vertex AI's service; take it away, or local: true")
        if not self.local and self.seed is not None:
            raise ValueError("the service takes no seed; take it away, or say local: true for the open google-vizier")
        if self.algorithm not in ("default", *(LOCAL if self.local else _SERVICE)):
            known = ", ".join(dict.fromkeys(("default", *LOCAL) if self.local else _SERVICE))
            where = "the open google-vizier" if self.local else "the service (local: true has more)"
            raise ValueError(f"algorithm {self.algorithm!r} is none of {where}: {known}")
        return self

    @property
    def stops_trials(self) -> bool:
        return self.early_stopping is not None

    @property
    def derivable(self) -> bool:
        return self.local

    @property
    def services(self) -> tuple[str, ...]:
        return () if self.local else ("vertex",)

    @property
    def charges(self) -> bool:
        return not self.local

    @property
    def on_constraints(self) -> str:
        if self.local:
            return "a trial that violates a constraint is told to google-vizier as one that is worse than every feasible one"
        return "Vizier takes what is beyond each bound as a safety metric, which suggestions keep as far as they can"

    def remarks(self, searched: Searched) -> Iterator[Remark]:
        if self.local:
            slow = ", in some 15 s of one core each" if self.algorithm in ("default", "gp") else ""
            yield Remark(
                "strategy", "encoded", f"the open google-vizier suggests the trials on the driver's machine{slow}"
            )
        else:
            yield Remark("strategy", "encoded", self._where())
        codec = flat(searched.space) if self.local else nested(searched.space)
        yield from _of_space(codec)
        if searched.require:
            message = "a suggestion that does not meet them is told to Vizier as infeasible, and another is asked for"
            yield Remark("require", "encoded", message)
        if self.early_stopping and len(searched.objective) > 1:
            message = "Vizier stops no trials of several objectives early; take it away"
            yield Remark("strategy.early_stopping", "unsupported", message)
        yield from self._of_warm_start(searched)

    def _where(self) -> str:
        place = f"the project {self.project}" if self.project else f"the project of the profile {self.profile}"
        study = "named after the run" if self.study is None else repr(self.study)
        return (
            f"Vertex AI Vizier suggests the trials, by the study {study} in {place}; what it charges for a suggestion "
            f"counts in no budget (limits.cost); {PRICES} says it, and you may, as [prices.vizier] suggestion = …"
        )

    def _of_warm_start(self, searched: Searched) -> Iterator[Remark]:
        if searched.warm_start is None:
            return
        if searched.warm_start.kind == "transfer":
            message = "Vizier takes no trials of related experiments: they are not used"
            yield Remark("warm_start", "approximate", message)
        elif not self.local:
            yield Remark("warm_start", "encoded", "trials of earlier runs are added to the study as completed ones")


def _of_space(codec: SpaceCodec) -> Iterator[Remark]:
    for encoded in codec.encoded_dimensions:
        steps = [each.describe() for each in encoded.codecs if not isinstance(each, NumberAsText | ValuesAsText)]
        path = f"space.{encoded.dimension.name}"
        if codec.masked(encoded):
            message = "Vizier always samples it; the trial does not see it where its condition does not hold"
            yield Remark(path, "approximate", message)
        elif steps:
            yield Remark(path, "encoded", "; ".join(steps))
