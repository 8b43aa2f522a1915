"""Requirements of a space: the small language in which a job says which trials are allowed."""

from cloudtune.space.requirements.errors import RequirementError
from cloudtune.space.requirements.reading import quoted
from cloudtune.space.requirements.requirement import Requirement

__all__ = ["Requirement", "RequirementError", "quoted"]
