"""What clients of SageMaker ask of IAM and moto does not know."""

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse


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
