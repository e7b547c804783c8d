"""What speaks against a step of a rotation, with an account of AWS that answers as it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from sync.account import AccessKey, Account, AccountError, Gone, Instance, LastUse, NotAllowed
from sync.checks import Checks
from sync.deployment import (
    ACCESS_KEY,
    KEY_PAIR,
    PRIVATE_KEY,
    USER,
    Deployment,
    KnownAccessKey,
)
from sync.engine import StackError
from sync.identity import Identity
from sync.rotation import State
from sync.ssh_key import PublicKey, parse_public_key
from tests.stacks import ACCOUNT, access_key, key_pair, rotating, stack_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.stack import StackKeys

T = TypeVar("T")
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)
OLD, NEW = access_key("previous/production")[0], access_key("production")[0]
FOREIGN = "AKIAFOREIGNFOREIGN99"
CALLER = Identity(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/admin")


class FakeAccount(Account):
    """Answers what its attributes say; an answer that is an exception is raised."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.asked: list[tuple[str, Sequence[str], Sequence[str]]] = []
        self.there: list[AccessKey] | Exception = []
        self.id: str | Exception = "AIDA1"
        self.of: Identity | Exception = CALLER
        self.pair: PublicKey | Exception | None = None
        self.pair_created: datetime | Exception | None = NOW
        self.instances: list[Instance] | Exception = []
        self.may_not: list[str] = []

    def caller(self) -> Identity:
        return answer(self.of)

    def access_keys(self, user_name: str) -> list[AccessKey]:
        assert user_name == "production"
        return answer(self.there)

    def user_id(self, user_name: str) -> str:
        assert user_name == "production"
        return answer(self.id)

    def public_key(self, key_name: str) -> PublicKey | None:
        assert key_name == "production"
        return answer(self.pair)

    def key_pair_created(self, key_name: str) -> datetime | None:
        assert key_name == "production"
        return answer(self.pair_created)

    def running_instances(self, key_name: str) -> list[Instance]:
        assert key_name == "production"
        return answer(self.instances)

    def delete_access_key(self, user_name: str, access_key_id: str) -> None:
        self.calls.append(f"delete access key {access_key_id} of {user_name}")

    def delete_key_pair(self, key_name: str) -> None:
        self.calls.append(f"delete key pair {key_name}")

    def denied(
        self, caller_arn: str, actions: Sequence[str], resources: Sequence[str]
    ) -> list[str]:
        self.asked.append((caller_arn, actions, resources))
        return [action for action in actions if action in self.may_not]


def answer(given: T | Exception) -> T:
    if isinstance(given, Exception):
        raise given
    return given


NOT_ALLOWED = NotAllowed("not allowed to call ListAccessKeys")
NO_ANSWER = AccountError("AWS cannot be asked")


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


def checks(
    account: FakeAccount,
    keys: StackKeys | None = None,
    *,
    known: Sequence[str] = (),
    pending: Sequence[str] = (),
    user_id: str | None = "AIDA1",
) -> Checks:
    return Checks(
        keys or stack_keys(),
        Deployment(
            user_id,
            tuple(KnownAccessKey(1, key_id, NOW - 48 * HOUR) for key_id in known),
            {1: stack_keys().public_key},
            tuple(pending),
            is_interrupted=bool(pending),
            written=NOW - HOUR,
        ),
        account,
    )


def key(
    key_id: str,
    *,
    made: timedelta = 48 * HOUR,
    used: timedelta | None = None,
    is_active: bool = True,
) -> AccessKey:
    last = LastUse(NOW - used, "s3", "us-west-2") if used is not None else None
    return AccessKey(key_id, is_active=is_active, created=NOW - made, last_used=last)


def stranger() -> PublicKey:
    public = parse_public_key(key_pair("stranger")[1])
    assert public
    return public


# The user


@pytest.mark.parametrize("made", ["AIDA1", None])
def test_the_user_that_the_stack_made_is_the_one(account: FakeAccount, made: str | None) -> None:
    checks(account, user_id=made).user()


