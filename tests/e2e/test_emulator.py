"""The sandbox's AWS treats access keys as the real one does where it matters for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from sandbox.emulator import emulator
from sandbox.plugins.tls.private_key import PrivateKey
from sandbox.world import World
from tests.e2e.caller import Caller, age, refusal, settle
from tests.e2e.proxy import Held, holding_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_iam.type_defs import AccessKeyLastUsedTypeDef

TAKEN = "taken"
REFUSED = "InvalidClientTokenId"
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine"
MINUTE = 60


def world_of(root: Path) -> Iterator[World]:
    """An AWS alone, without an engine."""
    (root / "tmp").mkdir()
    with emulator(root) as aws:
        environment = {
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ACCESS_KEY_ID": aws.access_key_id,
            "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
        }
        yield World(root, root, environment)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from world_of(tmp_path_factory.mktemp("aws"))


@pytest.fixture
def administrator(aws: World) -> Caller:
    return Caller.administrator(aws)


@pytest.fixture
def user(administrator: Caller, request: pytest.FixtureRequest) -> str:
    """The name of a user with full access to oneself and without a key."""
    name = str(request.node.name.partition("[")[0][-60:]) + str(time.monotonic_ns() % 1000)
    arn = administrator.iam.create_user(UserName=name)["User"]["Arn"]
    administrator.iam.put_user_policy(
        UserName=name, PolicyName="FullAccess", PolicyDocument=document("Allow", "*", arn)
    )
    return name


@pytest.fixture
def young(administrator: Caller, user: str) -> Caller:
    """The user, with a key made just now."""
    key = administrator.iam.create_access_key(UserName=user)["AccessKey"]
    return replace(administrator, key=key["AccessKeyId"], secret=key["SecretAccessKey"])


@pytest.fixture
def caller(young: Caller, user: str) -> Caller:
    """The user, with a key that all of AWS knows."""
    settle(young.world, user)
    return young


def document(effect: str, action: str, resource: str = "*") -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return TAKEN


def last_use(administrator: Caller, of: Caller) -> AccessKeyLastUsedTypeDef:
    return administrator.iam.get_access_key_last_used(AccessKeyId=of.key)["AccessKeyLastUsed"]


# --- who may sign


def test_an_inactive_key_is_refused_by_every_service(
    administrator: Caller, caller: Caller, user: str
) -> None:
    assert caller.iam.get_user()
    administrator.iam.update_access_key(UserName=user, AccessKeyId=caller.key, Status="Inactive")
    with pytest.raises(ClientError, match="The security token included in the request is invalid"):
        caller.sts.get_caller_identity()
    assert refusal(caller.sts.get_caller_identity) == REFUSED
    assert refusal(caller.iam.get_user) == REFUSED
    assert refusal(caller.ec2.describe_instances) == "AuthFailure"


def test_a_deleted_key_is_refused_at_once(administrator: Caller, caller: Caller, user: str) -> None:
    administrator.iam.delete_access_key(UserName=user, AccessKeyId=caller.key)
    assert refusal(caller.sts.get_caller_identity) == REFUSED


def test_a_new_key_is_refused_by_every_service(young: Caller) -> None:
    for call, code in (
        (young.sts.get_caller_identity, REFUSED),
        (young.iam.get_user, REFUSED),
        (young.ec2.describe_instances, "AuthFailure"),
    ):
        age(young.world, young.key, created=0)  # however long a client took to be made
        assert [outcome(call) for _ in range(2)] == [code] * 2


def test_one_success_with_a_new_key_is_no_proof(young: Caller) -> None:
    sts, outcomes = young.sts, []
    for _ in range(5):
        age(young.world, young.key, created=2.5)
        outcomes.append(outcome(sts.get_caller_identity))
    assert outcomes[:4] in ([TAKEN, REFUSED] * 2, [REFUSED, TAKEN] * 2)
    assert outcomes[4] == outcomes[0]


def test_a_new_key_comes_to_be_taken_for_good(administrator: Caller, user: str) -> None:
    before = time.monotonic()
    key = administrator.iam.create_access_key(UserName=user)["AccessKey"]
    made = time.monotonic()
    sts = replace(administrator, key=key["AccessKeyId"], secret=key["SecretAccessKey"]).sts
    while time.monotonic() < made + 4:
        if outcome(sts.get_caller_identity) == TAKEN:
            assert time.monotonic() > before + 2
        time.sleep(0.1)
    assert [outcome(sts.get_caller_identity) for _ in range(4)] == [TAKEN] * 4


def test_a_reactivated_key_is_refused_for_a_moment(
    administrator: Caller, caller: Caller, user: str
) -> None:
    sts, iam = caller.sts, administrator.iam
    for status in ("Inactive", "Active"):
        before = time.monotonic()
        iam.update_access_key(UserName=user, AccessKeyId=caller.key, Status=status)
    after = time.monotonic()
    while time.monotonic() < after + 2:
        if outcome(sts.get_caller_identity) == TAKEN:
            assert time.monotonic() > before + 1
        time.sleep(0.1)
    assert [outcome(sts.get_caller_identity) for _ in range(4)] == [TAKEN] * 4


def test_a_key_that_is_active_and_stays_so_is_taken(
    administrator: Caller, caller: Caller, user: str
) -> None:
    administrator.iam.update_access_key(UserName=user, AccessKeyId=caller.key, Status="Active")
    assert [outcome(caller.sts.get_caller_identity) for _ in range(2)] == [TAKEN] * 2


def test_the_administrators_key_is_taken_from_the_start(tmp_path: Path) -> None:
    for world in world_of(tmp_path):
        sts = Caller.administrator(world).sts
        assert [outcome(sts.get_caller_identity) for _ in range(2)] == [TAKEN] * 2


# --- last use


def test_a_key_that_was_never_used_says_so(administrator: Caller, young: Caller) -> None:
    assert last_use(administrator, young) == {"ServiceName": "N/A", "Region": "N/A"}


def test_a_refused_call_is_no_use(administrator: Caller, young: Caller, user: str) -> None:
    sts = young.sts
    age(young.world, young.key, created=0)
    assert refusal(sts.get_caller_identity) == REFUSED
    settle(young.world, user)
    wrong = replace(young, secret="x" * 40)
    assert refusal(wrong.sts.get_caller_identity) == "SignatureDoesNotMatch"
    assert "LastUsedDate" not in last_use(administrator, young)


@pytest.mark.parametrize(
    ("service", "region"), [("iam", "us-east-1"), ("sts", "us-west-2"), ("ec2", "us-west-2")]
)
def test_a_use_has_time_service_and_region(
    administrator: Caller, caller: Caller, service: str, region: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "iam": caller.iam.get_user,
        "sts": caller.sts.get_caller_identity,
        "ec2": caller.ec2.describe_instances,  # which no policy allows
    }
    outcome(calls[service])
    used = last_use(administrator, caller)
    assert abs(used["LastUsedDate"] - datetime.now(UTC)) < timedelta(seconds=30)
    assert used["LastUsedDate"].microsecond == 0
    assert (used["ServiceName"], used["Region"]) == (service, region)


def test_only_the_first_use_in_a_quarter_of_an_hour_is_recorded(
    administrator: Caller, caller: Caller
) -> None:
    caller.sts.get_caller_identity()
    age(caller.world, caller.key, last_used=14 * MINUTE)
    first = last_use(administrator, caller)
    caller.iam.get_user()
    assert last_use(administrator, caller) == first
    age(caller.world, caller.key, last_used=16 * MINUTE)
    caller.iam.get_user()
    assert last_use(administrator, caller)["ServiceName"] == "iam"


# --- time that tests move


def test_a_test_makes_a_key_old(administrator: Caller, young: Caller, user: str) -> None:
    age(young.world, young.key, created=90 * 24 * 60 * MINUTE, last_used=60 * MINUTE)
    (key,) = administrator.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    second = timedelta(seconds=30)
    assert abs(datetime.now(UTC) - key["CreateDate"] - timedelta(days=90)) < second
    used = last_use(administrator, young)["LastUsedDate"]
    assert abs(datetime.now(UTC) - used - timedelta(hours=1)) < second


def test_a_key_that_is_not_there_cannot_be_made_old(aws: World) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        age(aws, "AKIA0000000000000000", created=0)


# --- whose keys


def test_who_names_no_user_means_oneself(administrator: Caller, caller: Caller, user: str) -> None:
    iam = administrator.iam
    assert refusal(iam.delete_access_key, AccessKeyId=caller.key) == "NoSuchEntity"
    inactive = {"AccessKeyId": caller.key, "Status": "Inactive"}
    assert refusal(iam.update_access_key, **inactive) == "NoSuchEntity"
    (key,) = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert key["Status"] == "Active"
    caller.iam.delete_access_key(AccessKeyId=caller.key)
    assert iam.list_access_keys(UserName=user)["AccessKeyMetadata"] == []


def test_a_key_has_one_creation_date_in_whole_seconds(administrator: Caller, user: str) -> None:
    made = administrator.iam.create_access_key(UserName=user)["AccessKey"]["CreateDate"]
    (key,) = administrator.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert key["CreateDate"] == made
    assert made.microsecond == 0
    assert abs(made - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_user_of_the_same_name_has_another_id(administrator: Caller) -> None:
    iam, ids = administrator.iam, []
    for _ in range(2):
        ids.append(iam.create_user(UserName="again")["User"]["UserId"])
        assert iam.get_user(UserName="again")["User"]["UserId"] == ids[-1]
        iam.delete_user(UserName="again")
    assert ids[0] != ids[1]


# --- policies


def simulated(
    asking: Caller, arn: str, actions: list[str], resources: list[str]
) -> list[tuple[str, str, str]]:
    answer = asking.iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=actions, ResourceArns=resources
    )
    return [
        (result["EvalActionName"], result["EvalResourceName"], result["EvalDecision"])
        for result in answer["EvaluationResults"]
    ]


def arn_of(administrator: Caller, user: str) -> str:
    return administrator.iam.get_user(UserName=user)["User"]["Arn"]


def test_a_simulation_decides_each_action_on_each_resource(
    administrator: Caller, user: str
) -> None:
    me, other = arn_of(administrator, user), "arn:aws:iam::123456789012:user/other"
    administrator.iam.put_user_policy(
        UserName=user, PolicyName="no", PolicyDocument=document("Deny", "iam:DeleteUser")
    )
    actions = ["iam:GetUser", "iam:DeleteUser"]
    assert simulated(administrator, me, actions, [me, other]) == [
        ("iam:GetUser", me, "allowed"),
        ("iam:GetUser", other, "implicitDeny"),
        ("iam:DeleteUser", me, "explicitDeny"),
        ("iam:DeleteUser", other, "explicitDeny"),
    ]


def test_a_simulation_knows_groups_and_attached_policies(administrator: Caller, user: str) -> None:
    iam, me = administrator.iam, arn_of(administrator, user)
    asked = ["ec2:DescribeInstances", "ec2:DescribeKeyPairs"]
    assert [how for *_, how in simulated(administrator, me, asked, ["*"])] == ["implicitDeny"] * 2
    made = iam.create_policy(
        PolicyName="look", PolicyDocument=document("Allow", "ec2:DescribeInstances")
    )
    iam.attach_user_policy(UserName=user, PolicyArn=made["Policy"]["Arn"])
    iam.create_group(GroupName="lookers")
    iam.put_group_policy(
        GroupName="lookers",
        PolicyName="look",
        PolicyDocument=document("Allow", "ec2:DescribeKeyPairs"),
    )
    iam.add_user_to_group(GroupName="lookers", UserName=user)
    assert [how for *_, how in simulated(administrator, me, asked, ["*"])] == ["allowed"] * 2


def test_a_simulation_without_a_resource_is_of_all(administrator: Caller, user: str) -> None:
    (result,) = administrator.iam.simulate_principal_policy(
        PolicySourceArn=arn_of(administrator, user), ActionNames=["iam:GetUser"]
    )["EvaluationResults"]
    assert (result["EvalResourceName"], result["EvalDecision"]) == ("*", "implicitDeny")


def test_one_simulates_only_whom_one_may(administrator: Caller, caller: Caller, user: str) -> None:
    me = arn_of(administrator, user)
    assert simulated(caller, me, ["iam:GetUser"], [me]) == [("iam:GetUser", me, "allowed")]
    other = arn_of(administrator, "administrator")
    with pytest.raises(ClientError, match="AccessDenied"):
        simulated(caller, other, ["iam:GetUser"], [other])


def test_a_simulation_of_what_is_not_there_is_told(administrator: Caller, user: str) -> None:
    for arn in (f"{arn_of(administrator, user)}x", "arn:aws:iam::123456789012:role/any"):
        with pytest.raises(ClientError, match="NoSuchEntity"):
            simulated(administrator, arn, ["iam:GetUser"], ["*"])


def test_a_simulation_does_not_ignore_what_it_does_not_know(
    administrator: Caller, user: str
) -> None:
    me = arn_of(administrator, user)
    with pytest.raises(ClientError, match=r"InvalidInput.* does not simulate PolicyInputList"):
        administrator.iam.simulate_principal_policy(
            PolicySourceArn=me,
            ActionNames=["iam:GetUser"],
            PolicyInputList=[document("Allow", "*")],
        )


@pytest.mark.parametrize("version", ["V2", "V3"])
def test_a_quarantine_can_be_attached_seen_and_felt(
    administrator: Caller, caller: Caller, user: str, version: str
) -> None:
    arn = QUARANTINE + version
    administrator.iam.attach_user_policy(UserName=user, PolicyArn=arn)
    (attached,) = administrator.iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
    assert attached == {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn}
    assert refusal(caller.iam.create_access_key) == "AccessDenied"
    me = arn_of(administrator, user)
    assert simulated(administrator, me, ["iam:CreateAccessKey"], [me])[0][2] == "explicitDeny"
    administrator.iam.detach_user_policy(UserName=user, PolicyArn=arn)
    assert caller.iam.create_access_key()


# --- key pairs


def test_a_key_pair_tells_its_public_key_and_its_instances(administrator: Caller) -> None:
    ec2 = administrator.ec2
    public = PrivateKey().create({"algorithm": "ED25519"}).properties["publicKeyOpenssh"].strip()
    ec2.import_key_pair(KeyName="used", PublicKeyMaterial=public.encode())
    (pair,) = ec2.describe_key_pairs(KeyNames=["used"], IncludePublicKey=True)["KeyPairs"]
    assert pair["PublicKey"].split()[:2] == public.split()[:2]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, KeyName="used")
    found = {
        name: [
            instance["KeyName"]
            for reservation in ec2.describe_instances(
                Filters=[{"Name": "key-name", "Values": [name]}]
            )["Reservations"]
            for instance in reservation["Instances"]
        ]
        for name in ("used", "unused")
    }
    assert found == {"used": ["used"], "unused": []}


# --- the proxy that holds answers back

CREATE = "import boto3, sys; boto3.client('iam').create_access_key(UserName=sys.argv[1])"


@pytest.fixture
def held(aws: World) -> Iterator[Held]:
    with holding_back(aws.environment["AWS_ENDPOINT_URL"], "Action=CreateAccessKey") as held:
        yield held


@pytest.fixture
def through(administrator: Caller, held: Held) -> Caller:
    """The administrator, who calls AWS through the proxy."""
    environment = {**administrator.world.environment, "AWS_ENDPOINT_URL": held.endpoint}
    return replace(administrator, world=replace(administrator.world, environment=environment))


def keys(administrator: Caller, user: str) -> list[str]:
    found = administrator.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    return [key["AccessKeyId"] for key in found]


def test_a_client_can_be_killed_between_the_effect_of_its_call_and_the_answer(
    administrator: Caller, user: str, held: Held, through: Caller
) -> None:
    environment = {**through.world.environment, "AWS_DEFAULT_REGION": "us-west-2"}
    with subprocess.Popen([sys.executable, "-c", CREATE, user], env=environment) as client:
        assert held.reached.wait(30)
        assert client.poll() is None
        client.kill()
    assert len(keys(administrator, user)) == 1


def test_an_answer_that_is_held_back_comes_when_it_is_released(
    user: str, held: Held, through: Caller
) -> None:
    with ThreadPoolExecutor() as pool:
        made = pool.submit(through.iam.create_access_key, UserName=user)
        try:
            assert held.reached.wait(30)
            there = keys(through, user)  # whose answer is not held
            assert not made.done()
        finally:
            held.release.set()
        assert there == [made.result(30)["AccessKey"]["AccessKeyId"]]
    assert through.iam.create_access_key(UserName=user)


def test_a_refusal_comes_through_the_proxy(through: Caller) -> None:
    wrong = replace(through, secret="x" * 40)
    assert refusal(wrong.sts.get_caller_identity) == "SignatureDoesNotMatch"
