"""In which order a key is replaced: engine and AWS are stand-ins, the files of the home are real.

What happens is a list of events, the numbers in them generations: ``config 2 Active`` (the stack's
config says so now), ``up`` (it is deployed), ``proved 2`` (AWS took the access key), ``wrote 2``
(the files have the key).
"""

from __future__ import annotations

import configparser
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sync import home, identity, replacement
from sync.account import AccessKey, Instance, LastUse
from sync.deployment import ACCESS_KEY as ACCESS_KEY_TYPE
from sync.deployment import KEY_PAIR as KEY_PAIR_TYPE
from sync.deployment import PRIVATE_KEY as PRIVATE_KEY_TYPE
from sync.deployment import USER
from sync.engine import Engine, StackError
from sync.identity import Identity
from sync.places import Places
from sync.plan import Files, Unreadable, Wish
from sync.private_file import FileError, lock
from sync.replacement import Person, Replacement, Terms
from sync.rotation import (
    ACCESS_KEY,
    BEGIN,
    FINISH,
    KEY_PAIR,
    NOW,
    RETIRE,
    STEP,
    UNDO,
    Kind,
    Refused,
    State,
)
from sync.ssh_key import parse_private_key, parse_public_key
from sync.update import LockedError, UpdateError
from tests.stacks import ACCOUNT, access_key, key_pair, stack_keys
from tests.unit.test_checks import FakeAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sync.outcome import Outcome
    from sync.secret import Secret
    from sync.stack import StackKeys

STACK = "production"
LONG_AGO, TODAY = (datetime.now(UTC) - timedelta(days=days) for days in (30, 0))
QUIET, ACTIVE, INACTIVE, KEPT = (
    State(1, ""),
    State(2, "Active"),
    State(2, "Inactive"),
    State(2, "Kept"),
)


OTHER_FORMS: list[tuple[str, dict[str, str]]] = [
    ("RSA", {"keyAlgorithm": "RSA", "rsaBits": "2048", **KEY_PAIR.config(QUIET)}),
    ("ED25519", {"keyAlgorithm": "ED25519", **KEY_PAIR.config(QUIET)}),
]


def nth(generation: int) -> str:
    return f"generation {generation}"