def test_another_user_of_the_same_name_is_left_alone(account: FakeAccount) -> None:
    account.id = "AIDA2"
    with pytest.raises(StackError, match=r"production is not the one .* is AIDA2, .* it is AIDA1$"):
        checks(account).user()


def test_whoever_may_not_look_at_the_user_may_go_on(account: FakeAccount) -> None:
    account.id = NOT_ALLOWED
    checks(account).user()


@pytest.mark.parametrize("error", [Gone("AWS says NoSuchEntity"), NO_ANSWER])
def test_without_an_answer_about_the_user_it_does_not_go_on(
    account: FakeAccount, error: Exception
) -> None:
    account.id = error
    with pytest.raises(AccountError, match=str(error)):
        checks(account).user()


def test_with_credentials_of_another_account_nothing_is_done(account: FakeAccount) -> None:
    account.of = Identity("210987654321", "arn:aws:iam::210987654321:user/admin")
    with pytest.raises(StackError) as raised:
        checks(account).user()
    assert str(raised.value) == (
        f"the AWS credentials here are of account 210987654321, and the stack is in {ACCOUNT}"
    )


def test_without_an_answer_whose_the_credentials_are_nothing_is_done(account: FakeAccount) -> None:
    account.of = NO_ANSWER
    with pytest.raises(AccountError, match="cannot be asked"):
        checks(account).user()


# Whose credentials these are

WAY = [State(2, "Active")]


@pytest.mark.parametrize("own", [OLD, NEW])
def test_with_keys_in_the_environment_that_are_rotated_nobody_locks_himself_out(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", own)
    with pytest.raises(StackError) as raised:
        checks(account, rotating()).own_keys(WAY)
    said = str(raised.value)
    assert said.startswith(f"AWS_ACCESS_KEY_ID is ...{own[-4:]}, one of the keys that are rotated")
    assert "AWS_PROFILE" in said
    assert own not in said


def test_where_no_key_is_rotated_ones_own_do(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", NEW)
    checks(account, rotating()).own_keys([])


@pytest.mark.parametrize("ambient", [None, "", FOREIGN, OLD])
def test_with_other_keys_or_none_in_the_environment_it_goes_on(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, ambient: str | None
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    if ambient is not None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ambient)
    checks(account, stack_keys()).own_keys(WAY)


# What AWS has of what the stack says

INACTIVE_OLD = key(OLD, is_active=False)


@pytest.mark.parametrize(
    ("there", "is_all"),
    [
        ([key(OLD), key(NEW)], True),
        ([INACTIVE_OLD, key(NEW), key(FOREIGN)], True),
        ([key(NEW)], False),
        ([key(NEW), key(FOREIGN)], False),
        ([], False),
        (NOT_ALLOWED, True),
    ],
)
def test_a_key_of_the_state_that_aws_has_no_more_is_noticed(
    account: FakeAccount, there: list[AccessKey] | Exception, *, is_all: bool
) -> None:
    account.there = there
    assert checks(account, known=[OLD, NEW]).is_all_at_aws() is is_all


@pytest.mark.parametrize(
    ("there", "is_astray"),
    [
        ([key(OLD), key(NEW)], False),
        ([INACTIVE_OLD, key(NEW)], True),
        ([key(NEW)], True),
        ([], True),
        (NOT_ALLOWED, False),
    ],
)
def test_an_old_key_that_is_to_be_active_and_is_not_is_astray(
    account: FakeAccount, there: list[AccessKey] | Exception, *, is_astray: bool
) -> None:
    account.there = there
    assert checks(account, rotating()).is_previous_astray() is is_astray


def test_whoever_may_not_look_takes_the_old_key_for_astray_after_an_interruption(
    account: FakeAccount,
) -> None:
    account.there = NOT_ALLOWED
    assert checks(account, rotating(), pending=[ACCESS_KEY]).is_previous_astray()


@pytest.mark.parametrize("keys", [stack_keys(), rotating(status="Inactive")])
def test_an_old_key_that_is_not_to_be_active_is_not_astray(
    account: FakeAccount, keys: StackKeys
) -> None:
    assert not checks(account, keys, pending=[ACCESS_KEY]).is_previous_astray()


@pytest.mark.parametrize("there", [[INACTIVE_OLD, key(NEW)], [key(NEW)], NOT_ALLOWED])
def test_an_old_key_that_is_retired_may_be_deleted(
    account: FakeAccount, there: list[AccessKey] | Exception
) -> None:
    account.there = there
    checks(account, rotating(status="Inactive")).is_retired()


def test_an_old_key_that_somebody_made_active_again_is_not_deleted(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW)]
    with pytest.raises(
        StackError, match=rf"key \.\.\.{OLD[-4:]} is active at AWS again.*--force deletes it never"
    ):
        checks(account, rotating(status="Inactive")).is_retired()


# A new access key


def test_a_second_access_key_may_be_made(account: FakeAccount) -> None:
    account.there = [key(NEW)]
    checks(account, known=[NEW]).access_key(is_made=False)
    assert account.asked == [
        (
            CALLER.arn,
            ("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"),
            [f"arn:aws:iam::{ACCOUNT}:user/production"],
        )
    ]


def test_all_that_the_caller_may_not_do_is_named_before_a_key_is_made(account: FakeAccount) -> None:
    account.may_not = ["iam:UpdateAccessKey", "iam:DeleteAccessKey"]
    for is_made in (False, True):
        with pytest.raises(StackError) as raised:
            checks(account).access_key(is_made=is_made)
        assert str(raised.value) == (
            "whoever runs this may not iam:UpdateAccessKey, iam:DeleteAccessKey on "
            f"arn:aws:iam::{ACCOUNT}:user/production"
        )


def test_no_third_access_key_is_begun(account: FakeAccount) -> None:
    account.there = [key(NEW), key(FOREIGN)]
    with pytest.raises(
        StackError, match=r"the user has 2 access keys.*GN99 .*not made by this"
    ) as raised:
        checks(account, known=[NEW]).access_key(is_made=False)
    assert str(raised.value).count("not made by this stack") == 1


def test_a_second_key_that_was_made_before_the_cut_is_no_obstacle(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW)]
    checks(account, known=[OLD, NEW]).access_key(is_made=True)


