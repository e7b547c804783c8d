# ruff: noqa: SLF001 - moto has no other way to decide a call differently
"""What IAM calls are about, what policies would decide, and policies that AWS has made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.iam import models
from moto.iam.access_control import IAMPolicy, IAMUserAccessKey, PermissionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import IAMException, NotFoundException
from moto.iam.models import AWSManagedPolicy
from moto.iam.responses import IamResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.iam.models import User

# Calls that mean the caller when they name no user.
_OF_THE_CALLER = {
    "ChangePassword",
    "CreateAccessKey",
    "DeleteAccessKey",
    "GetUser",
    "ListAccessKeys",
    "ListMFADevices",
    "UpdateAccessKey",
}

# What a simulation may be asked beside, and is not answered here.
_NOT_SIMULATED = (
    "CallerArn",
    "ContextEntries",
    "PermissionsBoundaryPolicyInputList",
    "PolicyInputList",
    "ResourceHandlingOption",
    "ResourceOwner",
    "ResourcePolicy",
)


def install() -> None:
    """Teach moto. Policies of AWS's own are in the default account, in partition `aws`."""
    # moto's own methods, as mypy rightly says.
    IamResponse._determine_resource = _knowing_users(  # type: ignore[method-assign,assignment]
        IamResponse._determine_resource
    )
    for name in ("update_access_key", "delete_access_key"):
        setattr(IamResponse, name, _of_the_caller(getattr(IamResponse, name)))
    IamResponse.simulate_principal_policy = simulate  # type: ignore[attr-defined]
    _add_policies_of_aws()


def user_arn(call: IamResponse) -> str:
    """Return the ARN of the user an IAM call is about, or `*` if it is about none.

    That is what AWS compares with the `Resource` of a policy, says the Service Authorization
    Reference, "Actions, resources, and condition keys for AWS Identity and Access Management".
    """
    name = call._get_param("UserName")
    action = call._get_action()
    if call._get_param("GroupName"):
        return "*"  # about the group
    if name in call.backend.users:
        return str(call.backend.users[name].arn)
    if name:
        path = call._get_param("Path") or "/"
        return f"arn:{call.partition}:iam::{call.current_account}:user{path}{name}"
    if action == "SimulatePrincipalPolicy":
        return str(call._get_param("PolicySourceArn"))
    if action == "GetAccessKeyLastUsed":
        key = call._get_param("AccessKeyId")
    elif action in _OF_THE_CALLER:
        key = call.get_access_key()
    else:
        return "*"
    user = call.backend.get_user_from_access_key_id(key)
    return str(user.arn) if user else "*"


def _knowing_users(original: Callable[[IamResponse], str]) -> Callable[[IamResponse], str]:
    """Have IAM calls decided by the user they are about: moto knows roles only."""

    def determine(call: IamResponse) -> str:
        resource = original(call)
        return user_arn(call) if resource == "*" else resource

    return determine


def _of_the_caller(
    original: Callable[[IamResponse], ActionResult],
) -> Callable[[IamResponse], ActionResult]:
    """Have a call that names no user be about the caller's key: moto takes anybody's."""

    def method(call: IamResponse) -> ActionResult:
        if not call._get_param("UserName"):
            caller = call.backend.get_user_from_access_key_id(call.get_access_key())
            if caller:
                call.params["UserName"] = caller.name
        return original(call)

    return method


def simulate(call: IamResponse) -> ActionResult:
    """Answer `SimulatePrincipalPolicy` for a user: a result for each action on each resource."""
    for name in _NOT_SIMULATED:
        if call._get_param(name):
            raise IAMException("InvalidInput", f"the sandbox's AWS does not simulate {name}")
    source = call._get_param("PolicySourceArn")
    user = next((user for user in call.backend.users.values() if user.arn == source), None)
    if user is None:
        raise NotFoundException(f"The user {source} cannot be found.")
    policies = _policies_of(user, call)
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": _decision(policies, action, resource),
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in call._get_param("ActionNames")
        for resource in call._get_param("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _policies_of(user: User, call: IamResponse) -> list[IAMPolicy]:
    """The policies of a user and its groups, as moto collects them for somebody who calls."""
    # Such a signer is made of a key. This one has none, as the user need not have.
    signer = IAMUserAccessKey.__new__(IAMUserAccessKey)
    signer.account_id, signer.partition = call.current_account, call.partition
    signer._owner_user_name = user.name
    return [IAMPolicy(policy) for policy in signer.collect_policies()]


def _decision(policies: list[IAMPolicy], action: str, resource: str) -> str:
    results = {policy.is_action_permitted(action, resource) for policy in policies}
    if PermissionResult.DENIED in results:
        return "explicitDeny"
    return "allowed" if PermissionResult.PERMITTED in results else "implicitDeny"


def _add_policies_of_aws() -> None:
    """Add those for compromised keys. All 1,582 would take 0.7 s and 45 MB at every start."""
    backend = models.iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for name, data in json.loads(aws_managed_policies_data).items():
        if name.startswith("AWSCompromisedKeyQuarantine"):
            policy = AWSManagedPolicy.from_data(name, DEFAULT_ACCOUNT_ID, "us-east-1", data)
            backend.aws_managed_policies.append(policy)
            backend.managed_policies[policy.arn] = policy