class World(Engine):
    """A stack that is deployed, its config, its engine and its AWS."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), 10, {})
        (root / "Pulumi.yaml").touch()
        self.events: list[str] = []
        self.told: list[str] = []
        self.deployed = {ACCESS_KEY.name: QUIET, KEY_PAIR.name: QUIET}
        self.config = {"keyAlgorithm": "ED25519"}
        self.config |= ACCESS_KEY.config(QUIET) | KEY_PAIR.config(QUIET)
        self._before: dict[str, str] = {}
        self.deployed_step = 0
        self.made = {ACCESS_KEY.name: {1}, KEY_PAIR.name: {1}}
        self.pending: list[str] = []
        self.is_interrupted = False
        self.state_written = TODAY
        self.says_yes = True
        self.refresh_fails: Exception | None = None
        self.algorithms: dict[int, str] = {}
        self.warnings: list[str] = []
        self.forgotten: set[int] = set()
        self.meanwhile: Callable[[], object] = lambda: None
        self.update_fails: Exception | None = None
        self.update_does_nothing = False
        self.refused: set[int] = set()
        self.account = FakeAccount()
        self.places = Places(
            Files(root / ".aws/credentials", root / ".aws/config"),
            root / ".pem",
            root / "state",
            pem_directory_is_ours=True,
        )

    # What was before a test begins

    def stands_at(self, kind: Kind, state: State) -> None:
        self.deployed[kind.name] = state
        self.config |= kind.config(state)
        self.made[kind.name] = set(state.generations)

    def has_files(
        self, profile: str = STACK, *, credentials: Path | None = None, account_id: str = ACCOUNT
    ) -> None:
        """Let sync have written the keys that are deployed now."""
        keys = self.read()._replace(account_id=account_id)
        wish = Wish(keys, profile, self.places.private_key(STACK))
        files = self.places.files
        places = self.places._replace(files=Files(credentials or files.credentials, files.config))
        (outcome,) = home.write(places, [wish], take_over=False, patience=1, on_wait=lambda: None)
        assert not outcome.error

    # What the engine tells

    def read(self) -> StackKeys:
        at, pair = self.deployed[ACCESS_KEY.name], self.deployed[KEY_PAIR.name]
        key_id, secret = access_key(nth(at.generation))
        private, public = self.key_pair(pair.generation)
        changed: dict[str, object] = {
            "rotation_step": self.deployed_step,
            "access_key_generation": at.generation,
            "access_key_id": key_id,
            "secret_access_key": secret,
            "key_pair_generation": pair.generation,
            "private_key": private,
            "public_key": public,
        }
        if at.previous:
            key_id, secret = access_key(nth(at.generation - 1))
            changed |= {
                "previous_access_key": at.previous,
                "previous_access_key_id": key_id,
                "previous_secret_access_key": secret,
            }
        if pair.previous:
            changed["previous_private_key"] = self.key_pair(pair.generation - 1)[0]
        algorithm = self.algorithms.get(pair.generation, "ED25519")
        return stack_keys(STACK, algorithm, **changed)

    def key_pair(self, generation: int) -> tuple[str, str]:
        return key_pair(nth(generation), self.algorithms.get(generation, "ED25519"))

    def read_config(self, stack: str) -> dict[str, str]:
        assert stack == STACK
        return {f"aws-keys:{key}": value for key, value in self.config.items()}

    def export(self, stack: str) -> str:
        assert stack == STACK
        resources: list[object] = [{"type": USER, "outputs": {"uniqueId": "AIDA1"}}]
        resources.extend(
            {
                "type": ACCESS_KEY_TYPE,
                "urn": f"access-{number}",
                "id": access_key(nth(number))[0],
                "outputs": {"createDate": LONG_AGO.isoformat()},
            }
            for number in self.made[ACCESS_KEY.name]
        )
        resources.extend(
            {
                "type": PRIVATE_KEY_TYPE,
                "urn": f"ssh-{number}",
                "outputs": {"publicKeyOpenssh": self.key_pair(number)[1]},
            }
            for number in self.made[KEY_PAIR.name]
        )
        pending = [{"type": "creating", "resource": {"type": kind}} for kind in self.pending]
        if self.is_interrupted:
            pending.append({"type": "updating", "resource": {"type": ACCESS_KEY_TYPE}})
        deployment = {
            "manifest": {"time": self.state_written.isoformat()},
            "resources": resources,
            "pending_operations": pending,
        }
        return json.dumps({"deployment": deployment})

    # What the engine does

    def set_config(self, values: Mapping[str, str]) -> None:
        self._before = dict(self.config)
        self.config |= values
        for kind in (ACCESS_KEY, KEY_PAIR):
            if values.keys() & kind.config(QUIET).keys():
                state = kind.state(self.config)
                self.events.append(f"config {state.generation} {state.previous}".rstrip())

    def put_config_back(self) -> None:
        self.config = self._before
        self.events.append("config put back")

    def up(self, *, undo: tuple[str, int] | None = None, refresh: bool = False) -> None:
        words = ["up", "refresh" if refresh else "", f"undo {undo[0]}:{undo[1]}" if undo else ""]
        self.events.append(" ".join(filter(None, words)))
        if self.update_fails:
            raise self.update_fails
        self.meanwhile()
        if not self.update_does_nothing:
            for kind in (ACCESS_KEY, KEY_PAIR):
                self.stands_at(kind, kind.state(self.config))
            self.deployed_step = int(self.config[STEP])

    def refresh(self, *, forget_pending: bool = False) -> None:
        self.events.append("refresh and forget" if forget_pending else "refresh")
        if self.refresh_fails:
            raise self.refresh_fails
        if forget_pending:
            self.pending.clear()
            self.made[ACCESS_KEY.name] -= self.forgotten

    # What AWS and the person say

    def prove(self, key_id: str, expected: identity.Identity, **_: object) -> None:
        assert expected == identity.Identity(self.read().account_id, self.read().user_arn)
        (generation,) = (n for n in range(1, 5) if access_key(nth(n))[0] == key_id)
        if generation in self.refused:
            raise identity.RefusedError("AWS refuses the keys")
        self.events.append(f"proved {generation}")

    def report(self, outcome: Outcome) -> None:
        assert not [change for change in outcome.changes if change.action == "unchanged"]
        self.warnings += outcome.warnings
        for change in outcome.changes:
            if change.path == str(self.places.files.credentials):
                self.events.append(f"wrote {self.written(outcome.profile)}")
            if change.path == str(self.places.private_key(STACK)):
                self.events.append(f"wrote {self.written_ssh_key()}")

    def written(self, profile: str = STACK) -> int:
        """The generation of the access key that the profile has."""
        files = configparser.RawConfigParser()
        files.read(self.places.files.credentials)
        key_id = files[profile]["aws_access_key_id"]
        return next(n for n in range(1, 5) if access_key(nth(n))[0] == key_id)

    def written_ssh_key(self) -> int:
        data = self.places.private_key(STACK).read_bytes()
        found = parse_private_key(data)
        keys = {n: parse_private_key(self.key_pair(n)[0].encode()) for n in range(1, 5)}
        return next(n for n, key in keys.items() if key == found)

    def replacement(
        self, kind: Kind = ACCESS_KEY, *, force: bool = False, profile: str | None = None
    ) -> Replacement:
        terms = Terms(STACK, kind, timedelta(hours=24), force=force, profile=profile, patience=1)
        person = Person(
            self.told.append,
            self.report,
            lambda _text: contextlib.nullcontext(),
            lambda _question: self.says_yes,
        )
        return Replacement(self, self.read, self.places, terms, person)

    def does(self, request: str, kind: Kind = ACCESS_KEY) -> list[str]:
        """What happens on ``request``, in order."""
        self.replacement(kind).carry_out(request)
        return self.events


def id_of(access_key_id: Secret, _secret: Secret, _region: str) -> str:
    return access_key_id.reveal()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.account.there = [existing(1, LONG_AGO)]
    monkeypatch.setattr(replacement, "Update", lambda *_: world)
    monkeypatch.setattr(replacement, "Account", lambda _: world.account)
    monkeypatch.setattr(identity, "of_keys", id_of)
    monkeypatch.setattr(identity, "prove", world.prove)
    return world


def existing(generation: int, created: datetime, last_used: LastUse | None = None) -> AccessKey:
    """An access key of the user's, at AWS."""
    key_id, _ = access_key(nth(generation))
    return AccessKey(key_id, is_active=True, created=created, last_used=last_used)