def test_whoever_may_not_list_access_keys_may_make_one(account: FakeAccount) -> None:
    account.there = NOT_ALLOWED
    checks(account).access_key(is_made=False)


def test_without_an_answer_about_access_keys_none_is_made(account: FakeAccount) -> None:
    account.there = NO_ANSWER
    with pytest.raises(AccountError, match="cannot be asked"):
        checks(account).access_key(is_made=False)


# A new SSH key


def test_the_key_pair_of_the_stack_may_be_replaced(account: FakeAccount) -> None:
    account.pair = stack_keys().public_key
    checks(account).key_pair()
    assert account.asked == [
        (
            CALLER.arn,
            ("ec2:DeleteKeyPair", "ec2:ImportKeyPair"),
            [f"arn:aws:ec2:us-west-2:{ACCOUNT}:key-pair/production"],
        )
    ]


def test_the_partition_is_that_of_the_user(account: FakeAccount) -> None:
    keys = stack_keys(user_arn=f"arn:aws-cn:iam::{ACCOUNT}:user/production")
    checks(account, keys).key_pair()
    assert account.asked[0][2] == [f"arn:aws-cn:ec2:us-west-2:{ACCOUNT}:key-pair/production"]


@pytest.mark.parametrize("pair", [None, NOT_ALLOWED])
def test_a_key_pair_that_is_gone_or_not_shown_may_be_made(
    account: FakeAccount, pair: Exception | None
) -> None:
    account.pair = pair
    checks(account).key_pair()


def test_a_key_pair_with_a_foreign_key_is_not_replaced(account: FakeAccount) -> None:
    account.pair = stranger()
    with pytest.raises(StackError) as raised:
        checks(account).key_pair()
    assert str(raised.value) == (
        f"key pair production in us-west-2 holds a key ({stranger().fingerprint}) that this stack "
        "did not make: it is left alone"
    )


def test_what_the_caller_may_not_do_at_ec2_is_named(account: FakeAccount) -> None:
    account.may_not = ["ec2:ImportKeyPair"]
    with pytest.raises(StackError, match=r"may not ec2:ImportKeyPair on arn:aws:ec2:us-west-2:"):
        checks(account).key_pair()


