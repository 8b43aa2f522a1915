"""The errors that SageMaker answers with."""

from moto.sagemaker.exceptions import SagemakerClientError


def invalid(message: str) -> SagemakerClientError:
    """Return the error of a request whose values the service does not accept."""
    return SagemakerClientError("ValidationException", message)


def not_found(message: str) -> SagemakerClientError:
    """Return the error where something that the request names does not exist."""
    return SagemakerClientError("ResourceNotFound", message)


def in_use(message: str) -> SagemakerClientError:
    """Return the error where a name is taken, or something cannot be deleted yet."""
    return SagemakerClientError("ResourceInUse", message)


def over_limit(message: str) -> SagemakerClientError:
    """Return the error where a quota of the account is used up."""
    return SagemakerClientError("ResourceLimitExceeded", message)
