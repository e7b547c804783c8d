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
from sync.deployment import PRIVATE_KEY as PRIVATE_KEY_TYPE
from sync.deployment import USER
from sync.engine import Engine, StackError
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
    UNDO,
    Kind,
    Refused,
    State,
)
from sync.ssh_key import parse_private_key
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
        self.made = {ACCESS_KEY.name: {1}, KEY_PAIR.name: {1}}
        self.pending: list[str] = []
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
        return json.dumps({"deployment": {"resources": resources, "pending_operations": pending}})

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

    def forget_pending(self) -> None:
        self.events.append("forgot what was pending")
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
            lambda _question: True,
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
    world.stands_at(ACCESS_KEY, ACTIVE)
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
    assert rotation.changed_config == ACCESS_KEY.config(ACTIVE)


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
    with pytest.raises(Refused, match="no rotation of the access key is under way"):
        world.does(RETIRE)
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
    world.config |= ACCESS_KEY.config(ACTIVE)
    world.update_fails = LockedError("another update is under way", [])
    with pytest.raises(LockedError):
        world.does(BEGIN)
    assert world.events == ["up"]


def test_what_was_changed_in_the_config_is_known_for_the_user_to_commit(world: World) -> None:
    rotation = world.replacement()
    rotation.carry_out(NOW)
    assert rotation.changed_config == {"accessKeyGeneration": "2", "previousAccessKey": ""}
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


def test_a_config_is_told_nothing_that_it_says_already(world: World) -> None:
    begun(world)
    rotation = world.replacement()
    rotation.carry_out(RETIRE)
    assert rotation.changed_config == {"previousAccessKey": "Inactive"}


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


def test_a_lost_key_is_deleted_before_the_state_forgets_it_and_another_is_made(
    world: World,
) -> None:
    world.has_files()
    lost = AccessKey("AKIALOSTLOSTLOSTLOST", is_active=True, created=TODAY, last_used=None)
    assert isinstance(world.account.there, list)
    world.account.there.append(lost)
    world.account.calls = world.events
    world.pending = [ACCESS_KEY_TYPE]
    world.config |= ACCESS_KEY.config(ACTIVE)
    with pytest.raises(StackError, match="AWS allows no third"):  # this AWS does not forget it
        world.does(BEGIN)
    assert world.events == [
        "delete access key AKIALOSTLOSTLOSTLOST of production",
        "forgot what was pending",
    ]
    world.account.there.remove(lost)
    world.events.clear()
    assert world.does(BEGIN) == ["up", "proved 2", "wrote 2"]


def test_what_the_state_has_forgotten_is_made_again(world: World) -> None:
    world.has_files()
    world.made[ACCESS_KEY.name] = {1, 2}
    world.pending, world.forgotten = [ACCESS_KEY_TYPE], {2}
    assert world.does(BEGIN) == [
        "forgot what was pending",
        "config 2 Active",
        "up",
        "proved 2",
        "wrote 2",
    ]


def test_an_undo_takes_a_config_back_that_was_not_deployed(world: World) -> None:
    world.has_files()
    world.config |= ACCESS_KEY.config(ACTIVE)
    assert world.does(UNDO) == ["config 1", "up", "proved 1"]


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


def test_a_profile_that_is_named_is_the_only_one_written(world: World) -> None:
    world.has_files()
    world.replacement(profile="work").carry_out(BEGIN)
    assert (world.written(), world.written("work")) == (1, 2)