# The old access key


def test_an_old_key_that_nobody_used_since_may_be_retired(account: FakeAccount) -> None:
    account.there = [key(OLD, used=50 * HOUR), key(NEW)]
    checks(account, rotating()).use(24 * HOUR)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ([key(OLD), key(NEW, made=HOUR)], "too early: the new access key is 1 h old"),
        ([key(OLD, used=HOUR), key(NEW)], "may still be in use: the last use"),
    ],
)
def test_an_old_key_is_not_retired_too_early_nor_in_use(
    account: FakeAccount, there: list[AccessKey], reason: str
) -> None:
    account.there = there
    with pytest.raises(StackError, match=f"{reason}.*; --force retires it nevertheless$"):
        checks(account, rotating()).use(24 * HOUR)


def test_it_is_the_old_keys_use_that_counts(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, used=HOUR), key(FOREIGN, used=HOUR)]
    checks(account, rotating()).use(24 * HOUR)


def test_an_old_key_is_not_retired_when_aws_has_no_new_one(account: FakeAccount) -> None:
    account.there = [key(OLD)]
    with pytest.raises(StackError, match="the new access key any more: --undo goes back"):
        checks(account, rotating()).use(24 * HOUR)


def test_an_old_key_that_aws_has_no_more_is_not_in_use(account: FakeAccount) -> None:
    account.there = [key(NEW)]
    checks(account, rotating()).use(24 * HOUR)


def test_whoever_may_not_see_the_last_use_retires_only_by_force(account: FakeAccount) -> None:
    account.there = NOT_ALLOWED
    with pytest.raises(StackError, match=r"may not see .* --force retires it nevertheless$"):
        checks(account, rotating()).use(timedelta(0))


# Machines


def test_a_machine_launched_with_the_old_key_keeps_it(account: FakeAccount) -> None:
    account.instances = [Instance("i-old", NOW - HOUR), Instance("i-new", NOW + HOUR)]
    with pytest.raises(
        StackError, match=r"not terminated: i-old; --force finishes nevertheless, and leaves the"
    ):
        checks(account, rotating()).machines()


@pytest.mark.parametrize("instances", [[], [Instance("i-new", NOW + HOUR)], NOT_ALLOWED])
def test_without_such_a_machine_or_leave_to_look_the_old_key_may_go(
    account: FakeAccount, instances: list[Instance] | Exception
) -> None:
    account.instances = instances
    checks(account, rotating()).machines()


@pytest.mark.parametrize("created", [None, NOT_ALLOWED])
def test_when_ec2_was_given_the_key_may_be_unknown(
    account: FakeAccount, created: Exception | None
) -> None:
    account.pair_created = created
    account.instances = [Instance("i-old", NOW - HOUR)]
    checks(account, rotating()).machines()


def test_without_an_answer_about_machines_the_old_key_stays(account: FakeAccount) -> None:
    account.instances = NO_ANSWER
    with pytest.raises(AccountError, match="cannot be asked"):
        checks(account, rotating()).machines()


def test_before_a_new_ssh_key_it_is_told_who_takes_it_and_who_does_not(
    account: FakeAccount,
) -> None:
    account.instances = [Instance("i-old", NOW - HOUR)]
    told: list[str] = []
    checks(account).tell_of_machines(told.append)
    assert "launched from now on with key pair production in us-west-2" in told[0]
    assert told[1:] == ["launched with the old key, and not terminated: i-old"]


@pytest.mark.parametrize("instances", [[], NOT_ALLOWED, NO_ANSWER])
def test_to_tell_of_machines_is_no_reason_to_fail(
    account: FakeAccount, instances: list[Instance] | Exception
) -> None:
    account.instances = instances
    told: list[str] = []
    checks(account).tell_of_machines(told.append)
    assert len(told) == 1


# What an update left that died


class Person:
    """Whoever is told and asked."""

    def __init__(self, *, says_yes: bool) -> None:
        self.told: list[str] = []
        self.asked: list[str] = []
        self._says_yes = says_yes

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self._says_yes


