"""Policy documents: load one, check its shape, fill in whose it is.

A document is a file in `policies/`, or is given inline in the stack's config. In both
`${user_arn}` stands for the ARN of the user the policy is embedded in. IAM's own variables, such
as `${aws:username}`, pass untouched: their names have a colon, or are one of `*`, `?` and `$`
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "policies"
VERSION: Final = "2012-10-17"  # the version of the policy language that has variables

_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
_IAM_ESCAPES: Final = frozenset("*?$")
_STATEMENT_ELEMENTS: Final = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


def load(source: str, directory: Path = DIRECTORY) -> Document:
    """Load and check a policy document.

    `source` is the JSON text of a document, or the name, without `.json`, of a file in
    `directory`.

    Raises ValueError, saying what is allowed, when there is no such file, and when what is there
    is not JSON or no policy that can be embedded in a user (see `check`).
    """
    if source.lstrip().startswith("{"):
        return _parse(source)
    files = {path.stem: path for path in sorted(directory.glob("*.json"))}
    if source not in files:  # and so no `../` leads out of the directory
        raise ValueError(
            f"must be a policy document, or the name of a file in {directory.name}/: "
            f"{', '.join(files)}"
        )
    path = files[source]
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{directory.name}/{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{directory.name}/{path.name}: {error}") from error


def check(document: object) -> None:
    """Check that a document has the shape of an identity-based policy.

    This is the frame of IAM's grammar, not what the names in it mean: an object with `Version`
    and `Statement`; in each statement `Effect`, one of `Action` and `NotAction`, one of
    `Resource` and `NotResource`, and no `Principal`, since the user is the principal
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html).

    Raises ValueError, saying what is allowed.
    """
    if not isinstance(document, dict):
        raise ValueError("a policy document must be a JSON object")  # noqa: TRY004 - the input's fault
    if document.get("Version") != VERSION:
        # YAML reads a bare 2012-10-17 as a date, which arrives here with a time of day.
        raise ValueError(f'Version must be "{VERSION}", in quotes where the document is YAML')
    if others := document.keys() - {"Version", "Id", "Statement"}:
        raise ValueError(f"{min(others)!r} is not an element of a policy document")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise ValueError("Statement must be a statement or a list of statements")
    for number, statement in enumerate(statements, start=1):
        try:
            _check_statement(statement)
        except ValueError as error:
            raise ValueError(f"statement {number}: {error}") from error
    for name in _PLACEHOLDER.findall(json.dumps(document)):
        if name != "user_arn" and ":" not in name and name not in _IAM_ESCAPES:
            raise ValueError(
                f"${{{name}}} is neither ${{user_arn}} nor a variable of IAM, such as "
                "${aws:username}"
            )


def fill_in(document: Document, *, user_arn: str) -> str:
    """Return the document as the JSON text that IAM takes, with `${user_arn}` filled in."""
    text = json.dumps(document, separators=(",", ":"))
    # No character of an ARN needs an escape in JSON, so it can go into the text as it is.
    return text.replace("${user_arn}", user_arn)


def _parse(text: str | bytes) -> Document:
    try:
        document: Document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    check(document)
    return document


def _check_statement(statement: object) -> None:
    if not isinstance(statement, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - the input's fault
    if others := statement.keys() - _STATEMENT_ELEMENTS:
        raise ValueError(f"{min(others)!r} is not an element of a user's policy")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise ValueError("Effect must be Allow or Deny")
    for element in ("Action", "Resource"):
        given = [name for name in (element, f"Not{element}") if name in statement]
        if len(given) != 1:
            raise ValueError(f"must have either {element} or Not{element}")
        if not _is_text(statement[given[0]]):
            raise ValueError(f"{given[0]} must be text or a list of texts")


def _is_text(value: object) -> bool:
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) and text for text in texts)
