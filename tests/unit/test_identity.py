"""Whose keys they are: through a new key's delay, and by nobody else's credentials."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sync.identity import (
    Identity,
    IdentityError,
    RefusedError,
    of_keys,
    of_profile,
    prove,
    prove_all,
    who,
)
from sync.secret import Secret
from tests.unit.aws_stand_in import ACCOUNT, Aws, arn, error, identity, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync.aws import Sessions

PRODUCTION = Identity(ACCOUNT, arn("production"))
REFUSED = error("InvalidClientTokenId", "The security token included in the request is invalid.")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
SECRET = "sEcReT+sEcReT"  # noqa: S105  a made-up one


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    (tmp_path / "credentials").write_text(
        f"[production]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = {SECRET}\n"
    )
    (tmp_path / "config").write_text("[profile production]\nregion = us-west-2\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for stand_in in running():
        monkeypatch.setenv("AWS_ENDPOINT_URL", stand_in.endpoint)
        stand_in.answers("GetCallerIdentity", identity())
        yield stand_in


def proves(
    sessions: Sessions | None = None, expected: Identity = PRODUCTION, patience: float = 5.0
) -> list[float]:
    """The pauses that a proof took, in quick motion."""
    waits: list[float] = []
    prove(
        sessions or of_profile("production"),
        expected,
        on_wait=waits.append,
        patience=patience,
        in_a_row=3,
        interval=0.01,
    )
    return waits


def test_one_success_is_no_proof(aws: Aws) -> None:
    assert len(proves()) == 2
    assert len(aws.asked) == 3


def test_a_refusal_begins_the_count_anew(aws: Aws) -> None:
    yes = identity()
    aws.answers("GetCallerIdentity", REFUSED, yes, yes, REFUSED, yes)
    waits = proves()
    assert len(aws.asked) == 7
    assert len(waits) == 6
    assert waits == sorted(waits)


def test_every_question_goes_over_a_connection_of_its_own(aws: Aws) -> None:
    proves()
    assert len({asked.connection for asked in aws.asked}) == 3


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure"])
def test_what_a_new_key_may_be_refused_with_is_waited_for(aws: Aws, code: str) -> None:
    aws.answers("GetCallerIdentity", error(code), identity())
    proves()


def test_patience_ends_with_what_aws_answered_last(aws: Aws) -> None:
    aws.answers("GetCallerIdentity", error("AuthFailure"), REFUSED)
    with pytest.raises(RefusedError) as raised:
        proves(patience=0.1)
    assert "AWS refuses the keys: InvalidClientTokenId" in str(raised.value)
    assert "asked for 0.1 s" in str(raised.value)


@pytest.mark.parametrize(
    "expected", [Identity(ACCOUNT, arn("staging")), Identity("210987654321", arn("production"))]
)
def test_somebody_elses_keys_are_told_at_once(aws: Aws, expected: Identity) -> None:
    with pytest.raises(IdentityError) as raised:
        proves(expected=expected)
    assert not isinstance(raised.value, RefusedError)
    assert PRODUCTION.arn in str(raised.value)
    assert expected.arn in str(raised.value)
    assert len(aws.asked) == 1


def test_other_refusals_are_told_at_once(aws: Aws) -> None:
    aws.answers("GetCallerIdentity", error("AccessDenied", "by a\n policy"))
    with pytest.raises(IdentityError, match=r"^AWS says AccessDenied: by a policy$"):
        proves()
    assert len(aws.asked) == 1


def test_a_clock_that_is_wrong_is_no_new_key(aws: Aws) -> None:
    aws.answers("GetCallerIdentity", error("SignatureDoesNotMatch", "Signature expired: 2020"))
    with pytest.raises(IdentityError, match="clock"):
        proves()
    assert len(aws.asked) == 1


def test_no_network_is_told_at_once(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:1")
    start = time.monotonic()
    with pytest.raises(IdentityError, match="Could not connect") as raised:
        proves()
    assert time.monotonic() - start < 5
    assert "hunter2" not in str(raised.value)
    assert not aws.asked


def test_an_answer_that_is_not_of_aws_is_told_without_it(aws: Aws) -> None:
    aws.answers("GetCallerIdentity", f"<p>{SECRET}")
    with pytest.raises(IdentityError, match="what answers is not AWS") as raised:
        proves()
    assert SECRET not in str(raised.value)


def test_an_endpoint_that_is_none(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    with pytest.raises(IdentityError, match="AWS cannot be asked"):
        proves()
    assert not aws.asked


def test_neither_keys_nor_token_of_the_environment_win_over_the_profile(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_PROFILE", "missing")
    assert who(of_profile("production")) == PRODUCTION
    (asked,) = aws.asked
    assert (asked.key_id, asked.token) == ("AKIAPROFILE", None)


def test_keys_of_no_file_are_asked_for_as_they_are(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    keys = of_keys(Secret("AKIAGIVEN"), Secret(SECRET), "eu-west-1")
    assert who(keys) == PRODUCTION
    (asked,) = aws.asked
    assert (asked.key_id, asked.token) == ("AKIAGIVEN", None)
    assert asked.scope.split("/")[1] == "eu-west-1"


def test_the_files_are_read_anew(aws: Aws, tmp_path: Path) -> None:
    sessions = of_profile("production")
    who(sessions)
    credentials = tmp_path / "credentials"
    credentials.write_text(credentials.read_text().replace("AKIAPROFILE", "AKIAROTATED"))
    who(sessions)
    assert [asked.key_id for asked in aws.asked] == ["AKIAPROFILE", "AKIAROTATED"]


@pytest.mark.usefixtures("aws")
def test_sts_is_that_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    for sessions, region in (
        (of_profile("production"), "us-west-2"),
        (of_profile("production", "eu-west-1"), "eu-west-1"),
        (of_keys(Secret("AKIA"), Secret("x"), "us-east-1"), "us-east-1"),
    ):
        client = sessions().client("sts")
        assert client.meta.endpoint_url == f"https://sts.{region}.amazonaws.com"


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ("", r"The config profile \(production\) could not be found"),
        ("[production]\naws_access_key_id = AKIA\n", "no AWS credentials, or only a part"),
        (f"[production]\n{SECRET}\n", "boto3 cannot read .*credentials"),
        (
            f"[production]\ncredential_process = sh -c 'echo {SECRET} >&2; false'\n",
            "AWS cannot be asked \\(CredentialRetrievalError\\)",
        ),
        (
            f"[production]\ncredential_process = /{SECRET}\n",
            "cannot be used: No such file or directory",
        ),
        (
            f"[production]\nrole_arn = {ROLE}\nweb_identity_token_file = /{SECRET}\n",
            "cannot be used: No such file or directory",
        ),
        ("[production]\ncredential_process = echo []\n", "AWS cannot be asked"),
        ("[production]\ncredential_process =\n", "AWS cannot be asked"),
    ],
)
def test_files_that_lead_nowhere_are_told_without_what_is_in_them(
    aws: Aws, tmp_path: Path, credentials: str, reason: str
) -> None:
    (tmp_path / "credentials").write_text(credentials)
    if not credentials:
        (tmp_path / "config").write_text("")
    with pytest.raises(IdentityError, match=reason) as raised:
        who(of_profile("production", "us-west-2"))
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not aws.asked


def test_no_message_shows_a_secret_or_a_whole_key_id(aws: Aws) -> None:
    aws.answers("GetCallerIdentity", error("Strange", "AKIAIOSFODNN7EXAMPLE is odd"))
    with pytest.raises(IdentityError, match=r"^AWS says Strange: \.\.\.MPLE is odd$"):
        who(of_profile("production"))
    aws.answers("GetCallerIdentity", error("SignatureDoesNotMatch", f"string to sign: {SECRET}"))
    with pytest.raises(RefusedError) as raised:
        who(of_profile("production"))
    assert SECRET not in str(raised.value)


def test_several_are_proved_at_a_time(aws: Aws) -> None:
    """One that is wrong is told at once, while the other's four pauses go on."""
    staging = Identity(ACCOUNT, arn("staging"))
    sessions = of_profile("production")
    told: list[list[str]] = []
    start = time.monotonic()
    found = prove_all(
        {
            "production": (sessions, PRODUCTION),
            "staging": (sessions, staging),
            "twin": (sessions, PRODUCTION),
        },
        patience=10,
        on_wait=lambda names, _: told.append(list(names)),
    )
    assert time.monotonic() - start < 8
    assert found["production"] is found["twin"] is None
    assert "and should be those of" in str(found["staging"])
    assert told[0] == ["production", "staging", "twin"]
    assert told[-1] != told[0]
    assert len(aws.asked) == 11
