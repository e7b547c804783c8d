"""The AWS account that a stack lives in."""

from dataclasses import dataclass
from typing import Self

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class Account:
    """An AWS account.

    account_id: its 12 digits.
    partition: the part of AWS that it is in, with ARNs of its own: `aws`, `aws-cn`, `aws-us-gov`.
    """

    account_id: str
    partition: str

    @classmethod
    def of_provider(cls) -> Self:
        """Ask the provider for the account that its credentials belong to.

        Raises pulumi.RunError with what the provider says when it cannot tell: there are no
        credentials, they are wrong, or they are of an account that `aws:allowedAccountIds` leaves
        out.
        """
        try:
            return cls(
                account_id=aws.get_caller_identity().account_id,
                partition=aws.get_partition().partition,
            )
        except Exception as error:  # the SDK raises nothing narrower
            said = str(error).rpartition("returned an error: ")[2]
            raise pulumi.RunError(f"the AWS provider cannot be used: {said}") from error

    def user_arn(self, path: str, name: str) -> str:
        """Return the ARN of a user of this account. `path` begins and ends with a slash.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        """
        return f"arn:{self.partition}:iam::{self.account_id}:user{path}{name}"
