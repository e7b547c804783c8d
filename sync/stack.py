"""What a stack gives to a home directory: its outputs, every one that sync uses checked."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from sync.engine import StackError, short_name
from sync.secret import Secret
from sync.ssh_key import PublicKey, parse_private_key, parse_public_key


class Form(NamedTuple):
    """What an output must look like as a whole: for the machine and in words."""

    pattern: re.Pattern[str]
    words: str
    is_secret: bool = False


_ACCESS_KEY_ID = re.compile(r"\w{16,128}", re.ASCII)  # IAM API reference, AccessKey
_PUBLIC_KEY = re.compile(r"ssh-(ed25519|rsa) [A-Za-z0-9+/]+={0,2}( [ -~]*)?")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[ -~\n]+\n-----END [ -~]+\n*")

_NAME = re.compile(r"[ -~]{1,255}")
_USER_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:user/[!-~]+")

USED_OUTPUTS = {
    "key_name": Form(_NAME, "one line of at most 255 characters"),
    "key_algorithm": Form(re.compile(r"ED25519|RSA"), "ED25519 or RSA"),
    "public_key": Form(_PUBLIC_KEY, "one line, as in authorized_keys"),
    "private_key": Form(_PRIVATE_KEY, "a private key as ssh takes it", is_secret=True),
    "user_name": Form(_NAME, "one line of at most 255 characters"),
    "user_arn": Form(_USER_ARN, "the ARN of an IAM user"),
    "account_id": Form(re.compile(r"[0-9]{12}"), "12 digits"),
    "region": Form(re.compile(r"[a-z0-9-]+"), "one line of a-z, 0-9 and '-'"),
    "access_key_id": Form(_ACCESS_KEY_ID, "16 to 128 letters and digits", is_secret=True),
    "secret_access_key": Form(re.compile(r"[!-~]+"), "one line without spaces", is_secret=True),
}
"""The outputs that sync reads, by name."""

OUTPUTS_OF_A_ROTATION = {
    "previous_access_key": Form(re.compile("Active|Inactive"), "Active or Inactive"),
    "previous_access_key_id": USED_OUTPUTS["access_key_id"],
    "previous_secret_access_key": USED_OUTPUTS["secret_access_key"],
    "previous_private_key": USED_OUTPUTS["private_key"],
}
"""Those that are there only while a rotation is under way."""

COUNTS = {"access_key_generation": 1, "key_pair_generation": 1, "rotation_step": 0}
"""Numbers, and the least that each may be, which is that of a stack of an earlier version."""


class PreviousAccessKey(NamedTuple):
    """The access key that a rotation is to replace, while it is still there."""

    status: str
    """``Active`` or ``Inactive``, as AWS has it."""
    access_key_id: Secret
    secret_access_key: Secret


class PreviousKeyPair(NamedTuple):
    """The SSH key that a rotation is to replace, while it is still kept."""

    private_key: Secret
    public_key: PublicKey


class StackKeys(NamedTuple):
    """What a stack gives to the files of a home directory, each value checked."""

    stack: str
    """The last part of the stack's name."""
    key_name: str
    key_algorithm: str
    public_key: PublicKey
    private_key: Secret
    user_name: str
    user_arn: str
    account_id: str
    region: str
    access_key_id: Secret
    secret_access_key: Secret
    access_key_generation: int = 1
    key_pair_generation: int = 1
    rotation_step: int = 0
    previous_access_key: PreviousAccessKey | None = None
    previous_key_pair: PreviousKeyPair | None = None

    @property
    def with_previous_access_key(self) -> StackKeys:
        """The same with the previous access key in force, as long as there is one."""
        previous = self.previous_access_key
        if previous is None:
            return self
        return self._replace(
            access_key_id=previous.access_key_id, secret_access_key=previous.secret_access_key
        )

    @property
    def with_previous_key_pair(self) -> StackKeys:
        """The same with the previous SSH key in force, and kept besides the one that was."""
        previous = self.previous_key_pair
        if previous is None:
            return self
        return self._replace(
            key_algorithm=previous.public_key.algorithm,
            private_key=previous.private_key,
            public_key=previous.public_key,
            previous_key_pair=PreviousKeyPair(self.private_key, self.public_key),
        )


def parse_outputs(stack: str, printed: str) -> StackKeys:
    """``StackKeys`` from what ``pulumi stack output --json --show-secrets`` printed for ``stack``.

    Raises `StackError`, naming the output, for one that is missing, null, masked, or not of the
    form it has to have. Values are not quoted: most are secret.
    """
    try:
        outputs = json.loads(printed)
    except ValueError:  # not chained: the error holds the text it could not parse
        raise StackError("pulumi did not print JSON") from None
    if not outputs:
        raise StackError(f"has no outputs: deploy it with 'pulumi up -s {stack}'")
    if not isinstance(outputs, dict):
        raise StackError("pulumi printed something else than the stack's outputs")
    previous = {name: form for name, form in OUTPUTS_OF_A_ROTATION.items() if name in outputs}
    for name, form in (USED_OUTPUTS | previous).items():
        if name not in outputs:
            raise StackError(f"output {name} is missing: deploy it with 'pulumi up -s {stack}'")
        value = outputs[name]
        if value is None:
            raise StackError(f"output {name} is null: was the passphrase the right one?")
        if value == "[secret]":
            raise StackError(f"output {name} is masked: pulumi did not show its secrets")
        if not isinstance(value, str) or not form.pattern.fullmatch(value):
            raise StackError(f"output {name} is not of the form it must have: {form.words}")
    values: dict[str, Any] = {
        name: Secret(outputs[name]) if form.is_secret else outputs[name]
        for name, form in USED_OUTPUTS.items()
    }
    values["public_key"] = _check_key_pair(outputs)
    for name, least in COUNTS.items():
        values[name] = _count(name, outputs.get(name, least), least)
    values["previous_access_key"] = _previous_access_key(outputs)
    values["previous_key_pair"] = _previous_key_pair(outputs)
    return StackKeys(short_name(stack), **values)


def _count(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StackError(f"output {name} is not of the form it must have: a number from {least}")
    return value


def _previous_access_key(outputs: dict[str, str]) -> PreviousAccessKey | None:
    names = [name for name in OUTPUTS_OF_A_ROTATION if "access_key" in name]
    there = [name for name in names if name in outputs]
    if not there:
        return None
    if there != names:
        missing = next(name for name in names if name not in there)
        raise StackError(f"output {missing} is missing, while {there[0]} is there")
    status, key_id, secret = (outputs[name] for name in names)
    return PreviousAccessKey(status, Secret(key_id), Secret(secret))


def _previous_key_pair(outputs: dict[str, str]) -> PreviousKeyPair | None:
    if "previous_private_key" not in outputs:
        return None
    key = parse_private_key(outputs["previous_private_key"].encode())
    if key is None or key.has_passphrase:
        raise StackError("output previous_private_key is no private key that ssh takes as it is")
    return PreviousKeyPair(Secret(outputs["previous_private_key"]), key.public_key)


def _check_key_pair(outputs: dict[str, str]) -> PublicKey:
    public = parse_public_key(outputs["public_key"])
    private = parse_private_key(outputs["private_key"].encode())
    if public is None:
        raise StackError("output public_key is no public key")
    if private is None or private.has_passphrase:
        raise StackError("output private_key is no private key that ssh takes as it is")
    if private.public_key != public:
        raise StackError("output private_key is not the private half of public_key")
    if public.algorithm != outputs["key_algorithm"]:
        raise StackError(
            f"output key_algorithm says {outputs['key_algorithm']}, the key is another"
        )
    return public
