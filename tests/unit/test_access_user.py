"""An IAM user with an access key and an inline policy: what is registered, what it tells."""

import json

import pulumi
import pytest

from components.access_user import AccessUser, AccessUserArgs
from components.account import Account
from components.rotation import Rotation
from tests.unit.mocks import (
    ACCESS_KEY,
    ACCESS_USER,
    ACCOUNT_ID,
    STACK,
    UNKNOWN,
    USER,
    USER_POLICY,
    Engine,
    Secret,
    run,
)

ARN = f"arn:aws-cn:iam::{ACCOUNT_ID}:user/deployer"
FIRST = Rotation(1, "")


def deploy(
    *,
    force_destroy: bool = False,
    access_key: Rotation = FIRST,
    opts: pulumi.ResourceOptions | None = None,
    preview: bool = False,
) -> Engine:
    args = AccessUserArgs(
        account=Account(account_id=ACCOUNT_ID, partition="aws-cn"),
        user_name="deployer",
        policy_name="FullAccess",
        policy={"Resource": "${user_arn}"},
        tags={"team": "ops"},
        force_destroy=force_destroy,
        access_key=access_key,
    )
    return run(lambda: AccessUser("access", args, opts), Engine(preview=preview))


def test_it_is_a_user_an_access_key_and_an_inline_policy_under_one_component() -> None:
    engine = deploy()

    assert engine.registered[0].type == ACCESS_USER
    assert {(each.type, each.name, each.parent_type) for each in engine.registered} == {
        (ACCESS_USER, "access", STACK),
        (USER, "access", ACCESS_USER),
        (ACCESS_KEY, "access", ACCESS_USER),
        (USER_POLICY, "access", ACCESS_USER),
    }


@pytest.mark.parametrize("force_destroy", [True, False])
def test_the_user_has_its_name_and_tags_and_goes_with_strange_keys_only_when_told(
    *, force_destroy: bool
) -> None:
    assert deploy(force_destroy=force_destroy).resource(USER).inputs == {
        "name": "deployer",
        "path": "/",
        "forceDestroy": force_destroy,
        "tags": {"team": "ops"},
    }


def test_a_user_of_another_name_is_a_new_user() -> None:
    options = deploy().resource(USER).options

    assert options.replaceOnChanges == ["name"]
    assert not options.deleteBeforeReplace, "should the new name be taken, the old user stays"


def test_key_and_policy_belong_to_the_user() -> None:
    engine = deploy()

    assert engine.resource(ACCESS_KEY).inputs == {"user": "deployer", "status": "Active"}
    assert engine.resource(USER_POLICY).inputs == {
        "name": "FullAccess",
        "user": "deployer",
        "policy": json.dumps({"Resource": ARN}, separators=(",", ":")),
    }
    for type_ in (ACCESS_KEY, USER_POLICY):
        [user] = engine.resource(type_).options.propertyDependencies["user"].urns
        assert user.endswith("aws:iam/user:User::access"), "or it is made before its user"


def test_the_policy_is_known_in_the_first_preview_though_the_user_is_not() -> None:
    engine = deploy(preview=True)

    assert engine.outputs[ACCESS_USER]["user_arn"] == UNKNOWN
    assert ARN in engine.resource(USER_POLICY).inputs["policy"]


def test_secret_access_key_and_the_password_made_from_it_are_secrets_of_their_resource() -> None:
    options = deploy().resource(ACCESS_KEY).options

    assert set(options.additionalSecretOutputs) == {"secret", "sesSmtpPasswordV4"}


def test_it_tells_names_in_clear_and_keys_and_policy_as_secrets() -> None:
    assert deploy().outputs[ACCESS_USER] == {
        "user_name": "deployer",
        "user_arn": "arn as AWS tells it",
        "access_key_id": Secret("id of access"),
        "secret_access_key": Secret("secret of access"),
        "policy_name": "FullAccess",
        "policy_document": Secret(json.dumps({"Resource": ARN}, separators=(",", ":"))),
    }


def test_keys_are_secret_before_they_are_known() -> None:
    outputs = deploy(preview=True).outputs[ACCESS_USER]

    assert outputs["access_key_id"] == outputs["secret_access_key"] == Secret(UNKNOWN)


@pytest.mark.parametrize("protect", [True, False])
def test_protection_of_the_component_is_protection_of_all_it_holds(*, protect: bool) -> None:
    engine = deploy(opts=pulumi.ResourceOptions(protect=protect))

    assert [each.options.protect for each in engine.registered] == [protect] * 4


def test_a_later_generation_is_a_key_of_its_own() -> None:
    engine = deploy(access_key=Rotation(3, ""))

    assert engine.names(ACCESS_KEY) == ["access-3"]
    assert engine.outputs[ACCESS_USER]["access_key_id"] == Secret("id of access-3")


@pytest.mark.parametrize(
    ("generation", "names"), [(2, ("access-2", "access")), (3, ("access-3", "access-2"))]
)
@pytest.mark.parametrize("status", ["Active", "Inactive"])
def test_the_key_of_the_generation_before_has_its_status_beside_the_active_one(
    generation: int, names: tuple[str, str], status: str
) -> None:
    engine = deploy(access_key=Rotation(generation, status))

    assert [
        (name, engine.resource(ACCESS_KEY, name).inputs) for name in engine.names(ACCESS_KEY)
    ] == [
        (names[0], {"user": "deployer", "status": "Active"}),
        (names[1], {"user": "deployer", "status": status}),
    ]


def test_both_keys_are_told_as_secrets() -> None:
    outputs = deploy(access_key=Rotation(2, "Active")).outputs[ACCESS_USER]

    assert {name: text for name, text in outputs.items() if "access_key" in name} == {
        "access_key_id": Secret("id of access-2"),
        "secret_access_key": Secret("secret of access-2"),
        "previous_access_key_id": Secret("id of access"),
        "previous_secret_access_key": Secret("secret of access"),
    }


def test_while_it_is_rotated_the_access_keys_are_not_protected_and_all_else_is() -> None:
    engine = deploy(access_key=Rotation(2, "Inactive"), opts=pulumi.ResourceOptions(protect=True))

    assert [(each.type, each.options.protect) for each in engine.registered] == [
        (ACCESS_USER, True),
        (USER, True),
        (ACCESS_KEY, False),
        (ACCESS_KEY, False),
        (USER_POLICY, True),
    ]
    assert all(each.options.HasField("protect") for each in engine.registered)


def test_after_its_rotation_the_access_key_is_protected_again() -> None:
    engine = deploy(access_key=Rotation(2, ""), opts=pulumi.ResourceOptions(protect=True))

    assert [each.options.protect for each in engine.registered] == [True] * 4
