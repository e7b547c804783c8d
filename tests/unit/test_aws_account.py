"""What IAM and EC2 say, and what they do not: answers, errors, and nothing in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sync.account import (
    Account,
    AccountError,
    Gone,
    Instance,
    LastUse,
    NoCredentialsError,
    NotAllowed,
    principal_arn,
)
from sync.ssh_key import parse_public_key
from tests.stacks import key_pair
from tests.unit.aws_stand_in import ACCOUNT, Aws, arn, error, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IAM_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me"


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sEcReT")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for stand_in in running():
        monkeypatch.setenv("AWS_ENDPOINT_URL", stand_in.endpoint)
        yield stand_in


@pytest.fixture
def account(aws: Aws) -> Account:
    assert aws.endpoint
    return Account("us-west-2")


def keys(*listed: str, marker: str = "") -> str:
    more = f"<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>" if marker else ""
    inner = f"<AccessKeyMetadata>{''.join(listed)}</AccessKeyMetadata>{more}"
    return f"<ListAccessKeysResult>{inner}</ListAccessKeysResult>"


def key(key_id: str, status: str, created: str) -> str:
    inner = f"<AccessKeyId>{key_id}</AccessKeyId><Status>{status}</Status>"
    return f"<member><UserName>u</UserName>{inner}<CreateDate>{created}</CreateDate></member>"


def last_used(date: str = "") -> str:
    when = f"<LastUsedDate>{date}</LastUsedDate>" if date else ""
    service = "sts" if date else "N/A"
    inner = f"{when}<ServiceName>{service}</ServiceName><Region>us-east-1</Region>"
    return (
        "<GetAccessKeyLastUsedResult><AccessKeyLastUsed>"
        f"{inner}</AccessKeyLastUsed></GetAccessKeyLastUsedResult>"
    )


def test_access_keys_come_with_age_state_and_last_use(aws: Aws, account: Account) -> None:
    aws.answers(
        "ListAccessKeys",
        keys(key("AKIANEW0123456789", "Active", "2026-02-01T00:00:00Z"), marker="more"),
        keys(key("AKIAOLD0123456789", "Inactive", "2026-01-01T00:00:00Z")),
    )
    aws.answers("GetAccessKeyLastUsed", last_used("2026-02-02T00:00:00Z"), last_used())
    old, new = account.access_keys("production")
    assert (old.access_key_id, old.is_active, old.last_used) == ("AKIAOLD0123456789", False, None)
    assert (new.access_key_id, new.is_active) == ("AKIANEW0123456789", True)
    assert new.created == datetime(2026, 2, 1, tzinfo=UTC)
    assert new.last_used == LastUse(datetime(2026, 2, 2, tzinfo=UTC), "sts", "us-east-1")


def test_the_users_unique_id(aws: Aws, account: Account) -> None:
    user = (
        f"<User><UserId>AIDAX</UserId><UserName>u</UserName><Path>/</Path><Arn>{arn('u')}</Arn>"
        "<CreateDate>2026-01-01T00:00:00Z</CreateDate></User>"
    )
    aws.answers("GetUser", f"<GetUserResult>{user}</GetUserResult>")
    assert account.user_id("u") == "AIDAX"


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine", "AWSCompromisedKeyQuarantine"),
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", "AWSCompromisedKeyQuarantineV3"),
        ("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3", None),
        ("arn:aws:iam::aws:policy/AdministratorAccess", None),
    ],
)
def test_a_quarantine_is_a_policy_of_aws(
    aws: Aws, account: Account, policy: str, found: str | None
) -> None:
    member = f"<member><PolicyName>p</PolicyName><PolicyArn>{policy}</PolicyArn></member>"
    aws.answers(
        "ListAttachedUserPolicies",
        f"<ListAttachedUserPoliciesResult><AttachedPolicies>{member}</AttachedPolicies>"
        "</ListAttachedUserPoliciesResult>",
    )
    assert account.quarantine("u") == found


def test_the_public_key_is_parsed_whatever_its_comment(aws: Aws, account: Account) -> None:
    public = key_pair("production")[1]
    kind, blob, _ = public.split()
    item = f"<item><keyName>p</keyName><publicKey>{kind} {blob} other words</publicKey></item>"
    aws.answers("DescribeKeyPairs", f"<keySet>{item}</keySet>")
    assert account.public_key("p") == parse_public_key(public)
    assert aws.asked[0].arguments["IncludePublicKey"] == "true"


def test_no_key_pair_of_that_name_is_an_answer(aws: Aws, account: Account) -> None:
    aws.answers("DescribeKeyPairs", error("InvalidKeyPair.NotFound"))
    assert account.public_key("p") is None


def test_instances_come_from_every_page_oldest_first(aws: Aws, account: Account) -> None:
    def page(instance: str, launched: str, more: str = "") -> str:
        item = f"<instanceId>{instance}</instanceId><launchTime>{launched}</launchTime>"
        return (
            "<reservationSet><item><instancesSet><item>"
            f"{item}</item></instancesSet></item></reservationSet>"
            + (f"<nextToken>{more}</nextToken>" if more else "")
        )

    aws.answers(
        "DescribeInstances",
        page("i-2", "2026-02-01T00:00:00Z", "more"),
        page("i-1", "2026-01-01T00:00:00Z"),
    )
    assert account.running_instances("p") == [
        Instance("i-1", datetime(2026, 1, 1, tzinfo=UTC)),
        Instance("i-2", datetime(2026, 2, 1, tzinfo=UTC)),
    ]
    asked = aws.asked[0].arguments
    assert asked["Filter.1.Value.1"] == "p"
    states = {value for name, value in asked.items() if name.startswith("Filter.2.Value")}
    assert {"running", "stopped"} <= states
    assert "terminated" not in states


CALLS: dict[str, tuple[str, Callable[[Account], object]]] = {
    "ListAccessKeys": ("AccessDenied", lambda account: account.access_keys("u")),
    "GetUser": ("AccessDenied", lambda account: account.user_id("u")),
    "ListAttachedUserPolicies": ("AccessDenied", lambda account: account.quarantine("u")),
    "DescribeKeyPairs": ("UnauthorizedOperation", lambda account: account.public_key("p")),
    "DescribeInstances": ("UnauthorizedOperation", lambda account: account.running_instances("p")),
    "DeleteAccessKey": (
        "AccessDenied",
        lambda account: account.delete_access_key("u", "AKIA0123456789ABCD"),
    ),
    "DeleteKeyPair": ("UnauthorizedOperation", lambda account: account.delete_key_pair("p")),
}


@pytest.mark.parametrize("action", CALLS)
def test_not_to_be_allowed_is_an_answer_that_names_the_call(
    aws: Aws, account: Account, action: str
) -> None:
    code, call = CALLS[action]
    aws.answers(action, error(code))
    with pytest.raises(NotAllowed, match=rf"^not allowed to call {action}$"):
        call(account)


@pytest.mark.parametrize("action", CALLS)
def test_everything_else_is_an_error_in_one_line(aws: Aws, account: Account, action: str) -> None:
    aws.answers(action, error("Strange", "two\nlines"))
    with pytest.raises(AccountError, match=r"^AWS says Strange: two lines$") as raised:
        CALLS[action][1](account)
    assert not isinstance(raised.value, NotAllowed)


@pytest.mark.parametrize("action", ["ListAccessKeys", "GetUser", "ListAttachedUserPolicies"])
def test_a_user_who_is_gone_is_an_answer(aws: Aws, account: Account, action: str) -> None:
    aws.answers(action, error("NoSuchEntity"))
    with pytest.raises(Gone):
        CALLS[action][1](account)


def test_what_is_gone_already_is_as_good_as_deleted(aws: Aws, account: Account) -> None:
    aws.answers("DeleteAccessKey", error("NoSuchEntity"))
    aws.answers("DeleteKeyPair", error("InvalidKeyPair.NotFound"))
    account.delete_access_key("u", "AKIA0123456789ABCD")
    account.delete_key_pair("p")
    assert [asked.action for asked in aws.asked] == ["DeleteAccessKey", "DeleteKeyPair"]
    assert aws.asked[0].arguments["AccessKeyId"] == "AKIA0123456789ABCD"


def simulated(*decisions: tuple[str, str], missing: str = "") -> str:
    context = f"<MissingContextValues><member>{missing}</member></MissingContextValues>"
    members = "".join(
        f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision>"
        f"{context if missing else ''}</member>"
        for action, decision in decisions
    )
    return (
        "<SimulatePrincipalPolicyResult><EvaluationResults>"
        f"{members}</EvaluationResults></SimulatePrincipalPolicyResult>"
    )


def test_denied_are_the_actions_that_are_denied_on_any_resource(aws: Aws, account: Account) -> None:
    actions = ["iam:DeleteAccessKey", "iam:CreateAccessKey", "iam:UpdateAccessKey"]
    aws.answers(
        "SimulatePrincipalPolicy",
        simulated(
            (actions[0], "allowed"),
            (actions[1], "allowed"),
            (actions[1], "explicitDeny"),
            (actions[2], "implicitDeny"),
        ),
    )
    assert account.denied(ROLE, actions, [arn("u")]) == actions[1:]
    assert aws.asked[0].arguments["PolicySourceArn"] == f"arn:aws:iam::{ACCOUNT}:role/admin"


@pytest.mark.parametrize(
    "answer",
    [
        error("AccessDenied"),
        error("NoSuchEntity"),
        error("InternalFailure"),
        simulated(("iam:GetUser", "implicitDeny"), missing="aws:MultiFactorAuthPresent"),
    ],
)
def test_what_cannot_be_simulated_is_not_called_denied(
    aws: Aws, account: Account, answer: str | tuple[str, str]
) -> None:
    aws.answers("SimulatePrincipalPolicy", answer)
    assert account.denied(ROLE, ["iam:GetUser"], [arn("u")]) == []
    assert aws.asked


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        (arn("admin"), arn("admin")),
        (f"arn:aws:iam::{ACCOUNT}:user/team/admin", f"arn:aws:iam::{ACCOUNT}:user/team/admin"),
        (f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/r/s", f"arn:aws-cn:iam::{ACCOUNT}:role/r"),
        (f"arn:aws:iam::{ACCOUNT}:root", None),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/f", None),
    ],
)
def test_the_principal_behind_a_caller(caller: str, principal: str | None) -> None:
    assert principal_arn(caller) == principal


def test_root_is_not_simulated(aws: Aws, account: Account) -> None:
    assert account.denied(f"arn:aws:iam::{ACCOUNT}:root", ["iam:GetUser"], ["*"]) == []
    assert not aws.asked


def test_without_credentials_it_says_where_they_belong(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    account = Account("us-west-2")
    for call in (account.caller, lambda: account.access_keys("u")):
        with pytest.raises(NoCredentialsError, match="AWS_PROFILE"):
            call()
    assert not aws.asked


def test_the_ambient_credentials_ask_in_the_region(aws: Aws, account: Account) -> None:
    aws.answers("DescribeKeyPairs", error("InvalidKeyPair.NotFound"))
    account.public_key("p")
    (asked,) = aws.asked
    assert asked.key_id == "AKIAAMBIENT"
    assert asked.scope.split("/")[1:3] == ["us-west-2", "ec2"]


def test_a_profile_that_is_missing_is_an_error_in_one_line(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(AccountError, match="missing"):
        Account("us-west-2").access_keys("u")
    assert not aws.asked


@pytest.mark.parametrize(
    ("config", "environ"),
    [
        ("credential_process = /nonexistent/program", {}),
        ("", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token", "AWS_ROLE_ARN": IAM_ROLE}),
    ],
)
def test_what_should_give_credentials_and_does_not_is_an_error_each_time(
    aws: Aws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    environ: dict[str, str],
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config").write_text(f"[default]\n{config}\n")
    account = Account("us-west-2")
    for call in (account.caller, account.caller, lambda: account.access_keys("u")):
        with pytest.raises(AccountError, match="cannot be used: No such file or dir") as raised:
            call()
        assert not isinstance(raised.value, NoCredentialsError)
        assert "nonexistent" not in str(raised.value)
    assert not aws.asked


@pytest.mark.parametrize(
    ("config", "region"), [("", "us-west-2"), ("region = eu-west-1\n", "eu-west-1")]
)
def test_a_role_is_assumed_in_the_region_of_the_profile_or_else_of_the_stack(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", "admin")
    (tmp_path / "credentials").write_text(
        "[source]\naws_access_key_id = AKIASOURCE\naws_secret_access_key = sEcReT\n"
    )
    (tmp_path / "config").write_text(
        f"[profile admin]\nrole_arn = {IAM_ROLE}\nsource_profile = source\n{config}"
    )
    credentials = (
        "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>x</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
    )
    aws.answers(
        "AssumeRole",
        f"<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>",
    )
    aws.answers("DescribeKeyPairs", error("InvalidKeyPair.NotFound"))
    assert Account("us-west-2").public_key("p") is None
    assumed, described = aws.asked
    assert (assumed.key_id, assumed.scope.split("/")[1]) == ("AKIASOURCE", region)
    assert (described.key_id, described.scope.split("/")[1]) == ("ASIAROLE", "us-west-2")
