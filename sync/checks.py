"""What speaks against a step of a rotation, asked of AWS with the credentials of `pulumi up`.

Where whoever runs it is not allowed to look, a check that only spares a failure later is left out;
one that keeps somebody from being locked out is not.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sync import deployment, precautions
from sync.account import AccountError, NotAllowed
from sync.engine import StackError
from sync.plan import mask
from sync.rotation import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from sync.account import AccessKey, Account
    from sync.deployment import Deployment
    from sync.rotation import State
    from sync.stack import StackKeys

_CREATED = frozenset((deployment.ACCESS_KEY, deployment.KEY_PAIR, deployment.PRIVATE_KEY))
"""What a rotation creates. A private key is nowhere but in the state, so none is lost."""


class Checks:
    """Checks of what is deployed, ``keys``, and what the engine's state knows besides.

    Each raises `StackError` with the objection, or `AccountError` where AWS gives no answer.
    """

    def __init__(self, keys: StackKeys, deployed: Deployment, account: Account) -> None:
        self._keys = keys
        self._deployed = deployed
        self._account = account

    def user(self) -> None:
        """The account is the stack's, and the user the one that it made, and no other."""
        there_id = self._account.caller().account_id
        if there_id != self._keys.account_id:
            raise StackError(
                f"the AWS credentials here are of account {there_id}, and the stack is in "
                f"{self._keys.account_id}"
            )
        made, name = self._deployed.user_id, self._keys.user_name
        with contextlib.suppress(NotAllowed):
            there = self._account.user_id(name)
            if made not in (None, there):
                raise StackError(
                    f"user {name} is not the one that this stack made: its unique id is {there}, "
                    f"in the stack's state it is {made}"
                )

    def own_keys(self, way: Sequence[State]) -> None:
        """Nobody locks himself out: keys in the environment are not read anew."""
        keys = self._keys
        ids = {keys.access_key_id.reveal()}
        if keys.previous_access_key:
            ids.add(keys.previous_access_key.access_key_id.reveal())
        ambient = os.environ.get("AWS_ACCESS_KEY_ID")
        if way and ambient in ids:
            raise StackError(
                f"AWS_ACCESS_KEY_ID is {mask(ambient)}, one of the keys that are rotated: run this "
                "with other credentials, or with AWS_PROFILE, whose keys are read anew"
            )

    def is_all_at_aws(self) -> bool:
        """Whether AWS has every access key that the state knows, as far as one may look."""
        with contextlib.suppress(NotAllowed):
            there = {key.access_key_id for key in self._account.access_keys(self._keys.user_name)}
            return all(key.access_key_id in there for key in self._deployed.access_keys)
        return True

    def is_previous_astray(self) -> bool:
        """Whether the old access key is not at AWS as the stack says: active, and there."""
        previous = self._keys.previous_access_key
        if previous is None or previous.status != ACTIVE:
            return False
        with contextlib.suppress(NotAllowed):
            there = self._account.access_keys(self._keys.user_name)
            old = [key for key in there if key.access_key_id == previous.access_key_id.reveal()]
            return not any(key.is_active for key in old)
        return self._deployed.is_interrupted

    def is_retired(self) -> None:
        """The old access key is inactive at AWS too: nobody has needed it again."""
        previous = self._keys.previous_access_key
        with contextlib.suppress(NotAllowed):
            for key in self._account.access_keys(self._keys.user_name):
                is_old = previous and key.access_key_id == previous.access_key_id.reveal()
                if is_old and key.is_active:
                    raise StackError(
                        f"the old access key {mask(key.access_key_id)} is active at AWS again, "
                        "which somebody else did: --force deletes it nevertheless"
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

    def lost(self, tell: Callable[[str], None], confirm: Callable[[str], bool]) -> AccessKey | None:
        """The access key that an update made, and died before the state knew of it, if any.

        It is asked whether it may be deleted. Raises `StackError` where it may not, and where
        something else was being created.
        """
        if others := set(self._deployed.pending) - _CREATED:
            raise StackError(
                f"an update was cut off while it created {min(others)}: see whether AWS has it, "
                "then 'pulumi refresh' asks what is to become of it"
            )
        if deployment.ACCESS_KEY not in self._deployed.pending:
            return None
        user = self._keys.user_name
        lost = precautions.lost_key(
            self._account.access_keys(user), self._deployed.access_keys, self._deployed.written
        )
        if lost:
            tell(
                "an update died while it made an access key, and its secret died with it: by all "
                f"signs {precautions.describe(lost, _now())}, made at "
                f"{precautions.moment(lost.created)}"
            )
            if not confirm(f"Delete access key {mask(lost.access_key_id)} of user {user}?"):
                raise StackError(
                    f"access key {mask(lost.access_key_id)} is in the way: --yes has it deleted"
                )
        return lost

    def delete(self, lost: AccessKey | None, tell: Callable[[str], None]) -> None:
        """Delete what was ``lost``, and a key pair that the state does not know of.

        That holds the public half of a key that the state has, and is made anew.
        """
        if lost:
            self._account.delete_access_key(self._keys.user_name, lost.access_key_id)
            tell(f"deleted access key {mask(lost.access_key_id)}")
        if deployment.KEY_PAIR in self._deployed.pending and self._is_ours_at_ec2():
            self._account.delete_key_pair(self._keys.key_name)


def _object(problem: str | None) -> None:
    if problem:
        raise StackError(problem)


def _now() -> datetime:
    return datetime.now(UTC)
