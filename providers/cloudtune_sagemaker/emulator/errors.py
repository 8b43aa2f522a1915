"""The errors that SageMaker answers with."""

from moto.sagemaker.exceptions import SagemakerClientError


def invalid(message: str) -> SagemakerClientError:
    """A request whose values the service does not accept."""
    return SagemakerClientError("ValidationException", message)


def not_found(message: str) -> SagemakerClientError:
    """Something that the request names does not exist."""
    return SagemakerClientError("ResourceNotFound", message)


def in_use(message: str) -> SagemakerClientError:
    """A name is taken, or something cannot be deleted yet."""
    return SagemakerClientError("ResourceInUse", message)


def over_limit(message: str) -> SagemakerClientError:
    """A quota of the account is used up."""
    return SagemakerClientError("ResourceLimitExceeded", message)
