"""What AWS takes for a name, a tag and the size of a key.

Each reader turns the text of a setting into its value, or raises ValueError with what is allowed.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Algorithm: TypeAlias = Literal["ED25519", "RSA"]

# EC2's guide to importing a public key:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html
# Of sizes it names 2048 and 4096 as those that EC2 Instance Connect takes too; 3072, which
# ssh-keygen makes unless told otherwise, is taken as well.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {"ED25519": "ED25519", "RSA": "RSA"}
RSA_BITS: Final = {"2048": 2048, "3072": 3072, "4096": 4096}

_MAX_TAGS: Final = 50
_MAX_TAG_KEY: Final = 128
_MAX_TAG_VALUE: Final = 256
_TAG_PUNCTUATION: Final = "_.:/=+-@"


def one_of(choices: Mapping[str, T]) -> Callable[[str], T]:
    """Return a reader of one of a few values, given by the text that stands for each."""

    def read(text: str) -> T:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choice or 'empty' for choice in choices)}")
        return choices[text]

    return read


def iam_name(longest: int) -> Callable[[str], str]:
    """Return a reader of a name that IAM takes: 64 characters for a user, 128 for a policy.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutUserPolicy.html
    """

    def read(text: str) -> str:
        if not re.fullmatch(rf"[A-Za-z0-9_+=,.@-]{{1,{longest}}}", text):
            raise ValueError(f"must be 1 to {longest} of A-Z a-z 0-9 _ + = , . @ -")
        return text

    return read


def key_pair_name(text: str) -> str:
    """Read the name of an EC2 key pair.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html
    """
    if not re.fullmatch(r"[ -~]{1,255}", text) or text != text.strip(" "):
        raise ValueError("must be 1 to 255 printable ASCII characters, no space at either end")
    return text


def tags(text: str, own: Mapping[str, str]) -> dict[str, str]:
    """Read tags, a JSON object, and set `own` beside them.

    The same tags go to EC2 and to IAM, so the narrower rules hold, which are IAM's: fewer
    characters, and keys that differ in more than case.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ValueError("must be an object of texts")  # noqa: TRY004 - the input's fault
    taken = {key.casefold() for key in own}
    for key, value in given.items():
        _check_tag(key, value)
        if key.casefold() in taken:
            raise ValueError(f"the key {key!r} is there already (case does not distinguish keys)")
        taken.add(key.casefold())
    if len(taken) > _MAX_TAGS:
        raise ValueError(f"at most {_MAX_TAGS - len(own)} tags beside {' and '.join(own)}")
    return {**given, **own}


def _check_tag(key: str, value: object) -> None:
    allowed = f"letters, digits, spaces and {_TAG_PUNCTUATION}"
    if not 0 < len(key) <= _MAX_TAG_KEY or not _is_tag_text(key):
        raise ValueError(f"the key {key!r} must be 1 to {_MAX_TAG_KEY} {allowed}")
    if key.casefold().startswith("aws:"):
        raise ValueError(f"the key {key!r} must not begin with aws:, which AWS keeps for itself")
    if not isinstance(value, str):
        raise ValueError(f"the value of {key!r} must be text: a number or boolean needs quotes")  # noqa: TRY004 - the input's fault
    if len(value) > _MAX_TAG_VALUE or not _is_tag_text(value):
        raise ValueError(f"the value of {key!r} must be at most {_MAX_TAG_VALUE} {allowed}")


def _is_tag_text(text: str) -> bool:
    return all(
        unicodedata.category(character)[0] in "LNZ" or character in _TAG_PUNCTUATION
        for character in text
    )
