"""`aws:iam/userPolicy:UserPolicy`: an inline policy of an IAM user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from sandbox.plugins.aws.session import AwsCall
from sandbox.plugins.aws.user import GONE
from sandbox.plugins.resource import Created, Input, PluginError, Resource

if TYPE_CHECKING:
    from sandbox.plugins.aws.session import Session
    from sandbox.plugins.wire import Properties


def same_policy(one: str, other: str) -> bool:
    """Whether two policy documents say the same.

    The order of keys, statements, actions and resources says nothing, nor whether a single one is
    in a list: the real plugin sees no difference there either.
    """
    return bool(_canonical(json.loads(one)) == _canonical(json.loads(other)))


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted(map(_canonical, value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    return value


def _bad_policy(policy: str) -> str | None:
    try:
        document = json.loads(policy)
    except ValueError as error:
        return f"contains an invalid JSON policy: {error}"
    return None if isinstance(document, dict) else "contains an invalid JSON policy: not an object"


class UserPolicy(Resource):
    """Its id is `<user name>:<policy name>`."""

    inputs: ClassVar = {
        "name": Input(named=True, replaces=True),
        "policy": Input(required=True, refuse=_bad_policy, same=same_policy),
        "user": Input(required=True, replaces=True),
    }
    outputs = ("namePrefix",)

    def __init__(self, session: Session) -> None:
        self.session = session

    def create(self, inputs: Properties) -> Created:
        """Put the policy, over one of the same name as IAM does."""
        self._put(inputs)
        return Created(f"{inputs['user']}:{inputs['name']}", {**inputs, "namePrefix": ""})

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return what IAM says; a document that means the same, as it was given."""
        user, name = _parts(resource_id)
        with AwsCall(f"reading IAM User Policy ({resource_id})", unless=GONE):
            answer = self.session.iam.get_user_policy(UserName=user, PolicyName=name)
            policy = json.dumps(answer["PolicyDocument"])
            known = state.get("policy")
            if known and same_policy(known, policy):
                policy = known
            return {"name": name, "namePrefix": "", "policy": policy, "user": user}
        return None

    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - see Resource
        """Put the policy with its new document."""
        self._put(inputs)
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Properties) -> None:  # noqa: ARG002 - see Resource
        """Delete the policy, if the user still has it."""
        user, name = _parts(resource_id)
        with AwsCall(f"deleting IAM User Policy ({resource_id})", unless=GONE):
            self.session.iam.delete_user_policy(UserName=user, PolicyName=name)

    def _put(self, inputs: Properties) -> None:
        user, name = inputs["user"], inputs["name"]
        with AwsCall(f"putting IAM User ({user}) Policy ({name})"):
            self.session.iam.put_user_policy(
                UserName=user, PolicyName=name, PolicyDocument=inputs["policy"]
            )


def _parts(resource_id: str) -> tuple[str, str]:
    user, colon, name = resource_id.partition(":")
    if not colon:
        raise PluginError("user_policy id must be of the form <user name>:<policy name>")
    return user, name