def begun(world: World, *, used: datetime | None = None) -> None:
    """A second access key was made long ago and synced here, and the old one last used then."""
    world.stands_at(ACCESS_KEY, ACTIVE)
    world.has_files()
    last = LastUse(used, "s3", "us-west-2") if used else None
    world.account.there = [
        existing(1, LONG_AGO - timedelta(days=9), last),
        existing(2, LONG_AGO),
    ]


def retired(world: World) -> None:
    begun(world)
    world.stands_at(ACCESS_KEY, INACTIVE)
    world.account.there = [
        existing(1, LONG_AGO - timedelta(days=9))._replace(is_active=False),
        existing(2, LONG_AGO),
    ]


# The order of things


def test_a_new_access_key_is_proved_before_it_is_written(world: World) -> None:
    world.has_files()
    assert world.does(BEGIN) == ["config 2 Active", "up", "proved 2", "wrote 2"]


def test_the_new_access_key_is_proved_again_before_the_old_one_is_retired(world: World) -> None:
    begun(world)
    assert world.does(RETIRE) == ["proved 2", "config 2 Inactive", "up"]


def test_where_the_new_access_key_was_not_synced_it_is_written_before_the_old_one_is_retired(
    world: World,
) -> None:
    begun(world)
    world.deployed[ACCESS_KEY.name] = QUIET
    world.has_files()
    world.deployed[ACCESS_KEY.name] = ACTIVE
    assert world.does(RETIRE) == ["proved 2", "wrote 2", "config 2 Inactive", "up"]


def test_the_new_access_key_is_proved_before_the_old_one_is_deleted(world: World) -> None:
    retired(world)
    assert world.does(FINISH) == ["proved 2", "config 2", "up"]


def test_all_at_once_is_the_same_steps_in_the_same_order(world: World) -> None:
    world.has_files()
    assert world.does(NOW) == [
        "config 2 Active",
        "up",
        "proved 2",
        "wrote 2",
        "config 2 Inactive",
        "up",
        "config 2",
        "up",
    ]


def test_the_old_access_key_is_proved_and_written_before_the_new_one_goes(world: World) -> None:
    begun(world)
    undone = ["proved 1", "wrote 1", "config 1", "up undo accessKeyGeneration:2"]
    assert world.does(UNDO) == undone


def test_a_retired_access_key_is_active_again_before_it_is_proved_and_written(world: World) -> None:
    retired(world)
    assert world.does(UNDO) == [
        "config 2 Active",
        "up undo accessKeyGeneration:2",
        "proved 1",
        "wrote 1",
        "config 1",
        "up undo accessKeyGeneration:2",
    ]


def test_a_new_ssh_key_is_written_once_it_is_deployed(world: World) -> None:
    world.has_files()
    assert world.does(BEGIN, KEY_PAIR) == ["config 2 Kept", "up", "wrote 2"]


def test_the_new_ssh_key_is_written_before_the_old_one_goes(world: World) -> None:
    world.has_files()
    world.stands_at(KEY_PAIR, KEPT)
    assert world.does(FINISH, KEY_PAIR) == ["wrote 2", "config 2", "up"]


def test_the_old_ssh_key_is_written_before_the_new_one_goes(world: World) -> None:
    world.stands_at(KEY_PAIR, KEPT)
    world.has_files()
    undone = ["wrote 1", "config 1", "up undo keyPairGeneration:2"]
    assert world.does(UNDO, KEY_PAIR) == undone


def test_a_request_that_is_fulfilled_only_sees_to_the_files(world: World) -> None:
    world.has_files()
    before = world.places.files.credentials.read_bytes()
    begun(world)
    world.places.files.credentials.write_bytes(before)  # not synced since
    assert world.does(BEGIN) == ["proved 2", "wrote 2"]


# What goes wrong on the way


def test_a_key_that_aws_does_not_take_is_not_written(world: World) -> None:
    world.has_files()
    world.refused = {2}
    with pytest.raises(StackError) as raised:
        world.does(BEGIN)
    shown = f"...{access_key(nth(2))[0][-4:]}"
    assert str(raised.value) == f"access key {shown} is not proved: AWS refuses the keys"
    assert world.events == ["config 2 Active", "up"]
    assert world.written() == 1


@pytest.mark.parametrize("request_", [RETIRE, NOW])
def test_while_aws_does_not_take_the_new_key_the_old_one_stays(world: World, request_: str) -> None:
    begun(world)
    world.refused = {2}
    with pytest.raises(StackError, match="is not proved"):
        world.does(request_)
    assert not world.events


