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

USED_OUTPUTS = {
    "key_algorithm": Form(re.compile(r"ED25519|RSA"), "ED25519 or RSA"),
    "public_key": Form(_PUBLIC_KEY, "one line, as in authorized_keys"),
    "private_key": Form(_PRIVATE_KEY, "a private key as ssh takes it", is_secret=True),
    "account_id": Form(re.compile(r"[0-9]{12}"), "12 digits"),
    "region": Form(re.compile(r"[a-z0-9-]+"), "one line of a-z, 0-9 and '-'"),
    "access_key_id": Form(_ACCESS_KEY_ID, "16 to 128 letters and digits", is_secret=True),
    "secret_access_key": Form(re.compile(r"[!-~]+"), "one line without spaces", is_secret=True),
}
"""The outputs that sync reads, by name."""


class StackKeys(NamedTuple):
    """What a stack gives to the files of a home directory, each value checked."""

    stack: str
    """The last part of the stack's name."""
    key_algorithm: str
    public_key: PublicKey
    private_key: Secret
    account_id: str
    region: str
    access_key_id: Secret
    secret_access_key: Secret


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
    for name, form in USED_OUTPUTS.items():
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
    return StackKeys(short_name(stack), **values)


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
