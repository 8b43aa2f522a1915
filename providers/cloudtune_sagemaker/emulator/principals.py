"""Who sends a request, by the keys that it is signed with, and whether the policies permit what it asks for."""

from collections.abc import Callable

from moto.backends import get_backend
from moto.utilities.utils import get_partition

from cloudtune.emulation.access import Environ
from cloudtune.emulation.authority import CALLER, IDENTITY, Ask, Authority
from cloudtune_sagemaker.emulator.permissions import Request, asks_of, message_of
from cloudtune_sagemaker.emulator.signatures import SIGNER


class Principals:
    """The caller, who has the emulator's own keys, and the role that training jobs run as.

    Args:
        authority: decides by the policies.
        account: twelve digits.
        region: of requests that are signed for none.
        role: the ARN of the role.
        is_roles: says whether an access key id is one of the role's.
    """

    def __init__(
        self, authority: Authority, account: str, region: str, role: str, is_roles: Callable[[str], bool]
    ) -> None:
        self._authority, self._account, self._region = authority, account, region
        self._role, self._is_roles = role, is_roles

    def denial(self, environ: Environ, service: str, operation: str, region: str) -> str:
        """Return the message of the refusal of a request; "" for one that is permitted."""
        if not self._authority.enforces:
            return ""
        who = IDENTITY if self._is_roles(str(environ.get(SIGNER, ""))) else CALLER
        request = Request(environ, service, operation, region or self._region, self._account)
        denied = self._authority.denied(who, *asks_of(request, self._has))
        return "" if denied is None else message_of(denied, self._arn(who))

    def role_denial(self, *asks: Ask) -> str:
        """Return the message of the refusal of actions that SageMaker takes with the role; "" if they are permitted."""
        denied = self._authority.denied(IDENTITY, *asks)
        return "" if denied is None else message_of(denied, self._arn(IDENTITY))

    def _arn(self, who: str) -> str:
        """Return the ARN of a principal: that of moto's only user, or the role's session."""
        start = f"arn:{get_partition(self._region)}:sts::{self._account}"
        if who == CALLER:
            return f"{start}:user/moto"
        return f"{start}:assumed-role/{self._role.rpartition('/')[2]}/SageMaker"

    def _has(self, bucket: str, key: str) -> bool:
        found = get_backend("s3")[self._account][get_partition(self._region)].buckets.get(bucket)
        return found is not None and key in found.keys