def test_while_aws_does_not_take_the_old_key_the_new_one_stays(world: World) -> None:
    begun(world)
    world.refused = {1}
    with pytest.raises(StackError, match="is not proved"):
        world.does(UNDO)
    assert not world.events
    assert world.written() == 2


def test_behind_a_failed_update_nothing_is_written(world: World) -> None:
    world.update_fails = UpdateError("pulumi up failed: the reason")
    rotation = world.replacement()
    with pytest.raises(StackError) as raised:
        rotation.carry_out(BEGIN)
    assert str(raised.value) == (
        "pulumi up failed: the reason; the same command goes on where this one stopped"
    )
    assert world.events == ["config 2 Active", "up"]
    assert rotation.changed_config == ACCESS_KEY.config(ACTIVE) | {STEP: "1"}


def test_an_update_that_did_something_else_is_told_and_nothing_written(world: World) -> None:
    world.update_does_nothing = True
    with pytest.raises(StackError, match="outputs are not what it was for"):
        world.does(BEGIN)
    assert world.events == ["config 2 Active", "up"]


def test_files_that_cannot_be_written_are_found_before_a_key_is_made(world: World) -> None:
    world.has_files()
    credentials = world.places.files.credentials
    credentials.write_bytes(credentials.read_bytes() * 2)  # the profile stands twice
    with pytest.raises(Unreadable, match="stands twice"):
        world.does(BEGIN)
    assert not world.events


def test_a_sync_that_does_not_end_is_found_before_a_key_is_made(world: World) -> None:
    with (
        lock(world.places.state_directory / "lock", 1, lambda: None),
        pytest.raises(FileError, match="another sync has held this lock"),
    ):
        world.does(BEGIN)
    assert not world.events


def test_a_profile_of_somebody_elses_is_found_before_a_key_is_made(world: World) -> None:
    world.has_files()
    with world.places.files.credentials.open("a") as file:
        file.write("[mine]\naws_access_key_id = x\n")
    with pytest.raises(StackError, match="mine"):
        world.replacement(profile="mine").carry_out(BEGIN)
    assert not world.events


def test_an_old_key_stays_where_the_new_one_could_not_be_written(world: World) -> None:
    world.has_files()
    theirs = "[production]\naws_access_key_id = x\n"
    world.meanwhile = lambda: world.places.files.credentials.write_text(theirs)
    with pytest.raises(StackError, match="production"):
        world.does(NOW)
    assert world.events == ["config 2 Active", "up", "proved 2"]
    assert world.places.files.credentials.read_text() == theirs


def test_a_warning_is_told_once_however_often_files_are_seen_to(world: World) -> None:
    world.has_files()
    with world.places.files.config.open("a") as file:
        file.write("role_arn = x\n")
    world.does(NOW)
    (warning,) = world.warnings
    assert "role_arn" in warning


def test_another_user_of_the_same_name_ends_it_before_anything_is_done(world: World) -> None:
    world.account.id = "AIDA2"
    with pytest.raises(StackError, match="not the one that this stack made"):
        world.does(BEGIN)
    assert not world.events


def test_a_request_that_does_not_fit_is_refused_before_anything_is_done(world: World) -> None:
    begun(world)
    with pytest.raises(Refused, match="still active: --retire comes before --finish"):
        world.does(FINISH)
    assert not world.events


# The stack's config


def test_a_locked_stack_gets_its_config_back_and_no_file_is_written(world: World) -> None:
    world.update_fails = LockedError("another update is under way", [])
    rotation = world.replacement()
    before = dict(world.config)
    with pytest.raises(LockedError):
        rotation.carry_out(BEGIN)
    assert world.events == ["config 2 Active", "up", "config put back"]
    assert world.config == before
    assert rotation.changed_config == {}


def test_a_config_that_was_ahead_before_the_lock_stays_so(world: World) -> None:
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "1"}
    world.update_fails = LockedError("another update is under way", [])
    with pytest.raises(LockedError):
        world.does(BEGIN)
    assert world.events == ["up"]
    assert world.config[STEP] == "1"


def test_what_was_changed_in_the_config_is_known_for_the_user_to_commit(world: World) -> None:
    rotation = world.replacement()
    rotation.carry_out(NOW)
    assert rotation.changed_config == ACCESS_KEY.config(State(2, "")) | {STEP: "3"}
    assert rotation.state == State(2, "")


@pytest.mark.parametrize(
    ("kind", "deployed"), [(ACCESS_KEY, ACTIVE), (ACCESS_KEY, INACTIVE), (KEY_PAIR, KEPT)]
)
@pytest.mark.parametrize("request_", [BEGIN, FINISH, NOW])
def test_a_config_older_than_what_is_deployed_is_refused(
    world: World, kind: Kind, deployed: State, request_: str
) -> None:
    world.stands_at(kind, deployed)
    world.config |= kind.config(QUIET)
    with pytest.raises(StackError, match=r"^the config here is older .*pull Pulumi\.production\."):
        world.does(request_, kind)
    assert not world.events


