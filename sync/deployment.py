"""What the engine's state knows of a stack: more than its outputs tell. Pure.

`pulumi stack export` prints the state with every secret encrypted; of the rest only what is used is
taken out of it. An update that was killed shows here: a key that no output tells of, and the
creation of one that was never heard of again (``pending_operations``).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sync.engine import StackError
from sync.ssh_key import PublicKey, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Iterable

USER, ACCESS_KEY = "aws:iam/user:User", "aws:iam/accessKey:AccessKey"
KEY_PAIR, PRIVATE_KEY = "aws:ec2/keyPair:KeyPair", "tls:index/privateKey:PrivateKey"


class KnownAccessKey(NamedTuple):
    """An access key that the state knows."""

    generation: int
    access_key_id: str
    created: datetime | None


class Deployment(NamedTuple):
    """What the state of a stack knows."""

    user_id: str | None
    """The IAM user's unique id, which another user of the same name would not have."""
    access_keys: tuple[KnownAccessKey, ...]
    public_keys: dict[int, PublicKey]
    """The public half of every private key, by generation."""
    pending: tuple[str, ...]
    """The types of the resources whose creation began and was not heard of again."""
    is_interrupted: bool
    """Whether anything began that was not heard of again."""
    written: datetime
    """When the state was."""

    def generations(self, kind: str) -> frozenset[int]:
        """The generations it knows an "access key" of, or a "key pair"."""
        if kind == "key pair":
            return frozenset(self.public_keys)
        return frozenset(key.generation for key in self.access_keys)


def parse_export(printed: str) -> Deployment:
    """What ``pulumi stack export`` printed. Raises `StackError` where it is something else."""
    try:
        deployment = json.loads(printed)["deployment"]
        resources = deployment.get("resources") or []
        pending = deployment.get("pending_operations") or []
        return Deployment(
            next((each["outputs"]["uniqueId"] for each in _of(USER, resources)), None),
            tuple(map(_access_key, _of(ACCESS_KEY, resources))),
            dict(_public_keys(resources)),
            tuple(each["resource"]["type"] for each in pending if each["type"] == "creating"),
            bool(pending),
            datetime.fromisoformat(deployment["manifest"]["time"][:19] + "+00:00"),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise StackError("pulumi stack export did not print a stack's state") from None


def _of(kind: str, resources: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (each for each in resources if each["type"] == kind)


def _generation(resource: dict[str, Any]) -> int:
    """The program's rule: the name of the first has no number, that of the second ends in -2."""
    found = re.search(r"-([0-9]+)$", resource["urn"])
    return int(found.group(1)) if found else 1


def _access_key(resource: dict[str, Any]) -> KnownAccessKey:
    created = resource.get("outputs", {}).get("createDate")
    made = datetime.fromisoformat(created) if created else None
    return KnownAccessKey(_generation(resource), resource["id"], made)


def _public_keys(resources: Iterable[dict[str, Any]]) -> Iterable[tuple[int, PublicKey]]:
    for each in _of(PRIVATE_KEY, resources):
        key = parse_public_key(each["outputs"]["publicKeyOpenssh"].strip())
        if key:
            yield _generation(each), key
