"""The AWS account: how it is found out, and what follows from it."""

from unittest.mock import Mock

import pulumi
import pulumi_aws
import pytest

from components.account import Account


def test_the_arn_of_a_user_has_partition_account_path_and_name() -> None:
    account = Account(account_id="123456789012", partition="aws-us-gov")

    assert account.user_arn("/team/", "bob") == "arn:aws-us-gov:iam::123456789012:user/team/bob"


def test_of_what_the_sdk_says_only_the_providers_words_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "invoke of X failed: invocation of X returned an error: no credentials"
    monkeypatch.setattr(pulumi_aws, "get_caller_identity", Mock(side_effect=Exception(said)))

    with pytest.raises(pulumi.RunError) as error:
        Account.of_provider()

    assert str(error.value) == "the AWS provider cannot be used: no credentials"
