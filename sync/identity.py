"""Asks STS whose keys they are.

IAM tells its replicas of a new key one after the other: for about ten seconds some of them refuse
it, and one that takes it is no proof that the next does ("Eventual consistency", IAM User Guide,
"Troubleshoot IAM"). So a key is proved only when it was taken several times in a row, each time
over a connection of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from botocore.loaders import Loader
    from mypy_boto3_sts import STSClient

    from sync.aws import Sessions
    from sync.secret import Secret

_AT_A_TIME = 16  # they mostly wait


class IdentityError(Exception):
    """Why it is not proved whose keys they are, in one line for the user; no part is secret."""


class RefusedError(IdentityError):
    """AWS does not take the keys: they are wrong, inactive, deleted, or not known yet."""


class Identity(NamedTuple):
    """Who AWS says somebody is."""

    account_id: str
    arn: str


def of_profile(profile: str, region: str | None = None, loader: Loader | None = None) -> Sessions:
    """Sessions of ``profile`` as a program that uses it makes them, from the files as they are.

    ``region``, the profile's where there is none, is that of the STS that is asked. Keys or a
    session token in the environment do not win over the profile.
    """
    from sync import aws

    return lambda: aws.session(loader, profile=profile, region=region)


def of_keys(access_key_id: Secret, secret_access_key: Secret, region: str) -> Sessions:
    """Sessions of keys that are in no file."""
    from sync import aws

    keys = access_key_id, secret_access_key
    return lambda: aws.session(keys=keys, region=region)


def who(session_factory: Sessions) -> Identity:
    """Who they are. One question, no waiting.

    Raises `RefusedError` where AWS does not take the keys, `IdentityError` for all else.
    """
    client = _client(session_factory)
    try:
        return _ask(client)
    finally:
        client.close()


def prove(  # noqa: PLR0913  what is proved, and how hard
    session_factory: Sessions,
    expected: Identity,
    *,
    on_wait: Callable[[float], None],
    patience: float = 60.0,
    in_a_row: int = 5,
    interval: float = 1.0,
) -> None:
    """Return once AWS has taken the keys ``in_a_row`` times, ``interval`` seconds apart.

    A refusal of the keys begins the count anew, for up to ``patience`` seconds; then it raises
    `RefusedError` with what AWS answered last. Raises `IdentityError` at once where the keys are
    not those of ``expected``, and for everything that waiting does not help. ``on_wait`` is called
    before every pause, with the seconds that it has taken so far.
    """
    client = _client(session_factory)
    start = time.monotonic()
    taken = 0
    while True:
        try:
            found = _ask(client)
        except RefusedError as refusal:
            taken = 0
            if time.monotonic() - start + interval > patience:
                raise RefusedError(f"{refusal}; asked for {patience:g} s") from None
        else:
            if found != expected:
                raise IdentityError(
                    f"the keys are those of {found.arn}, and should be those of {expected.arn}"
                )
            taken += 1
            if taken >= in_a_row:
                return
        finally:
            client.close()  # the next question goes over a new connection, perhaps elsewhere
        on_wait(time.monotonic() - start)
        time.sleep(interval)


def prove_all(
    wanted: Mapping[str, tuple[Sessions, Identity]],
    *,
    patience: float,
    on_wait: Callable[[Sequence[str], float], None],
) -> dict[str, IdentityError | None]:
    """`prove` several at a time, by name: None for one that is proved, or why it is not.

    ``on_wait`` is called every second with the names that are still to be proved, and the seconds
    that it has taken so far.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(max_workers=_AT_A_TIME)
    start = time.monotonic()
    try:
        proofs = {
            name: pool.submit(prove, sessions, who, on_wait=lambda _: None, patience=patience)
            for name, (sessions, who) in wanted.items()
        }
        while pending := [name for name, proof in proofs.items() if not proof.done()]:
            on_wait(pending, time.monotonic() - start)
            wait([proofs[name] for name in pending], timeout=1)
    finally:  # whoever interrupts does not wait for those that do
        pool.shutdown(wait=False, cancel_futures=True)
    found: dict[str, IdentityError | None] = {}
    for name, proof in proofs.items():
        error = proof.exception()
        if error is not None and not isinstance(error, IdentityError):
            raise error
        found[name] = error
    return found


def _client(session_factory: Sessions) -> STSClient:
    from sync import aws

    try:
        return session_factory().client("sts", config=aws.config())
    except aws.errors() as error:
        raise IdentityError(aws.explain(error)) from None


def _ask(client: STSClient) -> Identity:
    from sync import aws

    try:
        answer = client.get_caller_identity()
    except aws.errors() as error:
        kind = RefusedError if aws.is_unknown_key(error) else IdentityError
        raise kind(aws.explain(error)) from None
    return Identity(answer["Account"], answer["Arn"])