def test_an_undo_takes_a_config_that_is_older_already(world: World) -> None:
    begun(world)
    world.config |= ACCESS_KEY.config(QUIET)
    assert world.does(UNDO) == ["proved 1", "wrote 1", "up undo accessKeyGeneration:2"]


def test_what_a_run_that_was_cut_off_had_changed_in_the_config_is_known_too(world: World) -> None:
    world.has_files()
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "1"}
    rotation = world.replacement()
    rotation.carry_out(BEGIN)
    assert world.events == ["up", "proved 2", "wrote 2"]
    assert rotation.changed_config == ACCESS_KEY.config(ACTIVE) | {STEP: "1"}


def test_where_no_step_is_taken_the_config_was_not_changed(world: World) -> None:
    begun(world)
    rotation = world.replacement()
    rotation.carry_out(BEGIN)
    assert rotation.changed_config == {}


# The number of steps


@pytest.mark.parametrize(
    ("request_", "stood", "kind", "steps"),
    [
        (BEGIN, QUIET, ACCESS_KEY, 1),
        (RETIRE, ACTIVE, ACCESS_KEY, 1),
        (FINISH, INACTIVE, ACCESS_KEY, 1),
        (NOW, QUIET, ACCESS_KEY, 3),
        (UNDO, ACTIVE, ACCESS_KEY, 1),
        (UNDO, INACTIVE, ACCESS_KEY, 2),
        (BEGIN, ACTIVE, ACCESS_KEY, 0),
        (UNDO, QUIET, ACCESS_KEY, 0),
        (BEGIN, QUIET, KEY_PAIR, 1),
        (FINISH, KEPT, KEY_PAIR, 1),
        (UNDO, KEPT, KEY_PAIR, 1),
        (NOW, QUIET, KEY_PAIR, 2),
    ],
)
def test_every_step_is_counted_one_back_as_well(
    world: World, request_: str, stood: State, kind: Kind, steps: int
) -> None:
    {ACTIVE: begun, INACTIVE: retired}.get(stood, lambda _: None)(world)
    world.stands_at(kind, stood)
    world.config[STEP], world.deployed_step = "5", 5
    world.does(request_, kind)
    assert (world.config[STEP], world.deployed_step) == (str(5 + steps), 5 + steps)


def test_both_rotations_count_in_one(world: World) -> None:
    world.does(BEGIN, KEY_PAIR)
    world.does(UNDO, KEY_PAIR)
    world.does(BEGIN)
    assert (world.config[STEP], world.deployed_step) == ("3", 3)


@pytest.mark.parametrize("request_", [BEGIN, NOW])
def test_a_step_that_was_counted_before_a_cut_is_not_counted_again(
    world: World, request_: str
) -> None:
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "6"}
    world.deployed_step = 5
    world.does(request_)
    assert world.deployed_step == (6 if request_ == BEGIN else 8)


def test_a_step_that_was_set_by_hand_is_counted(world: World) -> None:
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "5"}
    world.deployed_step = 5
    world.does(BEGIN)
    assert world.deployed_step == 6


def test_to_go_back_on_a_step_that_was_counted_and_not_taken_is_a_step(world: World) -> None:
    """Otherwise the config that was cut off would pass for the newer one."""
    world.has_files()
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "6"}
    world.deployed_step = 5
    assert world.does(UNDO) == ["config 1", "up", "proved 1"]
    assert world.deployed_step == 7


def test_a_locked_stack_counts_nothing(world: World) -> None:
    world.config[STEP], world.deployed_step = "5", 5
    world.update_fails = LockedError("another update is under way", [])
    with pytest.raises(LockedError):
        world.does(BEGIN)
    assert world.config[STEP] == "5"


@pytest.mark.parametrize("kind", [ACCESS_KEY, KEY_PAIR])
@pytest.mark.parametrize("request_", [BEGIN, FINISH, NOW])
def test_a_config_with_fewer_steps_is_older_though_it_says_the_same_or_more(
    world: World, kind: Kind, request_: str
) -> None:
    world.config[STEP], world.deployed_step = "4", 5
    for here in (QUIET, State(2, kind.stages[0])):
        world.config |= kind.config(here)
        with pytest.raises(
            StackError, match=r"^the config here is older .*rotationStep 4 and 5\): pull Pulumi\.p"
        ):
            world.does(request_, kind)
    assert not world.events


def test_an_undo_counts_on_from_what_is_deployed(world: World) -> None:
    begun(world)
    world.config[STEP], world.deployed_step = "4", 5
    world.does(UNDO)
    assert (world.config[STEP], world.deployed_step) == ("6", 6)


def test_a_number_of_steps_that_is_none_is_refused(world: World) -> None:
    world.config[STEP] = "many"
    with pytest.raises(Refused, match="rotationStep is 'many'"):
        world.does(BEGIN)
    assert not world.events


# What else the update would change


