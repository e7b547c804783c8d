"""Asks AWS about several stacks at a time, while something else is done.

Nothing that runs in the pool waits for what is queued in it: all its threads might.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from sync import aws
from sync.account import Account, AccountError, Ambient, Gone, NoCredentialsError, NotAllowed
from sync.identity import Identity, IdentityError, RefusedError, of_profile, who
from sync.plan import mask
from sync.standing import CURRENT, OTHER, PREVIOUS, AwsKey, Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from botocore.loaders import Loader

    from sync.account import AccessKey
    from sync.ssh_key import PublicKey
    from sync.stack import StackKeys

T = TypeVar("T")

_AT_A_TIME = 8


class AtAws(NamedTuple):
    """What AWS knows of a stack, each part as soon as it is there."""

    key_pair: Future[PublicKey | Unknown | None]
    access_keys: Future[tuple[AwsKey, ...] | Unknown]
    quarantine: Future[str | Unknown | None]


class Looking:
    """A pool of threads that ask. What is still to be asked when the block ends is left alone."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_AT_A_TIME)
        self._prepared = self._pool.submit(_prepare)  # first, so it runs when others wait for it
        self._callers: dict[str, Future[Identity]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Do ``work`` in a thread."""
        return self._pool.submit(work)

    def warm(self, regions: Iterable[str]) -> None:
        """Make the clients that will be needed, and ask who is asking."""
        for region in set(regions):
            self._pool.submit(self._caller, region)
            self._pool.submit(self._make_clients, region)

    def identity(self, profile: str, region: str) -> Future[Identity | Refused | Unknown]:
        """Who STS says the keys of ``profile`` are."""

        def ask() -> Identity | Refused | Unknown:
            try:
                return who(of_profile(profile, region, self._prepared.result()[0]))
            except RefusedError as error:
                return Refused(str(error))
            except IdentityError as error:
                return Unknown(str(error), is_failure=True)

        return self._pool.submit(ask)

    def at_aws(self, keys: StackKeys) -> AtAws:
        """What IAM and EC2 know of the stack's user and key pair."""

        def ask(question: Callable[[Account], T]) -> Callable[[], T | Unknown]:
            return lambda: self._ask(keys, question)

        user = keys.user_name
        return AtAws(
            self._pool.submit(ask(lambda account: account.public_key(keys.key_name))),
            self._pool.submit(ask(lambda account: _access_keys(account, keys))),
            self._pool.submit(ask(lambda account: _unless_gone(account.quarantine, user, None))),
        )

    @property
    def _ambient(self) -> Ambient:
        return self._prepared.result()[1]

    def _make_clients(self, region: str) -> None:
        self._ambient.iam(region)
        self._ambient.ec2(region)

    def _caller(self, region: str) -> Identity:
        """Who asks: whoever comes first finds it out in its own thread, for all others."""
        with self._lock:
            is_first = region not in self._callers
            answer = self._callers.setdefault(region, Future())
        if is_first:
            try:
                answer.set_result(Account(region, self._ambient).caller())
            except BaseException as error:  # noqa: BLE001  raised below, and for all others
                answer.set_exception(error)
        return answer.result()

    def _ask(self, keys: StackKeys, question: Callable[[Account], T]) -> T | Unknown:
        try:
            account = self._caller(keys.region).account_id
            if account != keys.account_id:  # where a user of that name would be another's
                return Unknown(f"the AWS credentials here are of account {account}")
            return question(Account(keys.region, self._ambient))
        except (NotAllowed, NoCredentialsError) as error:
            return Unknown(str(error))
        except AccountError as error:
            return Unknown(str(error), is_failure=True)


def _prepare() -> tuple[Loader, Ambient]:
    import boto3  # noqa: F401  to have it imported

    loader = aws.loader()
    return loader, Ambient(loader)


def _unless_gone(ask: Callable[[str], T], user_name: str, otherwise: T) -> T:
    try:
        return ask(user_name)
    except Gone:
        return otherwise


def _access_keys(account: Account, keys: StackKeys) -> tuple[AwsKey, ...]:
    known = {keys.access_key_id.reveal(): CURRENT}
    if keys.previous_access_key:
        known[keys.previous_access_key.access_key_id.reveal()] = PREVIOUS
    none: list[AccessKey] = []
    return tuple(
        AwsKey(
            mask(key.access_key_id),
            known.get(key.access_key_id, OTHER),
            key.is_active,
            key.created,
            key.last_used,
        )
        for key in _unless_gone(account.access_keys, keys.user_name, none)
    )
