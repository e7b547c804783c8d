"""``python -m sync status``, with stand-ins for the engine and for AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sync import looking
from sync.plan import mask
from tests.stacks import ACCOUNT, access_key, outputs, stack_keys
from tests.unit.aws_stand_in import Aws, arn, error, identity, running
from tests.unit.test_cli import Sync, fails, on_a_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADMINISTRATOR = "AKIAADMINISTRATOR"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def sync(tmp_path: Path) -> Sync:
    sync = Sync(tmp_path)
    sync.has("production", "staging")
    sync.environ |= {"AWS_ENDPOINT_URL": NOBODY, "AWS_EC2_METADATA_DISABLED": "true"}
    return sync


@pytest.fixture
def aws(sync: Sync) -> Iterator[Aws]:
    for stand_in in running():
        sync.environ |= {
            "AWS_ENDPOINT_URL": stand_in.endpoint,
            "AWS_ACCESS_KEY_ID": ADMINISTRATOR,
            "AWS_SECRET_ACCESS_KEY": "sEcReT",
        }
        knows(stand_in, "production")
        yield stand_in


def knows(aws: Aws, stack: str, days: float = 12, status: str = "Active") -> None:
    """Let AWS know the key pair and the access key of one stack."""
    created = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    key_id, _ = access_key(stack)
    inner = f"<AccessKeyId>{key_id}</AccessKeyId><Status>{status}</Status>"
    key = f"<member>{inner}<CreateDate>{created}</CreateDate></member>"
    aws.answers("GetCallerIdentity", identity(stack))
    aws.answers(
        "ListAccessKeys",
        f"<ListAccessKeysResult><AccessKeyMetadata>{key}</AccessKeyMetadata></ListAccessKeysResult>",
    )
    aws.answers(
        "GetAccessKeyLastUsed",
        "<GetAccessKeyLastUsedResult><AccessKeyLastUsed><ServiceName>N/A</ServiceName>"
        "<Region>N/A</Region></AccessKeyLastUsed></GetAccessKeyLastUsedResult>",
    )
    aws.answers(
        "ListAttachedUserPolicies",
        "<ListAttachedUserPoliciesResult><AttachedPolicies/></ListAttachedUserPoliciesResult>",
    )
    public = outputs(stack)["public_key"]
    aws.answers(
        "DescribeKeyPairs", f"<keySet><item><publicKey>{public}</publicKey></item></keySet>"
    )


def is_clean(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that succeeds prints."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def contents(sync: Sync) -> dict[str, tuple[bytes, float]]:
    files = {path: sync.home / path for path in sync.files()}
    return {name: (path.read_bytes(), path.stat().st_mtime) for name, path in files.items()}


def test_a_stack_that_is_well_is_a_block_of_facts(sync: Sync, aws: Aws) -> None:
    sync("production")
    before = contents(sync)
    key = f"...{access_key('production')[0][-4:]}"
    assert is_clean(sync("status", "production")).splitlines() == [
        "production",
        "  key file    ~/.pem/production.pem, mode 0600: the stack's key, ED25519",
        f"  profile     [production] in ~/.aws/credentials: the stack's key {key}, written by sync",
        f"  identity    {arn('production')}",
        "  key pair    production in us-west-2: the stack's key",
        f"  access key  {key}, active, 12 d old, AWS knows of no use",
        "",
        "1 stack: nothing to complain of",
    ]
    assert contents(sync) == before
    assert is_clean(sync("status", "production", "--check")) == ""
    whose = {asked.action: asked.key_id for asked in aws.asked}
    assert whose["ListAccessKeys"] == whose["DescribeKeyPairs"] == ADMINISTRATOR
    callers = {asked.key_id for asked in aws.asked if asked.action == "GetCallerIdentity"}
    assert callers == {ADMINISTRATOR, access_key("production")[0]}


def test_check_names_every_finding_in_one_line_and_exits_with_3(sync: Sync, aws: Aws) -> None:
    knows(aws, "production", days=100)
    sync("production")
    (sync.home / ".pem/production.pem").chmod(0o644)
    done = sync("status", "production", "--check")
    assert (done.returncode, done.stderr) == (3, "")
    wide, old = done.stdout.splitlines()
    assert wide.startswith("production: key file: ~/.pem/production.pem has mode 0644")
    assert "100 d old (--max-age 90)" in old
    assert sync("status", "production").returncode == 0
    assert "\n  ! ..." in sync("status", "production").stdout
    aged = sync("status", "production", "--check", "--max-age", "101")
    assert len(aged.stdout.splitlines()) == 1


def test_without_a_name_it_is_every_stack_of_the_project(sync: Sync) -> None:
    sync.has("production", "default")
    text = sync("status").stdout
    assert "\nproduction\n" in text
    assert text.startswith("default\n")


def test_without_credentials_what_aws_has_is_not_known_and_no_fault(sync: Sync) -> None:
    sync("production")
    done = sync("status", "production", "--json")
    (stack,) = json.loads(done.stdout)["stacks"]
    assert "no AWS credentials to look with" in stack["access_keys"]["not_known"]
    assert stack["access_keys"] == stack["key_pair"]["key"] == stack["quarantine"]
    (failure,) = stack["failures"]  # the profile's own keys are there to ask with
    assert failure.startswith("Could not connect")
    assert done.returncode == 1
    assert sync("status", "staging").returncode == 0


def test_what_asks_waits_for_nothing_that_is_queued_behind_it(
    sync: Sync, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sync.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(looking, "_AT_A_TIME", 1)
    with looking.Looking() as pool:  # no region is warm
        asked = [pool.at_aws(stack_keys()) for _ in range(3)]
        for at_aws in asked:
            assert at_aws.key_pair.result(timeout=20) == stack_keys().public_key
            assert at_aws.quarantine.result(timeout=20) is None
    assert [asked.action for asked in aws.asked].count("GetCallerIdentity") == 1


ROLE = f"role_arn = arn:aws:iam::{ACCOUNT}:role/r\n"
MFA = f"mfa_serial = arn:aws:iam::{ACCOUNT}:mfa/me\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (f"{ROLE}web_identity_token_file = /nonexistent\n", "cannot be used: No such file"),
        (f"{ROLE}{MFA}source_profile = production\n", "need an MFA code, and there is no term"),
    ],
)
def test_a_profile_that_boto3_stumbles_over_is_not_known_and_the_rest_is(
    sync: Sync, aws: Aws, options: str, why: str
) -> None:
    sync("production", "staging")
    config = sync.home / ".aws/config"
    header = "[profile staging]\n"
    config.write_text(config.read_text().replace(header, header + options))
    document = without_a_terminal(sync, "status", "--json")
    production, staging = document["stacks"]
    assert production["failures"] == []
    assert production["profiles"][0]["identity"]["arn"] == arn("production")
    (failure,) = staging["failures"]
    assert why in failure
    assert staging["profiles"][0]["identity"] == {"not_known": failure}
    assert aws.asked


@pytest.mark.parametrize(
    ("options", "environ", "why"),
    [
        (
            "credential_process = /nonexistent\n",
            {"AWS_PROFILE": "admin"},
            "cannot be used: No such file",
        ),
        (
            f"{ROLE}{MFA}source_profile = staging\n",
            {"AWS_PROFILE": "admin"},
            "need an MFA code, and there is no term",
        ),
        (
            "",
            {
                "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
                "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/r",
            },
            "cannot be used: No such file",
        ),
    ],
)
def test_credentials_to_look_with_that_boto3_stumbles_over_leave_the_identity_known(
    sync: Sync, aws: Aws, options: str, environ: dict[str, str], why: str
) -> None:
    sync("production", "staging")
    with (sync.home / ".aws/config").open("a") as config:
        config.write(f"[profile admin]\n{options}")
    del sync.environ["AWS_ACCESS_KEY_ID"]
    sync.environ |= environ
    (production,) = without_a_terminal(sync, "status", "production", "--json")["stacks"]
    (failure,) = production["failures"]
    assert why in failure
    assert production["access_keys"] == production["quarantine"] == {"not_known": failure}
    assert production["profiles"][0]["identity"]["arn"] == arn("production")
    assert aws.asked


def without_a_terminal(sync: Sync, *arguments: str) -> dict[str, Any]:
    """What is printed where nobody could be asked for anything."""
    done = subprocess.run(
        sync.command(*arguments),
        cwd=sync.project, env=sync.environ, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, "internal error" in done.stderr) == (1, False)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_not_to_be_allowed_to_look_is_an_answer(sync: Sync, aws: Aws) -> None:
    for action in ("ListAccessKeys", "ListAttachedUserPolicies"):
        aws.answers(action, error("AccessDenied"))
    aws.answers("DescribeKeyPairs", error("UnauthorizedOperation"))
    sync("production")
    text = is_clean(sync("status", "production"))
    assert "access key  not known: not allowed to call ListAccessKeys" in text
    assert "us-west-2: not known: not allowed to call DescribeKeyPairs" in text
    assert is_clean(sync("status", "production", "--check")) == ""


def test_aws_that_cannot_be_asked_is_a_failure(sync: Sync, aws: Aws) -> None:
    aws.answers("DescribeKeyPairs", error("Strange", "odd"))
    sync("production")
    assert fails(sync("status", "production", "--check")) == (
        "production: failed: AWS says Strange: odd"
    )


def test_credentials_of_another_account_tell_nothing_of_this_one(sync: Sync, aws: Aws) -> None:
    aws.answers("GetCallerIdentity", identity("production").replace(ACCOUNT, "210987654321"))
    sync("production")
    text = sync("status", "production").stdout
    assert "not known: the AWS credentials here are of account 210987654321" in text
    assert "ListAccessKeys" not in {asked.action for asked in aws.asked}


def test_a_user_who_is_gone_is_a_finding(sync: Sync, aws: Aws) -> None:
    aws.answers("ListAccessKeys", error("NoSuchEntity"))
    aws.answers("ListAttachedUserPolicies", error("NoSuchEntity"))
    sync("production")
    done = sync("status", "production", "--check")
    assert done.returncode == 3
    assert "AWS has no such key any more" in done.stdout


def test_a_stack_that_cannot_be_read_is_told_in_its_row(sync: Sync) -> None:
    sync.gives("staging", "{}")
    done = sync("status", "staging")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("staging\n  stack     cannot be read: has no outputs")
    assert "  key file  ~/.pem/staging.pem: not there" in done.stdout
    failed = sync("status", "staging", "--check")
    assert failed.returncode == 1
    assert failed.stderr.startswith("staging: failed: has no outputs")
    assert "key file: ~/.pem/staging.pem is not there" in failed.stdout
    document = json.loads(sync("status", "staging", "--json").stdout)
    assert document["stacks"][0]["error"].startswith("has no outputs")


def test_a_project_that_is_none_is_an_error_for_machines_too(sync: Sync) -> None:
    (sync.project / "Pulumi.yaml").unlink()
    assert "no Pulumi.yaml" in fails(sync("status"))
    done = sync("status", "--json")
    assert "no Pulumi.yaml" in json.loads(done.stdout)["error"]
    assert done.returncode == 1


def test_offline_needs_neither_engine_nor_aws(sync: Sync, aws: Aws) -> None:
    sync("production", "--profile", "work")
    done = sync("status", "--offline", PATH="/nowhere")
    text = is_clean(done)
    assert "production\n  key file  ~/.pem/production.pem, mode 0600: written by sync" in text
    assert "[work] in ~/.aws/credentials: ..." in text
    assert "staging" not in text
    assert not aws.asked
    (sync.home / ".pem/production.pem").unlink()
    done = sync("status", "--offline", "--check", PATH="/nowhere")
    assert done.returncode == 3
    assert "~/.pem/production.pem is not there" in done.stdout


def test_offline_imports_nothing_of_aws(sync: Sync) -> None:
    sync("production")
    script = (
        "import sys; from sync.cli import main; main(['status', '--offline'])\n"
        "print({'boto3', 'botocore'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=sync.project, env=sync.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("\nset()\n")


def test_the_profile_is_the_one_that_sync_wrote_or_the_one_that_is_named(
    sync: Sync, aws: Aws
) -> None:
    sync("production", "--profile", "work")
    assert "profile     [work] in" in is_clean(sync("status", "production"))
    done = sync("status", "production", "--profile", "other", "--check")
    assert "[other] in ~/.aws/credentials is not there" in done.stdout
    assert aws.asked


def test_key_files_are_looked_for_where_sync_wrote_them(sync: Sync, aws: Aws) -> None:
    sync("production", "--pem-dir", "keys")
    text = is_clean(sync("status", "production"))
    assert f"key file    {sync.project}/keys/production.pem, mode 0600: the stack's key" in text
    assert "not there" in sync("status", "production", "--pem-dir", "elsewhere").stdout
    assert aws.asked


def test_a_rotation_shows_its_next_command_and_the_previous_key(sync: Sync, aws: Aws) -> None:
    sync("production")
    key_id, secret = access_key("new")
    was_id, was_secret = access_key("production")
    now = outputs("production") | {
        "access_key_id": key_id,
        "secret_access_key": secret,
        "access_key_generation": 2,
        "previous_access_key": "Active",
        "previous_access_key_id": was_id,
        "previous_secret_access_key": was_secret,
    }
    sync.gives("production", json.dumps(now))
    done = sync("status", "production")
    assert "  rotation    access key: the previous one still works" in done.stdout
    assert "next      python -m sync rotate production --retire" in done.stdout
    assert "! [production] in ~/.aws/credentials holds the key before the rotation" in done.stdout
    assert (
        f"...{was_id[-4:]}, active, 12 d old, AWS knows of no use, the previous key" in done.stdout
    )
    assert aws.asked
    for hidden in (key_id, secret, was_secret):
        assert hidden not in done.stdout + sync("status", "production", "--json").stdout


def test_what_sync_wrote_for_other_stacks_is_a_hint_and_no_finding(sync: Sync) -> None:
    sync("production", "staging")
    (sync.project / "stacks.json").write_text("[]")
    text = is_clean(sync("status", "--check"))
    assert text == ""
    text = is_clean(sync("status"))
    assert f"staging (account {ACCOUNT}) is no stack of this project" in text
    assert "'python -m sync remove staging' takes them away" in text
    left = json.loads(sync("status", "--json").stdout)["not_of_this_project"]
    assert [stack["stack"] for stack in left] == ["production", "staging"]


def test_replaced_keys_of_a_stack_that_is_gone_are_a_hint_as_long_as_they_are_there(
    sync: Sync,
) -> None:
    sync("staging")
    sync.gives("staging", json.dumps(outputs("staging") | rotated_key_pair("new")))
    assert sync("staging").returncode == 0
    (sync.project / "stacks.json").write_text("[]")
    assert "'python -m sync remove staging' takes" in is_clean(sync("status"))
    assert sync("remove", "staging", "--yes").returncode == 0
    (replaced,) = (sync.home / ".pem").iterdir()
    assert "SSH keys of it; 'python -m sync remove staging --old-keys' takes" in is_clean(
        sync("status")
    )
    assert is_clean(sync("status", "--offline", "--check")) == ""
    replaced.unlink()
    assert is_clean(sync("status")) == "no stack to look at\n"
    assert json.loads(sync("status", "--json").stdout)["not_of_this_project"] == []


def rotated_key_pair(name: str) -> dict[str, object]:
    names = ("private_key", "public_key", "public_key_fingerprint")
    return {key: value for key, value in outputs(name).items() if key in names}


def test_the_id_of_an_access_key_is_never_shown_whole(sync: Sync) -> None:
    (sync.home / ".aws").mkdir()
    (sync.home / ".aws/credentials").write_text("[production]\naws_access_key_id = wxyz\n")
    text = sync("status", "production", "--offline").stdout
    assert "...yz" in text
    assert "wxyz" not in text
    assert [mask(text) for text in ("", "a", "abc", "abcdefg", "AKIAabcd")] == [
        "...", "...", "...c", "...efg", "...abcd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (".aws/credentials", b"[a]\n[a]\n", "~/.aws/credentials line 2: section 'a' stands twice"),
        (".aws/config", b"sEcReT\n", "~/.aws/config line 1: text before the first [section]"),
        (".aws/credentials", b"\xef\xbb\xbf", "~/.aws/credentials starts with a byte order mark"),
        (
            ".local/state/aws-keys/receipts.json",
            b"[]",
            "~/.local/state/aws-keys/receipts.json does not hold receipts of sync",
        ),
    ],
)
def test_a_file_that_is_odd_is_a_finding_in_one_line_and_stays(
    sync: Sync, file: str, content: bytes, words: str
) -> None:
    path = sync.home / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    done = sync("status", "production", "--offline", "--check")
    assert done.returncode == 3
    assert [line for line in done.stdout.splitlines() if line.startswith(words)]
    assert "sEcReT" not in done.stdout
    assert path.read_bytes() == content
    assert sync.files() == {file}


def test_a_wide_credentials_file_is_a_finding(sync: Sync) -> None:
    sync("production")
    (sync.home / ".aws/credentials").chmod(0o644)
    (sync.home / ".pem").chmod(0o755)
    lines = sync("status", "--offline", "--check").stdout.splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["~/.aws/credentials", "~/.pem"]


def test_nothing_secret_is_in_the_document(sync: Sync, aws: Aws) -> None:
    sync("production")
    done = sync("status", "production", "--json")  # `Sync` looks for secrets in all it prints
    assert is_clean(done)
    assert json.loads(done.stdout)["stacks"][0]["access_keys"][0]["age_days"] == 12
    assert "sEcReT" not in done.stdout
    assert aws.asked


def test_colour_is_for_terminals_that_want_it(sync: Sync) -> None:
    (sync.home / ".aws").mkdir()
    arguments = ("status", "production", "--offline")
    assert "\x1b[33m  ! " in on_a_terminal(sync, "", *arguments)[1]
    assert "\x1b[" not in on_a_terminal(sync, "", *arguments, NO_COLOR="1")[1]
    assert "\x1b[" not in on_a_terminal(sync, "", *arguments, TERM="dumb")[1]
    assert "\x1b[" not in sync(*arguments).stdout


@pytest.mark.parametrize("arguments", [(), ("--check",), ("--json",)])
def test_a_full_standard_output_is_told(sync: Sync, arguments: tuple[str, ...]) -> None:
    many = [f"stack-{number}" for number in range(80)]  # more than one buffer
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        done = subprocess.run(
            sync.command("status", *many, "--offline", *arguments),
            cwd=sync.project, env=sync.environ, stdout=full, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "sync: standard output: No space left on device\n",
    )


def test_on_a_terminal_no_line_is_longer_than_it_is_wide(sync: Sync) -> None:
    shown = on_a_terminal(sync, "", "status", "production", "--offline", COLUMNS="60", NO_COLOR="1")
    lines = shown[1].splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["production", "staging", "--profile", "x"], "--profile goes with one stack"),
        (["--profile", "x"], "--profile goes with one stack"),
        (["production", "--profile", "a]b"], "profile name 'a]b'"),
        (["a/production", "b/production"], "two of the stacks"),
        (["../production"], "stack name '../production'"),
        (["--max-age", "0"], "'0' is no positive number of days up to 36500"),
        (["--max-age", "nan"], "positive number of days"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_status_2(
    sync: Sync, arguments: list[str], reason: str
) -> None:
    assert reason in fails(sync("status", *arguments), 2)


def test_help_has_examples(sync: Sync) -> None:
    text = sync("status", "--help").stdout
    assert "python -m sync status --check" in text
    assert "exit status" in text


def test_half_of_the_stacks_keys_is_not_the_stacks_keys(sync: Sync, aws: Aws) -> None:
    sync("production")
    credentials = sync.home / ".aws/credentials"
    text = credentials.read_text().replace(access_key("production")[1], "another-secret")
    credentials.write_text(text)
    done = sync("status", "production", "--check")
    assert done.returncode == 3
    assert "[production] in ~/.aws/credentials holds other keys than the stack's" in done.stdout
    assert "another-secret" not in done.stdout
    assert aws.asked
