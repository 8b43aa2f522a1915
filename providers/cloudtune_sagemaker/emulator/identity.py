"""What clients of SageMaker ask of IAM and moto does not know."""

from datetime import UTC

from moto.backends import get_backend
from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse
from moto.utilities.utils import get_partition

from cloudtune_sagemaker.emulator.signatures import Key


def given_out(account: str, region: str, name: str) -> Key | None:
    """Return the pair of keys that a client had made for a user (CreateAccessKey) or a role (AssumeRole); None for none.

    Args:
        account: twelve digits.
        region: e.g. ``us-east-1``.
        name: the access key id.
    """
    partition = get_partition(region)
    for user in list(get_backend("iam")[account][partition].users.values()):
        for key in user.access_keys:
            if key.access_key_id == name:
                return Key(key.secret_access_key) if key.status == "Active" else None
    for backends in list(get_backend("sts").values()):  # a role may be another account's
        for role in list(backends[partition].assumed_roles):
            if role.access_key_id == name:
                until = role.expiration.replace(tzinfo=UTC).timestamp()
                return Key(role.secret_access_key, role.session_token, until)
    return None


class IamOperations(IamResponse):
    """Moto's IAM, with simulations: they allow everything, as moto itself does whatever the policies say."""

    def simulate_principal_policy(self) -> ActionResult:
        """SimulatePrincipalPolicy; the principal must exist if it is a role (NoSuchEntity)."""
        source = self._get_param("PolicySourceArn")
        if ":role/" in source:
            self.backend.get_role_by_arn(source)
        results = [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed", "MatchedStatements": []}
            for action in self._get_param("ActionNames")
            for resource in self._get_param("ResourceArns") or ["*"]
        ]
        return ActionResult({"EvaluationResults": results, "IsTruncated": False})