def recover(
    account: FakeAccount, *pending: str, known: Sequence[str] = (OLD,), says_yes: bool = True
) -> Person:
    person = Person(says_yes=says_yes)
    those = checks(account, known=known, pending=pending)
    lost = those.lost(person.told.append, person.confirm)
    assert not account.calls  # not before the engine's lock was had
    those.delete(lost, person.told.append)
    return person


def test_a_lost_access_key_is_deleted_once_that_was_confirmed(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, made=HOUR)]
    person = recover(account, ACCESS_KEY)
    assert person.asked == [f"Delete access key ...{NEW[-4:]} of user production?"]
    assert account.calls == [f"delete access key {NEW} of production"]
    assert "its secret died with it" in person.told[0]
    assert person.told[1] == f"deleted access key ...{NEW[-4:]}"
    assert NEW not in " ".join(person.told + person.asked)


def test_without_a_yes_a_lost_access_key_stays(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, made=HOUR)]
    with pytest.raises(StackError, match=rf"\.\.\.{NEW[-4:]} is in the way: --yes has it deleted"):
        recover(account, ACCESS_KEY, says_yes=False)
    assert not account.calls


@pytest.mark.parametrize(
    "there",
    [
        [],
        [key(OLD)],
        [key(OLD), key(FOREIGN, made=HOUR, used=HOUR)],
        [key(FOREIGN, made=50 * HOUR), key(OLD)],
        [key(OLD), key(FOREIGN, made=HOUR / 2)],  # the state was written before
    ],
)
def test_a_key_that_is_not_lost_is_neither_deleted_nor_asked_about(
    account: FakeAccount, there: list[AccessKey]
) -> None:
    account.there = there
    assert not recover(account, ACCESS_KEY).asked
    assert not account.calls


def test_an_access_key_counts_as_lost_only_if_its_creation_was(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, made=HOUR)]
    for pending in ((), (KEY_PAIR,), (PRIVATE_KEY,)):
        assert not recover(account, *pending).asked
    assert not account.calls


def test_whoever_may_not_list_access_keys_deletes_none(account: FakeAccount) -> None:
    account.there = NOT_ALLOWED
    with pytest.raises(NotAllowed):
        recover(account, ACCESS_KEY)
    assert not account.calls


def test_a_key_pair_that_holds_the_states_key_is_deleted_without_a_question(
    account: FakeAccount,
) -> None:
    account.pair = stack_keys().public_key
    assert not recover(account, KEY_PAIR).asked
    assert account.calls == ["delete key pair production"]


def test_a_key_pair_is_deleted_only_if_its_creation_was_lost(account: FakeAccount) -> None:
    account.pair = stack_keys().public_key
    for pending in ((), (ACCESS_KEY,), (PRIVATE_KEY,)):
        recover(account, *pending)
    assert not account.calls


def test_a_key_pair_that_was_not_made_is_not_deleted(account: FakeAccount) -> None:
    recover(account, KEY_PAIR)
    assert not account.calls


def test_a_key_pair_with_a_foreign_key_is_left_alone(account: FakeAccount) -> None:
    account.pair = stranger()
    with pytest.raises(StackError, match="did not make: it is left alone"):
        recover(account, KEY_PAIR)
    assert not account.calls


def test_a_key_pair_that_is_not_shown_is_left_alone(account: FakeAccount) -> None:
    account.pair = NOT_ALLOWED
    with pytest.raises(NotAllowed):
        recover(account, KEY_PAIR)
    assert not account.calls


def test_a_private_key_is_nowhere_else_so_none_is_lost(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, made=HOUR)]
    person = recover(account, PRIVATE_KEY)
    assert (person.told, person.asked, account.calls) == ([], [], [])


def test_a_creation_that_no_rotation_begins_is_for_a_person_to_judge(account: FakeAccount) -> None:
    account.there = [key(OLD), key(NEW, made=HOUR)]
    account.pair = stack_keys().public_key
    with pytest.raises(StackError, match=f"while it created {USER}: .*'pulumi refresh' asks"):
        recover(account, ACCESS_KEY, USER, KEY_PAIR)
    assert not account.calls
