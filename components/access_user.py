"""An IAM user with access keys and a policy of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from components.account import Account
from components.policy import Document, fill_in
from components.rotation import Rotation, resource_name

TYPE: Final = "aws-keys:index:AccessUser"

_PATH: Final = "/"


@dataclass(frozen=True, kw_only=True)
class AccessUserArgs:
    """What an AccessUser takes.

    account: the AWS account to make the user in.
    user_name: name of the IAM user, unique in the account whatever its case.
    policy_name: name of the policy embedded in the user.
    policy: its document, with `${user_arn}` where the user's ARN belongs.
    tags: of the user; access keys and inline policies take none.
    force_destroy: whether access keys, MFA devices and a console login that were added to the
        user elsewhere are deleted with it. They keep it from being deleted otherwise.
    access_key: which generations of its access key are in force.
    """

    account: Account
    user_name: str
    policy_name: str
    policy: Document
    tags: Mapping[str, str]
    force_destroy: bool
    access_key: Rotation


class AccessUser(pulumi.ComponentResource):
    """An IAM user, its access key or two of them, and an inline policy.

    While an access key is being rotated, the two are not protected, whatever the component is: the
    engine deletes only what was unprotected by an earlier update, and either of them may be the
    one to go.

    user_name: name of the user.
    user_arn: its ARN.
    access_key_id: secret here, though it stands in state as the key's resource id.
    secret_access_key: secret.
    previous_access_key_id: secret; of the generation before. None when that is not in force.
    previous_secret_access_key: likewise.
    policy_name: name of the inline policy.
    policy_document: secret; its JSON text, with the user's ARN filled in.
    """

    user_name: pulumi.Output[str]
    user_arn: pulumi.Output[str]
    access_key_id: pulumi.Output[str]
    secret_access_key: pulumi.Output[str]
    previous_access_key_id: pulumi.Output[str] | None
    previous_secret_access_key: pulumi.Output[str] | None
    policy_name: pulumi.Output[str]
    policy_document: pulumi.Output[str]

    def __init__(
        self, name: str, args: AccessUserArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(TYPE, name, None, opts)
        # user.arn is known only once the user is there; the document is to be seen in the very
        # first preview.
        document = fill_in(args.policy, user_arn=args.account.user_arn(_PATH, args.user_name))

        user = aws.iam.User(
            name,
            name=args.user_name,
            path=_PATH,
            force_destroy=args.force_destroy,
            tags=args.tags,
            # AWS can rename a user in place, but then the deletion of its old access key asks
            # for the old name and fails for good. A new user takes new keys with it.
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=["name"]),
        )

        def access_key(generation: int, status: str) -> aws.iam.AccessKey:
            return aws.iam.AccessKey(
                resource_name(name, generation),
                user=user.name,
                status=status,
                opts=pulumi.ResourceOptions(parent=self, protect=False if before else None),
            )

        generation, before = args.access_key.generation, args.access_key.previous
        current = access_key(generation, "Active")
        previous = access_key(generation - 1, before) if before else None
        inline_policy = aws.iam.UserPolicy(
            name,
            name=args.policy_name,
            user=user.name,
            policy=document,
            opts=pulumi.ResourceOptions(parent=self),
        )

        self.user_name = user.name
        self.user_arn = user.arn
        self.access_key_id = pulumi.Output.secret(current.id)
        self.secret_access_key = pulumi.Output.secret(current.secret)
        self.previous_access_key_id = pulumi.Output.secret(previous.id) if previous else None
        self.previous_secret_access_key = (
            pulumi.Output.secret(previous.secret) if previous else None
        )
        self.policy_name = inline_policy.name
        self.policy_document = pulumi.Output.secret(document)
        self.register_outputs(
            {
                "user_name": self.user_name,
                "user_arn": self.user_arn,
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                "previous_access_key_id": self.previous_access_key_id,
                "previous_secret_access_key": self.previous_secret_access_key,
                "policy_name": self.policy_name,
                "policy_document": self.policy_document,
            }
        )
