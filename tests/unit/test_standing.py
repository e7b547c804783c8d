"""What is a finding and what is none, fact by fact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.account import LastUse
from sync.identity import Identity
from sync.overview import as_document, rows
from sync.ssh_key import PublicKey, parse_public_key
from sync.standing import (
    CURRENT,
    OTHER,
    PREVIOUS,
    AwsKey,
    Facts,
    KeyFile,
    Profile,
    Refused,
    Stack,
    Unknown,
    duration,
    judge,
    next_commands,
)
from tests.stacks import ACCOUNT, key_pair

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MAX_AGE = timedelta(days=90)
PATH = "/home/u/.pem/production.pem"


def public(name: str) -> PublicKey:
    key = parse_public_key(key_pair(name)[1])
    assert key
    return key


THE_KEY, PREVIOUS_KEY, ANOTHER_KEY = public("production"), public("previous"), public("other")
ARN = f"arn:aws:iam::{ACCOUNT}:user/production"
STACK = Stack(ACCOUNT, "us-west-2", "production", THE_KEY, "production", ARN, "...AAAA")
ROTATING = STACK._replace(previous_access_key="Active", previous_public_key=PREVIOUS_KEY)
FILE = KeyFile(PATH, 0o600, THE_KEY, is_ours=True)
PROFILE = Profile(
    "production",
    "/c",
    is_there=True,
    access_key="...AAAA",
    is_ours=True,
    holds=CURRENT,
    identity=Identity(ACCOUNT, ARN),
)
KEY = AwsKey("...AAAA", CURRENT, True, NOW - timedelta(days=12), None)  # noqa: FBT003
BEFORE = KEY._replace(shown="...BBBB", whose=PREVIOUS)
STRANGE = KEY._replace(shown="...CCCC", whose=OTHER)
OLD = timedelta(days=90)
DENIED = Unknown("not allowed to call ListAccessKeys")
WELL = Facts(
    "production", "production", (FILE,), (PROFILE,), STACK, None, None, THE_KEY, (KEY,), None
)
LOCAL = Facts("production", "production", (FILE,), (PROFILE._replace(holds=None),))


def findings(facts: Facts) -> list[str]:
    return [f"{finding.about}: {finding.text}" for finding in judge(facts, MAX_AGE, NOW)]


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(WELL, id="all is well"),
        pytest.param(LOCAL, id="this machine alone"),
        pytest.param(
            WELL._replace(key_pair=DENIED, access_keys=DENIED, quarantine=DENIED),
            id="not allowed to look",
        ),
        pytest.param(
            WELL._replace(profiles=(PROFILE._replace(identity=DENIED),)), id="identity not known"
        ),
        pytest.param(
            WELL._replace(profiles=(PROFILE._replace(is_ours=False),)),
            id="the stack's keys, written by somebody else",
        ),
        pytest.param(
            WELL._replace(access_keys=(KEY._replace(created=NOW - OLD + timedelta(seconds=1)),)),
            id="nearly too old",
        ),
        pytest.param(
            WELL._replace(
                stack=ROTATING,
                access_keys=(
                    BEFORE._replace(is_active=False, created=NOW - 2 * OLD),
                    KEY,
                ),
            ),
            id="a rotation under way, its old key inactive",
        ),
        pytest.param(
            WELL._replace(stack=ROTATING, previous_key_file=KeyFile("/p")),
            id="the previous SSH key is elsewhere",
        ),
        pytest.param(
            WELL._replace(error="no answer", stack=None, profiles=LOCAL.profiles),
            id="a failure is told apart",
        ),
    ],
)
def test_what_is_no_finding(facts: Facts) -> None:
    assert findings(facts) == []


@pytest.mark.parametrize(
    ("facts", "about", "words"),
    [
        (WELL._replace(key_files=(KeyFile(PATH),)), "key file", "not there; 'python -m sync prod"),
        (
            WELL._replace(key_files=(KeyFile(PATH, problem="Permission denied"),)),
            "key file",
            "Permission denied",
        ),
        (WELL._replace(key_files=(FILE._replace(mode=0o640),)), "key file", "has mode 0640"),
        (LOCAL._replace(key_files=(FILE._replace(mode=0o604),)), "key file", "has mode 0604"),
        (
            WELL._replace(key_files=(FILE._replace(key=ANOTHER_KEY),)),
            "key file",
            "holds another key than the stack's",
        ),
        (
            WELL._replace(key_files=(FILE._replace(key=PREVIOUS_KEY),), stack=ROTATING),
            "key file",
            "holds the key before the rotation",
        ),
        (
            LOCAL._replace(key_files=(FILE._replace(is_ours=False),)),
            "key file",
            "that sync did not write",
        ),
        (WELL._replace(key_pair=None), "key pair", "EC2 has no key pair production in us-west-2"),
        (WELL._replace(key_pair=ANOTHER_KEY), "key pair", "EC2 has another key"),
        (
            WELL._replace(profiles=(Profile("production", "/c"),)),
            "profile",
            "[production] in /c is not there",
        ),
        (
            WELL._replace(profiles=(Profile("production", "/c", is_there=True),)),
            "profile",
            "has no keys",
        ),
        (
            WELL._replace(profiles=(PROFILE._replace(holds=OTHER),)),
            "profile",
            "holds other keys than the stack's",
        ),
        (
            WELL._replace(profiles=(PROFILE._replace(holds=PREVIOUS),), stack=ROTATING),
            "profile",
            "holds the key before the rotation",
        ),
        (
            LOCAL._replace(profiles=(PROFILE._replace(holds=None, is_ours=False),)),
            "profile",
            "keys that sync did not write",
        ),
        (
            WELL._replace(profiles=(PROFILE._replace(identity=Refused("AWS refuses")),)),
            "identity",
            "profile production: AWS refuses",
        ),
        (
            WELL._replace(profiles=(PROFILE._replace(identity=Identity("1", ARN)),)),
            "identity",
            f"is {ARN}, and should be {ARN}",
        ),
        (
            WELL._replace(profiles=(PROFILE._replace(identity=Identity(ACCOUNT, "arn:x")),)),
            "identity",
            f"profile production is arn:x, and should be {ARN}",
        ),
        (WELL._replace(access_keys=()), "access key", "...AAAA is the stack's, and AWS has no"),
        (
            WELL._replace(access_keys=(KEY._replace(is_active=False),)),
            "access key",
            "inactive at AWS",
        ),
        (
            WELL._replace(access_keys=(KEY._replace(created=NOW - OLD),)),
            "access key",
            "90 d old (--max-age 90); 'python -m sync rotate production' makes a new one",
        ),
        (
            WELL._replace(stack=ROTATING, access_keys=(BEFORE._replace(created=NOW - OLD), KEY)),
            "access key",
            "...BBBB is 90 d old (--max-age 90); 'python -m sync rotate production --retire'",
        ),
        (WELL._replace(access_keys=(KEY, STRANGE)), "access key", "...CCCC is not of this stack"),
        (
            WELL._replace(access_keys=(KEY, STRANGE._replace(is_active=False))),
            "access key",
            "...CCCC is not of this stack",
        ),
        (
            WELL._replace(quarantine="AWSCompromisedKeyQuarantineV3"),
            "quarantine",
            "AWSCompromisedKeyQuarantineV3",
        ),
    ],
)
def test_what_is_a_finding(facts: Facts, about: str, words: str) -> None:
    (line,) = findings(facts)
    assert line.startswith(f"{about}: ")
    assert words in line
    assert "\n" not in line


def test_commands_name_the_stack_as_it_was_asked_for() -> None:
    (line,) = findings(WELL._replace(asked_for="acme/keys/production", key_files=(KeyFile(PATH),)))
    assert "python -m sync acme/keys/production" in line


@pytest.mark.parametrize(
    ("stack", "commands"),
    [
        (STACK, []),
        (STACK._replace(previous_access_key="Active"), ["--retire"]),
        (STACK._replace(previous_access_key="Inactive"), ["--finish"]),
        (STACK._replace(previous_public_key=PREVIOUS_KEY), ["--key-pair --finish"]),
        (ROTATING, ["--retire", "--key-pair --finish"]),
        (None, []),
    ],
)
def test_a_rotation_names_its_next_command(stack: Stack | None, commands: list[str]) -> None:
    rotate = "python -m sync rotate production"
    found = [command for _, command in next_commands(WELL._replace(stack=stack))]
    assert found == [f"{rotate} {command}" for command in commands]


def test_failures_are_what_could_not_be_looked_at() -> None:
    assert WELL._replace(key_pair=DENIED).failures == []
    down = Unknown("no network", is_failure=True)
    asked = WELL._replace(key_pair=down, access_keys=down, error="no answer")
    assert asked.failures == ["no answer", "no network"]
    assert WELL._replace(profiles=(PROFILE._replace(identity=down),)).failures == ["no network"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86399, "23 h"),
     (86400, "1 d"), (12.9 * 86400, "12 d")],
)  # fmt: skip
def test_durations_are_in_their_largest_unit(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_rows_of_a_stack_that_is_well() -> None:
    used = KEY._replace(last_used=LastUse(NOW - timedelta(hours=3), "sts", "us-east-1"))
    assert rows(WELL._replace(access_keys=(used,)), NOW) == [
        ("key file", f"{PATH}, mode 0600: the stack's key, ED25519"),
        ("profile", "[production] in /c: the stack's key ...AAAA, written by sync"),
        ("identity", ARN),
        ("key pair", "production in us-west-2: the stack's key"),
        (
            "access key",
            "...AAAA, active, 12 d old, last use AWS knows of 3 h ago (sts, us-east-1)",
        ),
    ]


def test_what_nobody_may_look_at_is_told_in_one_row() -> None:
    facts = WELL._replace(key_pair=DENIED, access_keys=DENIED, quarantine=DENIED)
    assert rows(facts, NOW)[-1] == ("at AWS", f"not known: {DENIED.why}")
    parts = dict(rows(facts._replace(key_pair=THE_KEY), NOW))
    assert parts["access key"] == parts["quarantine"] == f"not known: {DENIED.why}"


def test_rows_of_a_rotation_show_both_keys_and_the_next_command() -> None:
    facts = WELL._replace(
        stack=ROTATING, access_keys=(BEFORE, KEY, STRANGE), previous_key_file=KeyFile("/p")
    )
    found = rows(facts, NOW)
    assert ("previous", "/p: not on this machine") in found
    assert [text.rpartition(", ")[2] for label, text in found if label == "access key"] == [
        "the previous key",
        "AWS knows of no use",
        "not of this stack",
    ]
    assert found[-1] == ("  next", "python -m sync rotate production --key-pair --finish")
    kept = facts._replace(previous_key_file=KeyFile("/p", 0o600, PREVIOUS_KEY))
    assert ("previous", "/p: kept, mode 0600") in rows(kept, NOW)


def test_a_stack_that_cannot_be_read_says_so_first() -> None:
    found = rows(LOCAL._replace(error="has no outputs"), NOW)
    assert found[0] == ("stack", "cannot be read: has no outputs")
    assert ("key file", f"{PATH}, mode 0600: written by sync, ED25519") in found


def test_the_document_says_what_ec2_makes_of_the_key_file() -> None:
    for pair, same in ((THE_KEY, True), (ANOTHER_KEY, False), (None, False), (DENIED, None)):
        document = as_document(WELL._replace(key_pair=pair), [], NOW)
        assert document["key_files"][0]["is_the_key_pairs"] is same
