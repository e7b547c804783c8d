"""What speaks against a step of a rotation, asked of AWS with the credentials of `pulumi up`.

Where whoever runs it is not allowed to look, a check that only spares a failure later is left out;
one that keeps somebody from being locked out is not.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sync import deployment, precautions
from sync.account import AccountError, NotAllowed
from sync.engine import StackError
from sync.plan import mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sync.account import Account
    from sync.deployment import Deployment
    from sync.stack import StackKeys

_CREATED = frozenset((deployment.ACCESS_KEY, deployment.KEY_PAIR))
"""What a rotation creates at AWS. An SSH key's private half is made by the engine itself."""


class Checks:
    """Checks of what is deployed, ``keys``, and what the engine's state knows besides.

    Each raises `StackError` with the objection, or `AccountError` where AWS gives no answer.
    """

    def __init__(self, keys: StackKeys, deployed: Deployment, account: Account) -> None:
        self._keys = keys
        self._deployed = deployed
        self._account = account

    def user(self) -> None:
        """The user is the one that the stack made, and not another of the same name."""
        made, name = self._deployed.user_id, self._keys.user_name
        with contextlib.suppress(NotAllowed):
            there = self._account.user_id(name)
            if made not in (None, there):
                raise StackError(
                    f"user {name} is not the one that this stack made: its unique id is {there}, "
                    f"in the stack's state it is {made}"
                )

    def access_key(self, *, is_made: bool) -> None:
        """The user may be given another access key, and its old one retired and deleted.

        ``is_made``: it was given by an update that was cut off later.
        """
        self._permission(
            ("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"),
            self._keys.user_arn,
        )
        if is_made:
            return
        with contextlib.suppress(NotAllowed):
            known = [key.access_key_id for key in self._deployed.access_keys]
            there = self._account.access_keys(self._keys.user_name)
            _object(precautions.no_slot(there, known, _now()))

    def key_pair(self) -> None:
        """EC2's key pair is the stack's, and may be replaced."""
        keys = self._keys
        partition = keys.user_arn.split(":")[1]
        self._permission(
            ("ec2:DeleteKeyPair", "ec2:ImportKeyPair"),
            f"arn:{partition}:ec2:{keys.region}:{keys.account_id}:key-pair/{keys.key_name}",
        )
        with contextlib.suppress(NotAllowed):
            self._is_ours_at_ec2()

    def _permission(self, actions: tuple[str, ...], resource: str) -> None:
        denied = self._account.denied(self._account.caller().arn, actions, [resource])
        if denied:
            raise StackError(f"whoever runs this may not {', '.join(denied)} on {resource}")

    def _is_ours_at_ec2(self) -> bool:
        """Whether EC2 has the key pair; raises where it holds a key that the state does not."""
        there = self._account.public_key(self._keys.key_name)
        if there and there not in self._deployed.public_keys.values():
            raise StackError(
                f"key pair {self._keys.key_name} in {self._keys.region} holds a key "
                f"({there.fingerprint}) that this stack did not make: it is left alone"
            )
        return there is not None

    def use(self, after: timedelta) -> None:
        """The old access key is not in use any more, and ``after`` is over."""
        previous = self._keys.previous_access_key
        try:
            there = self._account.access_keys(self._keys.user_name)
        except NotAllowed:
            raise StackError(
                "whoever runs this may not see when the old access key was last used "
                "(iam:ListAccessKeys, iam:GetAccessKeyLastUsed); --force retires it nevertheless"
            ) from None
        keys = {key.access_key_id: key for key in there}
        new = keys.get(self._keys.access_key_id.reveal())
        old = keys.get(previous.access_key_id.reveal()) if previous else None
        if new is None:
            raise StackError("AWS does not have the new access key any more: --undo goes back")
        now = _now()
        problem = precautions.too_early(new, after, now)
        if old and not problem:
            problem = precautions.in_use(old, new, now)
        _object(problem and f"{problem}; --force retires it nevertheless")

    def machines(self) -> None:
        """No machine runs that was launched before EC2 had the new SSH key."""
        name = self._keys.key_name
        with contextlib.suppress(NotAllowed):
            made = self._account.key_pair_created(name)
            instances = self._account.running_instances(name)
            told = precautions.old_machines(instances, made) if made else None
            _object(
                told
                and f"{told}; --force finishes nevertheless, and leaves the old key only in "
                "the files of those who have synced it"
            )

    def tell_of_machines(self, tell: Callable[[str], None]) -> None:
        """Say which machines a new SSH key is for, and which know only the old one."""
        name, region = self._keys.key_name, self._keys.region
        tell(
            f"instances launched from now on with key pair {name} in {region}, by hand, launch "
            "template or Auto Scaling group, take the new SSH key; running ones know only the old"
        )
        with contextlib.suppress(AccountError):
            told = precautions.old_machines(self._account.running_instances(name), _now())
            if told:
                tell(told)

    def recover(self, tell: Callable[[str], None], confirm: Callable[[str], bool]) -> None:
        """Delete what an update made at AWS and died before the state knew of it.

        A key is deleted only after ``confirm``, unless the state has all of it.
        """
        pending = set(self._deployed.pending)
        if others := pending - _CREATED:
            raise StackError(
                f"an update was cut off while it created {min(others)}: see whether AWS has it, "
                "then 'pulumi refresh' asks what is to become of it"
            )
        if deployment.ACCESS_KEY in pending:
            self._delete_lost_access_key(tell, confirm)
        # It holds the public half of a key that the state has, and is made anew.
        if deployment.KEY_PAIR in pending and self._is_ours_at_ec2():
            self._account.delete_key_pair(self._keys.key_name)

    def _delete_lost_access_key(
        self, tell: Callable[[str], None], confirm: Callable[[str], bool]
    ) -> None:
        user = self._keys.user_name
        lost = precautions.lost_key(self._account.access_keys(user), self._deployed.access_keys)
        if lost is None:
            return
        shown = mask(lost.access_key_id)
        tell(
            f"an update died after AWS had made access key {precautions.describe(lost, _now())} "
            "and before its secret was kept: nobody can use it"
        )
        if not confirm(f"Delete access key {shown} of user {user}?"):
            raise StackError(f"access key {shown} is in the way: --yes has it deleted")
        self._account.delete_access_key(user, lost.access_key_id)
        tell(f"deleted access key {shown}")


def _object(problem: str | None) -> None:
    if problem:
        raise StackError(problem)


def _now() -> datetime:
    return datetime.now(UTC)