@pytest.mark.parametrize("kind", [ACCESS_KEY, KEY_PAIR])
@pytest.mark.parametrize("request_", [BEGIN, FINISH, UNDO, NOW])
@pytest.mark.parametrize(
    ("name", "value", "deployed"),
    [
        ("userName", "another", STACK),
        ("keyName", "another", STACK),
        ("region", "eu-central-1", "us-west-2"),
    ],
)
def test_a_config_that_would_replace_something_else_is_deployed_first(  # noqa: PLR0913, PLR0917
    world: World, kind: Kind, request_: str, name: str, value: str, deployed: str
) -> None:
    world.config[name] = value
    with pytest.raises(StackError) as raised:
        world.does(request_, kind)
    assert str(raised.value) == (
        f"{name} is {value} in the config and {deployed} as deployed: set it back, or deploy it "
        "first with 'pulumi up -s production'"
    )
    assert not world.events


def test_a_config_that_says_what_is_deployed_anyhow_is_no_change(world: World) -> None:
    world.has_files()
    world.config |= {"userName": STACK, "keyName": "", "region": "us-west-2"}
    assert world.does(BEGIN) == ["config 2 Active", "up", "proved 2", "wrote 2"]


@pytest.mark.parametrize(
    ("kind", "stood", "request_"),
    [
        (ACCESS_KEY, QUIET, BEGIN),
        (ACCESS_KEY, QUIET, NOW),
        (ACCESS_KEY, ACTIVE, UNDO),
        (KEY_PAIR, KEPT, BEGIN),
        (KEY_PAIR, KEPT, FINISH),
        (KEY_PAIR, KEPT, NOW),
        (KEY_PAIR, QUIET, FINISH),
    ],
)
def test_another_algorithm_is_refused_where_no_ssh_key_is_made(
    world: World, kind: Kind, stood: State, request_: str
) -> None:
    world.stands_at(kind, stood)
    world.config["keyAlgorithm"] = "RSA"
    with pytest.raises(StackError, match="keyAlgorithm is RSA in the config and ED25519 as depl"):
        world.does(request_, kind)
    assert not world.events


@pytest.mark.parametrize("request_", [BEGIN, NOW])
def test_another_algorithm_is_that_of_the_next_ssh_key(world: World, request_: str) -> None:
    world.algorithms = {2: "RSA"}
    world.config["keyAlgorithm"] = "RSA"
    world.does(request_, KEY_PAIR)
    assert world.deployed[KEY_PAIR.name].generation == 2


@pytest.mark.parametrize("request_", [BEGIN, FINISH, UNDO, NOW])
@pytest.mark.parametrize(
    ("kind", "other", "here", "deployed"),
    [
        (ACCESS_KEY, KEY_PAIR, KEPT, QUIET),
        (ACCESS_KEY, KEY_PAIR, QUIET, KEPT),
        (ACCESS_KEY, KEY_PAIR, State(2, ""), KEPT),
        (KEY_PAIR, ACCESS_KEY, ACTIVE, QUIET),
        (KEY_PAIR, ACCESS_KEY, INACTIVE, ACTIVE),
        (KEY_PAIR, ACCESS_KEY, ACTIVE, State(2, "")),
    ],
)
def test_the_other_keys_rotation_is_gone_on_with_first(  # noqa: PLR0913, PLR0917
    world: World, kind: Kind, other: Kind, here: State, deployed: State, request_: str
) -> None:
    world.stands_at(other, deployed)
    world.config |= other.config(here)
    with pytest.raises(StackError) as raised:
        world.does(request_, kind)
    assert str(raised.value).startswith(f"the {other.name} is at generation {here.generation}")
    assert f"('python -m sync rotate production{other.flag}' and" in str(raised.value)
    assert "or pull Pulumi.production.yaml" in str(raised.value)
    assert not world.events


def test_while_the_other_key_is_rotated_too_it_goes_on(world: World) -> None:
    world.has_files()
    world.stands_at(KEY_PAIR, KEPT)
    assert world.does(BEGIN) == ["config 2 Active", "up", "proved 2", "wrote 2", "wrote 2"]


@pytest.mark.parametrize(("key", "config"), OTHER_FORMS)
def test_an_undo_takes_the_config_back_to_the_old_ssh_keys_form(
    world: World, key: str, config: dict[str, str]
) -> None:
    world.algorithms = {1: key, 2: "ED25519" if key == "RSA" else "RSA"}
    world.stands_at(KEY_PAIR, KEPT)
    world.config["keyAlgorithm"] = world.algorithms[2]
    world.does(UNDO, KEY_PAIR)
    assert {name: world.config.get(name) for name in config} == config


# What speaks against it


def test_an_old_key_in_use_is_not_retired(world: World) -> None:
    begun(world, used=TODAY)
    with pytest.raises(StackError, match=r"may still be in use.*--force retires it nevertheless"):
        world.does(RETIRE)
    assert not world.events


def test_by_force_and_at_once_it_is_not_asked_who_uses_the_old_key(world: World) -> None:
    begun(world, used=TODAY)
    world.replacement(force=True).carry_out(RETIRE)
    assert world.deployed[ACCESS_KEY.name] == INACTIVE
    begun(world, used=TODAY)
    world.does(NOW)
    assert world.deployed[ACCESS_KEY.name] == State(2, "")


