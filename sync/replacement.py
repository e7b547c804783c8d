"""Replaces a key of a stack, by the steps of `sync.rotation`.

What is deployed says where the rotation stands, the engine's state whether an update was cut off.
Each step moves the stack's config on, deploys it, and leaves this machine's files with a key that
AWS takes: the new one is proved before it is written, and written before the old one goes.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, NamedTuple

from sync import home, identity
from sync.account import Account
from sync.checks import Checks
from sync.deployment import parse_export
from sync.engine import StackError
from sync.plan import UNCHANGED, Wish, mask
from sync.private_file import FileError, lock
from sync.receipts import Receipts, ReceiptsError
from sync.rotation import (
    ACCESS_KEY,
    BEGIN,
    INACTIVE,
    KEY_PAIR,
    NONE,
    NOW,
    STEP,
    UNDO,
    Kind,
    State,
    moves,
    parse_step,
)
from sync.update import LockedError, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta
    from pathlib import Path

    from sync.engine import Engine
    from sync.outcome import Outcome
    from sync.places import Places
    from sync.stack import StackKeys


class Terms(NamedTuple):
    """What a request is for, and how it is meant."""

    stack: str
    """As the engine is given it; perhaps qualified."""
    kind: Kind
    after: timedelta
    """How long the old access key stays active at least."""
    force: bool
    """Retire, or finish, whatever speaks against it."""
    profile: str | None
    """A profile to write beside those that sync wrote for the stack."""
    patience: float
    """How long another sync may take, in seconds."""


class Person(NamedTuple):
    """Whoever is told what was done, shown that time passes, and asked."""

    tell: Callable[[str], None]
    report: Callable[[Outcome], None]
    waiting: Callable[[str], AbstractContextManager[None]]
    confirm: Callable[[str], bool]


class Replacement:
    """The rotation of one key of a stack.

    ``read`` gives the stack's keys as they are deployed now. What fails raises `StackError`,
    `Refused`, `AccountError`, `IdentityError`, `FileError` or `Unreadable`, each in one line for
    the user.
    """

    def __init__(
        self,
        engine: Engine,
        read: Callable[[], StackKeys],
        places: Places,
        terms: Terms,
        person: Person,
    ) -> None:
        self._engine = engine
        self._read = read
        self._places = places
        self._terms = terms
        self._kind = terms.kind
        self._person = person
        self._proved: set[str] = set()
        self._warned: set[str] = set()
        self._is_settled = True
        self._request = BEGIN
        self.changed_config: dict[str, str] = {}
        """What was written to the stack's config, for the user to commit."""
        self.keys = read()  # which may have taken a passphrase, so the rest comes after
        self._update = Update(engine.find_project(), terms.stack, engine.environ, person.tell)
        self._config = {
            key.rpartition(":")[2]: value for key, value in engine.read_config(terms.stack).items()
        }
        self._look()

    def _look(self) -> None:
        self._deployment = parse_export(self._engine.export(self._terms.stack))
        self._checks = Checks(self.keys, self._deployment, Account(self.keys.region))

    @property
    def state(self) -> State:
        """Where the rotation stands, by what is deployed."""
        return self._state_of(self._kind)

    def _state_of(self, kind: Kind) -> State:
        keys = self.keys
        if kind is ACCESS_KEY:
            previous = keys.previous_access_key
            return State(keys.access_key_generation, previous.status if previous else NONE)
        kept = KEY_PAIR.stages[0] if keys.previous_key_pair else NONE
        return State(keys.key_pair_generation, kept)

    def carry_out(self, request: str) -> None:
        """Do what ``request``, one of `sync.rotation.REQUESTS`, takes from here."""
        self._request = request
        if request != UNDO:
            self._refuse_old_config()
        way = moves(self._kind, self.state, request)
        self._refuse_other_changes(way)
        self._check_files()
        self._checks.user()
        self._checks.own_keys(way)
        self._recover()
        is_astray = request == UNDO and bool(way) and self._checks.is_previous_astray()
        self._is_settled &= not is_astray
        if not way:
            self._stay()
        elif is_astray or self._left_behind - way[0].generations:
            self._go_on_with_what_was_cut_off()
        for state in way:
            self._step(state)

    def _refuse_old_config(self) -> None:
        here, deployed = self._kind.state(self._config), self.state
        if parse_step(self._config) < self.keys.rotation_step or here.is_behind(deployed):
            raise StackError(
                f"the config here is older than what is deployed ({self._kind.generation} is "
                f"{here.generation} here and {deployed.generation} there, {self._kind.previous} "
                f"{here.previous or 'empty'} and {deployed.previous or 'empty'}, {STEP} "
                f"{parse_step(self._config)} and {self.keys.rotation_step}): pull "
                f"Pulumi.{self.keys.stack}.yaml"
            )

    def _refuse_other_changes(self, way: Sequence[State]) -> None:
        """Raise where the update would change something else too: that may take keys with it."""
        keys, config = self.keys, self._config
        other = KEY_PAIR if self._kind is ACCESS_KEY else ACCESS_KEY
        differ = {
            "userName": (config.get("userName") or keys.stack, keys.user_name),
            "keyName": (config.get("keyName") or keys.stack, keys.key_name),
            "region": (config.get("region", keys.region), keys.region),
        }
        makes_key_pair = any(s.generation > keys.key_pair_generation for s in way)
        if self._kind is ACCESS_KEY or (self._request != UNDO and not makes_key_pair):
            algorithm = keys.key_algorithm
            differ["keyAlgorithm"] = (config.get("keyAlgorithm", algorithm), algorithm)
        for name, (here, deployed) in differ.items():
            if here != deployed:
                raise StackError(
                    f"{name} is {here} in the config and {deployed} as deployed: set it back, or "
                    f"deploy it first with 'pulumi up -s {self._terms.stack}'"
                )
        if other.state(config) != self._state_of(other):
            raise StackError(
                f"the {other.name} is {_words(other.state(config))} in the config and "
                f"{_words(self._state_of(other))} as deployed: go on with its rotation first "
                f"('python -m sync rotate {self._terms.stack}{other.flag}' and what was asked of "
                f"it), or pull Pulumi.{keys.stack}.yaml"
            )

    @property
    def _left_behind(self) -> frozenset[int]:
        """The generations of keys that the engine's state has and the outputs do not tell of."""
        return self._deployment.generations(self._kind.name) - self.state.generations

    def _recover(self) -> None:
        """Put right what an update left that died while it created something at AWS."""
        if self._deployment.pending:
            lost = self._checks.lost(self._person.tell, self._person.confirm)
            with self._person.waiting("pulumi refresh ..."):
                self._update.refresh()  # which needs the lock: whose update it was is dead
                self._checks.delete(lost, self._person.tell)
                self._update.refresh(forget_pending=True)
            self._look()
        is_cut_off = bool(self._left_behind or self._deployment.is_interrupted)
        self._is_settled = not is_cut_off and self._checks.is_all_at_aws()

    def _go_on_with_what_was_cut_off(self) -> None:
        self._person.tell("the last update was cut off: going on with it")
        self._move(self.state)
        self._look()  # what was left behind is gone, and its slot is free

    def _stay(self) -> None:
        """There is no step to take: see that config, AWS and files fit what is deployed."""
        is_ahead = self._kind.state(self._config) != self.state
        if not self._is_settled or (is_ahead and self._request == UNDO):
            self._go_on_with_what_was_cut_off()
        self._hand_over(self.keys)

    def _step(self, state: State) -> None:
        now = self.state
        is_checked = self._request != NOW and not self._terms.force
        if state.generation > now.generation:
            self._prepare()
            self._move(state)
            self._hand_over(self.keys)
        elif state.generation < now.generation:
            is_access_key = self._kind is ACCESS_KEY
            keys = self.keys
            self._hand_over(
                keys.with_previous_access_key if is_access_key else keys.with_previous_key_pair
            )
            self._move(state)
            self._hand_over(self.keys)
        elif state.is_behind(now):  # the old key is active again
            self._move(state)
        else:
            if is_checked and self._kind is KEY_PAIR:
                self._checks.machines()
            elif is_checked and state.previous == INACTIVE:
                self._checks.use(self._terms.after)
            elif is_checked:
                self._checks.is_retired()
            self._hand_over(self.keys)
            self._move(state)

    def _prepare(self) -> None:
        """Try everything that can fail, while no key is made yet."""
        if self._kind is KEY_PAIR:
            self._checks.key_pair()
            self._checks.tell_of_machines(self._person.tell)
        else:
            self._checks.access_key(is_made=bool(self._left_behind))

    def _move(self, state: State) -> None:
        """Make ``state`` the stack's config, and deploy it."""
        now = self.state
        config = self._kind.config(state)
        if self._request == UNDO and self._kind is KEY_PAIR:
            config |= self._key_pair_config(state)
        undo = (self._kind.generation, now.generation) if state.is_behind(now) else None
        config[STEP] = str(self._next_step(config, is_new=state != now))
        changed = {key: value for key, value in config.items() if self._config.get(key) != value}
        if changed:
            self._update.set_config(changed)
        told = self.changed_config
        self.changed_config = told | config  # also what a run that was cut off had changed
        try:
            with self._person.waiting("pulumi up ..."):
                self._update.up(undo=undo, refresh=not self._is_settled)
        except LockedError:  # nothing was done
            self.changed_config = told
            if changed:
                self._update.put_config_back()
            raise
        except StackError as error:
            raise StackError(f"{error}; the same command goes on where this one stopped") from None
        self._config |= config
        self.keys = self._read()
        self._is_settled = True
        if self.state != state:
            raise StackError("pulumi up was done, but the stack's outputs are not what it was for")

    def _next_step(self, config: dict[str, str], *, is_new: bool) -> int:
        """The number of steps with this one, which may have been counted before it was cut off."""
        here, deployed = parse_step(self._config), self.keys.rotation_step
        is_there = all(self._config.get(key) == value for key, value in config.items())
        is_counted = here >= deployed + is_new
        return here if is_there and is_counted else max(here, deployed) + 1

    def _key_pair_config(self, state: State) -> dict[str, str]:
        """What else the config is to say where an SSH key is gone back to: its own form."""
        keys = self.keys
        key = keys.public_key
        if state.generation != keys.key_pair_generation and keys.previous_key_pair:
            key = keys.previous_key_pair.public_key
        bits = {"rsaBits": str(key.bits)} if key.bits else {}
        return {"keyAlgorithm": key.algorithm, **bits}

    def _hand_over(self, keys: StackKeys) -> None:
        """Let this machine's files have ``keys``, once AWS takes them."""
        if self._kind is ACCESS_KEY:
            self._prove(keys)
        for wish in self._wishes(keys):
            (outcome,) = home.write(
                self._places,
                [wish],
                take_over=False,
                patience=self._terms.patience,
                on_wait=self._wait,
            )
            self._report(outcome)

    def _wait(self) -> None:
        self._person.tell("waiting for another sync to end")

    def _prove(self, keys: StackKeys) -> None:
        key_id = keys.access_key_id.reveal()
        if key_id in self._proved:
            return
        session = identity.of_keys(keys.access_key_id, keys.secret_access_key, keys.region)
        expected = identity.Identity(keys.account_id, keys.user_arn)
        try:
            with self._person.waiting(f"asking AWS about access key {mask(key_id)} ..."):
                identity.prove(session, expected, on_wait=lambda _seconds: None)
        except identity.IdentityError as error:
            raise StackError(f"access key {mask(key_id)} is not proved: {error}") from None
        self._proved.add(key_id)
        self._person.tell(f"AWS takes access key {mask(key_id)}: {keys.user_arn}")

    def _wishes(self, keys: StackKeys) -> list[Wish]:
        """What is to be written: every profile that sync wrote before, and the one that is named.

        None of them may be left with a key that goes.
        """
        named = [self._terms.profile] if self._terms.profile else []
        profiles = [*named, *_own_profiles(self._places, keys)] or [keys.stack]
        path = self._places.private_key(keys.stack)
        return [Wish(keys, profile, path) for profile in dict.fromkeys(profiles)]

    def _report(self, outcome: Outcome) -> None:
        """Tell what was done to the files; a warning once in a run."""
        changes = tuple(each for each in outcome.changes if each.action != UNCHANGED)
        warnings = tuple(each for each in outcome.warnings if each not in self._warned)
        self._warned.update(warnings)
        self._person.report(outcome._replace(changes=changes, warnings=warnings))
        if outcome.error:
            raise StackError(outcome.error)

    def _check_files(self) -> None:
        """Raise where the files could not be written afterwards."""
        for wish in self._wishes(self.keys):
            (outcome,) = home.preview(self._places, [wish], take_over=False)
            if outcome.error:
                raise StackError(outcome.error)
        with lock(self._places.state_directory / "lock", self._terms.patience, self._wait):
            pass  # another sync may have it for long
        files = self._places.files
        directories = (files.credentials.parent, files.config.parent, self._places.pem_directory)
        for directory in (*directories, self._places.state_directory):
            try:
                with tempfile.TemporaryFile(dir=_existing(directory)):
                    pass
            except OSError as error:
                raise FileError(directory, f"no file can be made in it: {error.strerror}") from None


def _words(state: State) -> str:
    return f"at generation {state.generation}" + (
        f" with the one before {state.previous}" if state.previous else ""
    )


def _own_profiles(places: Places, keys: StackKeys) -> list[str]:
    """The profiles that sync wrote for the stack."""
    path = places.state_directory / "receipts.json"
    try:
        receipts = Receipts.load(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ReceiptsError) as error:
        raise FileError(path, str(error)) from None
    return receipts.profiles(keys.stack, str(places.files.credentials), keys.account_id)


def _existing(directory: Path) -> Path:
    """``directory``, or the nearest one above it that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists())
