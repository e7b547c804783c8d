"""An IAM user with an access key and a policy of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from components.account import Account
from components.policy import Document, fill_in

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
    """

    account: Account
    user_name: str
    policy_name: str
    policy: Document
    tags: Mapping[str, str]
    force_destroy: bool


class AccessUser(pulumi.ComponentResource):
    """An IAM user, its access key, and an inline policy.

    user_name: name of the user.
    user_arn: its ARN.
    access_key_id: secret here, though it stands in state as the key's resource id.
    secret_access_key: secret.
    policy_name: name of the inline policy.
    policy_document: secret; its JSON text, with the user's ARN filled in.
    """

    user_name: pulumi.Output[str]
    user_arn: pulumi.Output[str]
    access_key_id: pulumi.Output[str]
    secret_access_key: pulumi.Output[str]
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
        access_key = aws.iam.AccessKey(
            name, user=user.name, opts=pulumi.ResourceOptions(parent=self)
        )
        inline_policy = aws.iam.UserPolicy(
            name,
            name=args.policy_name,
            user=user.name,
            policy=document,
            opts=pulumi.ResourceOptions(parent=self),
        )

        self.user_name = user.name
        self.user_arn = user.arn
        self.access_key_id = pulumi.Output.secret(access_key.id)
        self.secret_access_key = pulumi.Output.secret(access_key.secret)
        self.policy_name = inline_policy.name
        self.policy_document = pulumi.Output.secret(document)
        self.register_outputs(
            {
                "user_name": self.user_name,
                "user_arn": self.user_arn,
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                "policy_name": self.policy_name,
                "policy_document": self.policy_document,
            }
        )