def test_an_old_key_that_somebody_made_active_again_is_deleted_only_by_force(world: World) -> None:
    retired(world)
    world.account.there = [existing(1, LONG_AGO - timedelta(days=9)), existing(2, LONG_AGO)]
    with pytest.raises(StackError, match=r"is active at AWS again.*--force deletes it"):
        world.does(FINISH)
    assert not world.events
    world.replacement(force=True).carry_out(FINISH)
    assert world.deployed[ACCESS_KEY.name] == State(2, "")


@pytest.mark.parametrize(("request_", "own"), [(BEGIN, 1), (NOW, 1)])
def test_with_keys_in_the_environment_that_go_nothing_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch, request_: str, own: int
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key(nth(own))[0])
    with pytest.raises(StackError, match="one of the keys that are rotated"):
        world.does(request_)
    assert not world.events


@pytest.mark.parametrize("own", [1, 2])
def test_with_either_key_in_the_environment_an_old_one_is_not_retired(
    world: World, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    begun(world)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key(nth(own))[0])
    for request_ in (RETIRE, UNDO, NOW):
        with pytest.raises(StackError, match="one of the keys that are rotated"):
            world.does(request_)
    assert not world.events


def test_with_credentials_of_another_account_nothing_is_done(world: World) -> None:
    world.account.of = Identity("210987654321", "arn:aws:iam::210987654321:user/admin")
    with pytest.raises(StackError, match="are of account 210987654321, and the stack is in"):
        world.does(BEGIN)
    assert not world.events


def test_an_old_ssh_key_stays_while_a_machine_needs_it(world: World) -> None:
    world.stands_at(KEY_PAIR, KEPT)
    world.account.pair_created = TODAY
    world.account.instances = [Instance("i-old", LONG_AGO)]
    with pytest.raises(StackError, match="not terminated: i-old; --force finishes"):
        world.does(FINISH, KEY_PAIR)
    assert not world.events
    world.replacement(KEY_PAIR, force=True).carry_out(FINISH)
    assert world.deployed[KEY_PAIR.name] == State(2, "")


def test_a_user_with_two_keys_gets_no_third(world: World) -> None:
    begun(world)
    world.stands_at(ACCESS_KEY, QUIET)
    with pytest.raises(StackError, match="AWS allows no third"):
        world.does(BEGIN)
    assert not world.events


# What was cut off


def test_a_key_that_was_made_before_the_cut_is_not_made_again(world: World) -> None:
    """Both slots are taken: the state knows the second key, the outputs do not yet."""
    begun(world)
    world.deployed[ACCESS_KEY.name] = QUIET
    assert world.does(BEGIN) == ["up refresh", "proved 2"]


LOST = AccessKey("AKIALOSTLOSTLOSTLOST", is_active=True, created=TODAY, last_used=None)


def lost_one(world: World) -> None:
    """An update died while it made a second access key."""
    world.has_files()
    world.account.there = [existing(1, LONG_AGO), LOST]
    world.account.calls = world.events
    world.pending = [ACCESS_KEY_TYPE]
    world.config |= ACCESS_KEY.config(ACTIVE) | {STEP: "1"}


def test_a_lost_key_is_deleted_behind_the_lock_before_the_state_forgets_it(world: World) -> None:
    lost_one(world)
    with pytest.raises(StackError, match="AWS allows no third"):  # this AWS does not forget it
        world.does(BEGIN)
    assert world.events == [
        "refresh",
        "delete access key AKIALOSTLOSTLOSTLOST of production",
        "refresh and forget",
    ]
    world.account.there = [existing(1, LONG_AGO)]
    world.events.clear()
    assert world.does(BEGIN) == ["up", "proved 2", "wrote 2"]


@pytest.mark.parametrize(
    "fails", [LockedError("another update is under way", []), UpdateError("pulumi refresh failed")]
)
def test_the_key_of_an_update_that_is_under_way_is_not_deleted(
    world: World, fails: Exception
) -> None:
    lost_one(world)
    world.refresh_fails = fails
    with pytest.raises(StackError, match=str(fails)):
        world.does(BEGIN)
    assert world.events == ["refresh"]


def test_without_a_yes_a_lost_key_stays_and_nothing_is_done(world: World) -> None:
    lost_one(world)
    world.says_yes = False
    with pytest.raises(StackError, match="is in the way: --yes has it deleted"):
        world.does(BEGIN)
    assert not world.events


def test_a_key_made_long_after_the_state_was_written_is_not_deleted(world: World) -> None:
    lost_one(world)
    world.state_written = LONG_AGO
    with pytest.raises(StackError, match=r"AWS allows no third.*not made by this stack"):
        world.does(BEGIN)
    assert world.events == ["refresh", "refresh and forget"]


def test_a_private_key_that_was_being_made_is_no_obstacle(world: World) -> None:
    world.has_files()
    world.pending = [PRIVATE_KEY_TYPE]
    assert world.does(BEGIN, KEY_PAIR) == [
        "refresh",
        "refresh and forget",
        "config 2 Kept",
        "up",
        "wrote 2",
    ]


