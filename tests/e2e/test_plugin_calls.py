"""The calls the stand-ins make, against the sandbox's AWS and without an engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.plugins.aws.access_key import AccessKey
from sandbox.plugins.aws.key_pair import KeyPair
from sandbox.plugins.aws.session import Session
from sandbox.plugins.aws.user import User
from sandbox.plugins.aws.user_policy import UserPolicy
from sandbox.plugins.decisions import DEFAULTS, check
from sandbox.plugins.resource import PluginError, Resource
from sandbox.plugins.tls.private_key import PrivateKey
from tests.e2e.caller import Caller

if TYPE_CHECKING:
    from sandbox.world import World

ED25519 = PrivateKey().create({"algorithm": "ED25519"}).properties["publicKeyOpenssh"]
DOCUMENT = {"Effect": "Allow", "Action": ["iam:GetUser", "iam:ListAccessKeys"], "Resource": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [DOCUMENT]})
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.fixture
def session(world: World, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name, value in world.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    session = Session()
    session.configure({"region": "us-west-2"})
    return session


@pytest.fixture
def administrator(world: World) -> Caller:
    return Caller.administrator(world)


def checked(resource: Resource, **inputs: str | dict[str, str]) -> dict[str, Any]:
    complete, failures = check(resource, "x", {}, inputs, b"")
    assert failures == []
    complete.pop(DEFAULTS)
    return complete


def test_a_key_pair_from_beginning_to_end(session: Session, administrator: Caller) -> None:
    pairs = KeyPair(session)
    given = checked(pairs, keyName="whole", publicKey=ED25519.strip(), tags={"a": "b", "c": "d"})
    made = pairs.create(given)
    assert made.id == "whole"
    assert pairs.read(made.id, made.properties) == made.properties
    wanted = checked(pairs, keyName="whole", publicKey=ED25519.strip(), tags={"a": "z"})
    updated = pairs.update(made.id, made.properties, wanted)
    (pair,) = administrator.ec2.describe_key_pairs(KeyNames=["whole"])["KeyPairs"]
    assert pair["Tags"] == [{"Key": "a", "Value": "z"}]
    assert updated == pairs.read(made.id, updated)
    pairs.delete(made.id, updated)
    assert pairs.read(made.id, updated) is None
    pairs.delete(made.id, updated)


def test_a_key_pairs_final_newline_differs_at_the_first_refresh(session: Session) -> None:
    pairs = KeyPair(session)
    made = pairs.create(checked(pairs, keyName="newline", publicKey=ED25519))
    assert made.properties["publicKey"] == ED25519
    read = pairs.read(made.id, made.properties)
    assert read
    assert read["publicKey"] == ED25519.strip()


def test_a_key_pair_is_in_its_own_region(session: Session, administrator: Caller) -> None:
    pairs = KeyPair(session)
    given = checked(pairs, keyName="far", publicKey=ED25519, region="eu-central-1")
    made = pairs.create(given)
    assert made.properties["arn"] == "arn:aws:ec2:eu-central-1:123456789012:key-pair/far"
    names = [pair["KeyName"] for pair in administrator.ec2.describe_key_pairs()["KeyPairs"]]
    assert "far" not in names
    pairs.delete(made.id, made.properties)
    assert pairs.read(made.id, made.properties) is None


def test_a_user_from_beginning_to_end(session: Session, administrator: Caller) -> None:
    users = User(session)
    made = users.create(checked(users, name="before", tags={"a": "b", "c": "d"}))
    assert users.read(made.id, made.properties) == made.properties | {"permissionsBoundary": None}
    wanted = checked(users, name="after", path="/team/", tags={"a": "z"})
    updated = users.update(made.id, made.properties, wanted)
    user = administrator.iam.get_user(UserName="after")["User"]
    assert (user["Path"], user["Tags"]) == ("/team/", [{"Key": "a", "Value": "z"}])
    assert updated["arn"] == "arn:aws:iam::123456789012:user/team/after"
    users.delete(made.id, updated)
    assert users.read(made.id, updated) is None
    users.delete(made.id, updated)


def test_a_user_leaves_its_groups(session: Session, administrator: Caller) -> None:
    users = User(session)
    made = users.create(checked(users, name="member"))
    administrator.iam.create_group(GroupName="club")
    administrator.iam.add_user_to_group(GroupName="club", UserName="member")
    users.delete(made.id, made.properties)
    assert administrator.iam.get_group(GroupName="club")["Users"] == []


def test_a_user_with_a_strangers_key_is_deleted_only_by_force(
    session: Session, administrator: Caller
) -> None:
    users = User(session)
    made = users.create(checked(users, name="keyed"))
    administrator.iam.create_access_key(UserName="keyed")
    administrator.iam.create_login_profile(UserName="keyed", Password="pass-Word-1")
    with pytest.raises(PluginError, match=r"DeleteConflict: .* must delete access keys first"):
        users.delete(made.id, made.properties)
    users.delete(made.id, made.properties | {"forceDestroy": True})
    assert users.read(made.id, made.properties) is None


def test_an_access_key_from_beginning_to_end(session: Session, administrator: Caller) -> None:
    administrator.iam.create_user(UserName="keys")
    keys = AccessKey(session)
    made = keys.create(checked(keys, user="keys", status="Inactive"))
    assert keys.read(made.id, made.properties) == made.properties
    updated = keys.update(made.id, made.properties, checked(keys, user="keys"))
    (key,) = administrator.iam.list_access_keys(UserName="keys")["AccessKeyMetadata"]
    assert (key["AccessKeyId"], key["Status"]) == (made.id, "Active")
    assert keys.read(made.id, updated) == updated
    keys.delete(made.id, updated)
    assert keys.read(made.id, updated) is None
    keys.delete(made.id, updated)


def test_an_imported_access_key_finds_its_user_and_has_no_secret(
    session: Session, administrator: Caller
) -> None:
    administrator.iam.create_user(UserName="imported")
    key = administrator.iam.create_access_key(UserName="imported")["AccessKey"]
    read = AccessKey(session).read(key["AccessKeyId"], {})
    assert read
    assert (read["user"], read["status"]) == ("imported", "Active")
    assert "secret" not in read
    assert AccessKey(session).read("AKIA0000000000000000", {}) is None


def test_a_policy_from_beginning_to_end(session: Session, administrator: Caller) -> None:
    administrator.iam.create_user(UserName="subject")
    policies = UserPolicy(session)
    made = policies.create(checked(policies, user="subject", name="p", policy=POLICY))
    assert made.id == "subject:p"
    reordered = POLICY.replace(
        '"iam:GetUser", "iam:ListAccessKeys"', '"iam:ListAccessKeys", "iam:GetUser"'
    )
    read = policies.read(made.id, made.properties | {"policy": reordered})
    assert read
    assert read["policy"] == reordered
    denied = POLICY.replace("Allow", "Deny")
    updated = policies.update(
        made.id, made.properties, checked(policies, user="subject", name="p", policy=denied)
    )
    document: Any = administrator.iam.get_user_policy(UserName="subject", PolicyName="p")
    assert document["PolicyDocument"]["Statement"][0]["Effect"] == "Deny"
    policies.delete(made.id, updated)
    assert policies.read(made.id, updated) is None
    policies.delete(made.id, updated)


def test_a_policy_changed_by_somebody_is_told_as_it_is(
    session: Session, administrator: Caller
) -> None:
    administrator.iam.create_user(UserName="changed")
    policies = UserPolicy(session)
    made = policies.create(checked(policies, user="changed", name="p", policy=POLICY))
    administrator.iam.put_user_policy(
        UserName="changed", PolicyName="p", PolicyDocument=POLICY.replace("Allow", "Deny")
    )
    read = policies.read(made.id, made.properties)
    assert read
    assert json.loads(read["policy"])["Statement"][0]["Effect"] == "Deny"


def test_an_id_that_is_none_is_told(session: Session) -> None:
    with pytest.raises(PluginError, match=r"must be of the form <user name>:<policy name>"):
        UserPolicy(session).read("nonsense", {})


def test_the_providers_tags_are_not_the_resources_own(session: Session) -> None:
    session.configure({"region": "us-west-2", "defaultTags": '{"tags": {"team": "ops"}}'})
    users = User(session)
    made = users.create(checked(users, name="tagged", tags={"a": "b"}))
    read = users.read(made.id, made.properties)
    assert read
    assert (read["tags"], read["tagsAll"]) == ({"a": "b"}, {"a": "b", "team": "ops"})


def test_what_aws_refuses_is_told_in_its_words(session: Session) -> None:
    users = User(session)
    users.create(checked(users, name="taken"))
    with pytest.raises(PluginError, match=r"^creating IAM User \(taken\): EntityAlreadyExists: "):
        users.create(checked(users, name="taken"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"allowedAccountIds": '["210987654321"]'}, "AWS account ID not allowed: 123456789012"),
        ({"allowedAccountIds": "[210987654321]"}, "AWS account ID not allowed: 123456789012"),
        ({"forbiddenAccountIds": '["123456789012"]'}, "AWS account ID not allowed: 123456789012"),
        ({"region": ""}, "no AWS region: set aws:region or AWS_REGION"),
        ({"profile": "nobody"}, "unable to validate AWS credentials: The config profile (nobody)"),
    ],
)
def test_a_provider_that_cannot_be_used_says_why(
    session: Session, settings: dict[str, str], text: str
) -> None:
    assert session
    with pytest.raises(PluginError) as raised:
        Session().configure({"region": "us-west-2"} | settings)
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize("accounts", ['["210987654321", "123456789012"]', "[123456789012]"])
def test_an_account_that_is_allowed_is(session: Session, accounts: str) -> None:
    session.configure({"region": "us-west-2", "allowedAccountIds": accounts})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch: "),
        ("AWS_ACCESS_KEY_ID", "AKIA0000000000000000", "InvalidClientTokenId: "),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "Could not connect to the endpoint"),
    ],
)
def test_credentials_that_do_not_work_say_so(
    session: Session, monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    assert session
    monkeypatch.setenv(name, value)
    with pytest.raises(PluginError) as raised:
        Session().configure({"region": "us-west-2"})
    assert str(raised.value).startswith(f"unable to validate AWS credentials: {text}")
