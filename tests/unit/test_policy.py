"""Policy documents: which are loaded, and what becomes of their placeholders."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from components.policy import DIRECTORY, check, fill_in, load

ARN = "arn:aws:iam::123456789012:user/staging"
STATEMENT: dict[str, Any] = {"Effect": "Allow", "Action": "iam:GetUser", "Resource": "${user_arn}"}
DOCUMENT: dict[str, Any] = {"Version": "2012-10-17", "Statement": [STATEMENT]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "self.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "outside.json").write_text(json.dumps(DOCUMENT))
    return policies


def test_full_access_is_every_action_on_the_user_itself() -> None:
    assert json.loads(fill_in(load("full-access"), user_arn=ARN)) == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": ARN}],
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.iterdir()))
def test_every_policy_that_comes_with_the_project_loads(name: str) -> None:
    assert load(name)


def test_a_name_is_a_file_in_the_directory(directory: Path) -> None:
    assert load("self", directory) == DOCUMENT


def test_a_document_given_inline_is_taken_as_it_is(directory: Path) -> None:
    assert load(f"  {json.dumps(DOCUMENT)}", directory) == DOCUMENT


@pytest.mark.parametrize("name", ["other", "self.json", "../outside", "", "*", "[]"])
def test_a_name_that_is_no_file_there_is_refused_with_those_that_are(
    name: str, directory: Path
) -> None:
    with pytest.raises(ValueError, match=r"the name of a file in policies/: self$"):
        load(name, directory)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "policies/self.json: not JSON: .*line 1 column 2"),
        (b"\xff\xff", "policies/self.json: not JSON: "),
        (b"[]", "policies/self.json: a policy document must be a JSON object"),
    ],
)
def test_a_file_that_is_no_policy_is_named(content: bytes, complaint: str, directory: Path) -> None:
    (directory / "self.json").write_bytes(content)

    with pytest.raises(ValueError, match=complaint):
        load("self", directory)


def test_a_file_that_cannot_be_read_is_named(directory: Path) -> None:
    (directory / "folder.json").mkdir()

    with pytest.raises(ValueError, match=r"policies/folder.json: Is a directory"):
        load("folder", directory)


def test_an_inline_document_that_is_not_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^not JSON: "):
        load("{Version: 2012-10-17}")


@pytest.mark.parametrize(
    "statement",
    [
        STATEMENT,
        {**STATEMENT, "Sid": "Self", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {**STATEMENT, "Effect": "Deny", "Action": ["iam:*", "sts:*"]},
        {"Effect": "Allow", "NotAction": "iam:*", "NotResource": ["*"]},
    ],
)
def test_what_iam_takes_passes(statement: dict[str, Any]) -> None:
    check({**DOCUMENT, "Id": "a", "Statement": statement})
    check({**DOCUMENT, "Statement": [statement, statement]})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"Version": None}, 'Version must be "2012-10-17"'),
        ({"Version": "2008-10-17"}, 'Version must be "2012-10-17"'),
        ({"Version": "2012-10-17 00:00:00 +0000 UTC"}, "in quotes where the document is YAML"),
        ({"Statements": []}, "'Statements' is not an element"),
        ({"Statement": None}, "Statement must be"),
        ({"Statement": []}, "Statement must be"),
        ({"Statement": [STATEMENT, "text"]}, "statement 2: must be a JSON object"),
    ],
)
def test_a_document_of_another_shape_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check({**DOCUMENT, **change})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"Effect": "allow"}, "Effect must be Allow or Deny"),
        ({"Effect": None}, "Effect must be Allow or Deny"),
        ({"Action": None}, "must have either Action or NotAction"),
        ({"NotAction": "*"}, "must have either Action or NotAction"),
        ({"Resource": None}, "must have either Resource or NotResource"),
        ({"Resource": 1}, "Resource must be text"),
        ({"Action": []}, "Action must be text"),
        ({"Action": ["iam:*", ""]}, "Action must be text"),
        ({"Principal": "*"}, "'Principal' is not an element of a user's policy"),
    ],
)
def test_a_statement_of_another_shape_is_refused(change: dict[str, Any], complaint: str) -> None:
    statement = {**STATEMENT, **change}
    statement = {key: value for key, value in statement.items() if value is not None}

    with pytest.raises(ValueError, match=f"^statement 1: {complaint}"):
        check({**DOCUMENT, "Statement": statement})


@pytest.mark.parametrize("name", ["usr_arn", "USER_ARN", "", "user_arn "])
def test_a_placeholder_that_nothing_fills_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is neither \$\{user_arn\} nor a variable of IAM"):
        check({**DOCUMENT, "Statement": {**STATEMENT, "Resource": f"${{{name}}}"}})


def test_the_users_arn_is_filled_in_and_variables_of_iam_are_left() -> None:
    variables = ["${aws:username}", "${s3:prefix, 'none'}", "${*}", "${?}", "${$}"]
    document = {
        "Version": "2012-10-17",
        "Statement": {**STATEMENT, "Resource": ["${user_arn}", "${user_arn}/*", *variables]},
    }
    before = copy.deepcopy(document)

    check(document)
    filled = json.loads(fill_in(document, user_arn=ARN))

    assert filled["Statement"]["Resource"] == [ARN, f"{ARN}/*", *variables]
    assert document == before