def test_a_key_pair_that_was_being_made_is_deleted_behind_the_lock(world: World) -> None:
    world.has_files()
    world.made[KEY_PAIR.name] = {1, 2}
    world.config |= KEY_PAIR.config(KEPT) | {STEP: "1"}
    world.pending = [KEY_PAIR_TYPE]
    world.account.pair = parse_public_key(world.key_pair(2)[1])
    world.account.calls = world.events
    assert world.does(BEGIN, KEY_PAIR) == [
        "refresh",
        "delete key pair production",
        "refresh and forget",
        "up refresh",
        "wrote 2",
    ]


def test_what_the_state_has_forgotten_is_made_again(world: World) -> None:
    world.has_files()
    world.made[ACCESS_KEY.name] = {1, 2}
    world.pending, world.forgotten = [ACCESS_KEY_TYPE], {2}
    assert world.does(BEGIN) == [
        "refresh",
        "refresh and forget",
        "config 2 Active",
        "up",
        "proved 2",
        "wrote 2",
    ]


def test_an_undo_takes_a_config_back_that_was_not_deployed(world: World) -> None:
    world.has_files()
    world.config |= ACCESS_KEY.config(ACTIVE)
    assert world.does(UNDO) == ["config 1", "up", "proved 1"]


def test_a_key_that_aws_has_no_more_has_the_update_look(world: World) -> None:
    """A deletion that was cut off between AWS and the state."""
    retired(world)
    world.account.there = [existing(2, LONG_AGO)]
    assert world.does(FINISH) == ["proved 2", "config 2", "up refresh"]


def test_only_the_first_update_has_to_look(world: World) -> None:
    world.has_files()
    world.account.there = []
    assert [each for each in world.does(NOW) if each.startswith("up")] == ["up refresh", "up", "up"]


@pytest.mark.parametrize(
    "there",
    [
        [existing(2, LONG_AGO)],
        [existing(1, LONG_AGO)._replace(is_active=False), existing(2, LONG_AGO)],
    ],
    ids=["gone", "inactive"],
)
def test_an_undo_first_brings_the_old_key_back_that_aws_has_not_as_the_stack_says(
    world: World, there: list[AccessKey]
) -> None:
    """A step onward that was cut off between AWS and the state: the state would see no change."""
    begun(world)
    world.config |= ACCESS_KEY.config(INACTIVE) | {STEP: "1"}
    world.account.there = there
    assert world.does(UNDO) == [
        "config 2 Active",
        "up refresh",
        "proved 1",
        "wrote 1",
        "config 1",
        "up undo accessKeyGeneration:2",
    ]
    assert world.told[0] == "the last update was cut off: going on with it"


def test_a_change_that_was_cut_off_is_taken_back_by_whoever_asks_for_no_step(world: World) -> None:
    """The old key may be inactive at AWS, which the state does not know."""
    begun(world)
    world.is_interrupted = True
    world.config |= ACCESS_KEY.config(INACTIVE) | {STEP: "1"}
    world.account.there = [
        existing(1, LONG_AGO)._replace(is_active=False),
        existing(2, LONG_AGO),
    ]
    assert world.does(BEGIN) == ["config 2 Active", "up refresh", "proved 2"]


def test_a_deletion_that_was_cut_off_is_gone_on_with(world: World) -> None:
    """The outputs say that it is finished, the state still has the old key."""
    world.stands_at(ACCESS_KEY, State(2, ""))
    world.has_files()
    world.made[ACCESS_KEY.name] = {1, 2}
    assert world.does(FINISH) == ["up refresh", "proved 2"]


# The profiles


def test_every_profile_that_sync_wrote_gets_the_new_key_and_no_other(world: World) -> None:
    world.has_files()
    world.has_files("work")
    world.does(BEGIN)
    assert sorted(world.events) == ["config 2 Active", "proved 2", "up", "wrote 2", "wrote 2"]
    assert (world.written(), world.written("work")) == (2, 2)


def test_what_sync_wrote_elsewhere_or_for_another_account_is_left_alone(
    world: World, tmp_path: Path
) -> None:
    world.has_files()
    world.has_files("elsewhere", credentials=tmp_path / "credentials")
    world.has_files("theirs", account_id="210987654321")
    world.does(BEGIN)
    assert (world.written(), world.written("theirs")) == (2, 1)
    assert "elsewhere" not in world.places.files.credentials.read_text()


def test_a_profile_that_is_named_is_written_beside_those_that_sync_wrote(world: World) -> None:
    world.has_files()
    world.replacement(profile="work").carry_out(BEGIN)
    assert (world.written(), world.written("work")) == (2, 2)


def test_where_sync_wrote_none_the_profile_that_is_named_is_the_only_one(world: World) -> None:
    world.replacement(profile="work").carry_out(BEGIN)
    assert world.written("work") == 2
    assert "[production]" not in world.places.files.credentials.read_text()


def test_a_profile_that_sync_wrote_and_that_is_named_is_written_once(world: World) -> None:
    world.has_files()
    world.replacement(profile=STACK).carry_out(BEGIN)
    assert world.events == ["config 2 Active", "up", "proved 2", "wrote 2"]
