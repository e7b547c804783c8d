"""A plan carried out on real files of a home made for the test."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync import home
from sync.places import Places
from sync.plan import Unreadable, Wish, aside_name, key_file
from sync.private_file import FileError, PrivateFile
from sync.receipts import Receipts
from tests.stacks import access_key, key_pair, rotated, rotating, stack_keys

if TYPE_CHECKING:
    from sync.outcome import Outcome
    from sync.stack import StackKeys


@pytest.fixture
def places(tmp_path: Path) -> Places:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        return Places.find(None)


def sync(places: Places, *keys: StackKeys, take_over: bool = False) -> list[Outcome]:
    wishes = [Wish(k, k.stack, places.private_key(k.stack)) for k in keys or (stack_keys(),)]
    return home.write(
        places, wishes, take_over=take_over, patience=5, on_wait=lambda: pytest.fail("waits")
    )


def preview(places: Places, *keys: StackKeys) -> list[Outcome]:
    wishes = [Wish(k, k.stack, places.private_key(k.stack)) for k in keys or (stack_keys(),)]
    return home.preview(places, wishes, take_over=False)


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below ``root``: mode, time of its last change, content."""
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def errors(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.stack: outcome.error for outcome in outcomes if outcome.error}


@pytest.mark.parametrize("algorithm", ["ED25519", "RSA"])
def test_an_empty_home_gets_key_profile_and_region(
    places: Places, tmp_path: Path, algorithm: str
) -> None:
    (outcome,) = sync(places, stack_keys(algorithm=algorithm))
    assert outcome.error is None
    assert [change.action for change in outcome.changes] == ["created"] * 3
    assert files(tmp_path) == {
        ".pem/production.pem",
        ".aws/credentials",
        ".aws/config",
        ".local/state/aws-keys/lock",
        ".local/state/aws-keys/receipts.json",
    }
    assert {mode for mode, _, _ in tree(tmp_path).values()} == {0o600, 0o700}
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", tmp_path / ".pem/production.pem"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert derived.stdout.split()[:2] == key_pair("production", algorithm)[1].split()[:2]


def test_a_second_run_changes_nothing_not_even_a_time(places: Places, tmp_path: Path) -> None:
    sync(places)
    before = tree(tmp_path)
    (outcome,) = sync(places)
    assert not outcome.has_changes
    assert tree(tmp_path) == before


def test_each_file_is_written_once_however_many_stacks(places: Places, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_bytes(b"[mine]\n")
    sync(places, *(stack_keys(name) for name in ("a", "b", "c")))
    assert (tmp_path / ".aws/credentials.aws-keys.bak").read_bytes() == b"[mine]\n"


def test_a_preview_touches_nothing(places: Places, tmp_path: Path) -> None:
    (outcome,) = preview(places)
    assert outcome.has_changes
    assert not files(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_first_and_the_last_content_are_kept(places: Places, tmp_path: Path) -> None:
    credentials = tmp_path / ".aws/credentials"
    credentials.parent.mkdir()
    credentials.write_bytes(b"[mine]\nx = 1\n")
    sync(places)
    first = credentials.read_bytes()
    sync(places, stack_keys("staging"))
    kept = tmp_path / ".aws"
    assert (kept / "credentials.before-aws-keys").read_bytes() == b"[mine]\nx = 1\n"
    assert (kept / "credentials.aws-keys.bak").read_bytes() == first
    assert credentials.read_bytes().startswith(first)
    for path in kept.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_sync_made_has_no_content_from_before(places: Places, tmp_path: Path) -> None:
    sync(places)
    sync(places, stack_keys("staging"))
    assert not (tmp_path / ".aws/credentials.before-aws-keys").exists()


def test_a_replaced_key_stays_beside_the_new_one(places: Places, tmp_path: Path) -> None:
    sync(places)
    (outcome,) = sync(places, rotated())
    kept = outcome.changes[0].kept
    assert kept is not None
    assert Path(kept).read_bytes() == key_file(stack_keys().private_key)
    assert Path(kept).parent == tmp_path / ".pem"
    assert (tmp_path / ".pem/production.pem").read_bytes() == key_file(rotated().private_key)


def previous_key(tmp_path: Path) -> Path:
    (path,) = (tmp_path / ".pem").glob("production.????????????????.pem")
    return path


def test_the_key_that_running_machines_know_is_put_beside_while_it_is_replaced(
    places: Places, tmp_path: Path
) -> None:
    (seen,) = preview(places, rotating())
    (outcome,) = sync(places, rotating())
    assert outcome.changes == seen.changes
    assert [change.action for change in outcome.changes] == ["created"] * 4
    previous = previous_key(tmp_path)
    assert outcome.changes[1].path == str(previous)
    assert previous.read_bytes().decode() == key_pair("previous/production")[0]
    assert stat.S_IMODE(previous.stat().st_mode) == 0o600
    before = tree(tmp_path)
    (again,) = sync(places, rotating())
    assert [change.action for change in again.changes] == ["unchanged"] * 4
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_known", [True, False])
def test_the_previous_key_in_the_key_file_is_kept_once(
    places: Places, tmp_path: Path, *, is_known: bool
) -> None:
    private, public = key_pair("previous/production")
    sync(places, stack_keys("production", private_key=private, public_key=public))
    if is_known:  # somebody else's rotate came first, on this very machine
        shutil.copy(tmp_path / ".pem/production.pem", tmp_path / "kept")
        name = aside_name(private.encode(), "production")
        shutil.move(tmp_path / "kept", tmp_path / ".pem" / name)
    (outcome,) = sync(places, rotating())
    assert outcome.error is None
    previous = previous_key(tmp_path)
    assert previous.read_bytes().decode() == private
    assert outcome.changes[0].kept == str(previous)
    assert outcome.changes[1].action == "unchanged"
    before = tree(tmp_path)
    assert not sync(places, rotating())[0].has_changes
    assert tree(tmp_path) == before


def test_another_file_by_the_name_of_the_previous_key_stays(places: Places, tmp_path: Path) -> None:
    path = tmp_path / ".pem" / aside_name(key_pair("previous/production")[0].encode(), "production")
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"mine")
    (outcome,) = sync(places, rotating())
    assert outcome.error is None
    assert "left as it is" in outcome.warnings[0]
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("is_in_key_file", [True, False])
@pytest.mark.parametrize("what", ["directory", "dangling link", "link to a missing directory"])
def test_what_is_no_file_by_the_name_of_the_previous_key_stays_too(
    places: Places, tmp_path: Path, what: str, *, is_in_key_file: bool
) -> None:
    private, public = key_pair("previous/production")
    if is_in_key_file:
        sync(places, stack_keys("production", private_key=private, public_key=public))
    path = tmp_path / ".pem" / aside_name(private.encode(), "production")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if what == "directory":
        path.mkdir()
    else:
        path.symlink_to("nothing" if what == "dangling link" else "nowhere/nothing")
    seen = preview(places, rotating())[0]
    (outcome,) = sync(places, rotating())
    assert outcome.error is None
    assert outcome.warnings == seen.warnings
    assert f"{path} is not the previous key" in outcome.warnings[0]
    assert not path.is_file()
    assert path.is_dir() or path.is_symlink()
    assert (tmp_path / ".pem/production.pem").read_bytes() == key_file(rotating().private_key)
    kept = outcome.changes[0].kept
    assert (kept is not None) == is_in_key_file
    assert kept is None or Path(kept).read_bytes().decode() == private


def test_which_files_were_not_there_before_is_noted(places: Places, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_bytes(b"")
    sync(places)
    receipts = Receipts.load((tmp_path / ".local/state/aws-keys/receipts.json").read_bytes())
    assert receipts.created == {str(tmp_path / ".aws/config")}


def test_a_key_with_a_passphrase_of_the_user_stays(places: Places, tmp_path: Path) -> None:
    sync(places)
    key = tmp_path / ".pem/production.pem"
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-N", "mine!", "-P", "", "-f", key],
        check=True,
        capture_output=True,
    )
    before = key.read_bytes()
    (outcome,) = sync(places)
    assert not outcome.has_changes
    assert "passphrase of yours" in outcome.warnings[0]
    assert key.read_bytes() == before


def test_taken_over_files_are_kept_whole(places: Places, tmp_path: Path) -> None:
    key = tmp_path / ".pem/production.pem"
    credentials = tmp_path / ".aws/credentials"
    for path, content in (
        (key, key_pair("theirs")[0].encode()),
        (credentials, f"[production]\naws_access_key_id = {access_key('theirs')[0]}\n".encode()),
    ):
        path.parent.mkdir()
        path.write_bytes(content)
    before = key.read_bytes(), credentials.read_bytes()
    assert errors(sync(places))
    assert (key.read_bytes(), credentials.read_bytes()) == before
    (outcome,) = sync(places, take_over=True)
    assert outcome.error is None
    kept = outcome.changes[0].kept
    assert kept is not None
    assert Path(kept).read_bytes() == before[0]
    taken = outcome.changes[2].kept
    assert taken is not None
    assert Path(taken).name.startswith("credentials.taken-over-")
    for name in ("a", "b"):
        sync(places, stack_keys(name))  # whatever comes later
    assert Path(taken).read_bytes() == before[1]
    assert key.read_bytes() == key_file(stack_keys().private_key)


def test_wide_modes_are_narrowed_and_told_once(places: Places, tmp_path: Path) -> None:
    both = stack_keys(), stack_keys("staging")
    sync(places, *both)
    (tmp_path / ".aws/credentials").chmod(0o644)
    (tmp_path / ".pem").chmod(0o755)
    (tmp_path / ".pem/staging.pem").chmod(0o640)
    contents = {name: entry[2] for name, entry in tree(tmp_path).items()}
    told = [
        (outcome.stack, Path(change.path).name, change.facts["was"])
        for look in (preview, sync)
        for outcome in look(places, *both)
        for change in outcome.changes
        if change.action == "narrowed"
    ]
    once = [
        ("production", ".pem", "0755"),
        ("production", "credentials", "0644"),
        ("staging", "staging.pem", "0640"),
    ]
    assert told == once * 2
    assert {name: entry[2] for name, entry in tree(tmp_path).items()} == contents
    assert not any(outcome.has_changes for outcome in sync(places, *both))


def test_a_directory_that_was_named_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/c")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/f")
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/state")
    sync(Places.find(str(shared)))
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert files(tmp_path) == {
        "shared/production.pem",
        "c",
        "f",
        "state/aws-keys/lock",
        "state/aws-keys/receipts.json",
    }


def test_paths_are_expanded_as_aws_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("PLACE", "/place")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~/c")
    monkeypatch.setenv("AWS_CONFIG_FILE", "$PLACE/f")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    places = Places.find("keys")
    assert places.files == (Path("/home/somebody/c"), Path("/place/f"))
    assert places.state_directory == Path("/home/somebody/.local/state/aws-keys")
    assert places.private_key("a") == tmp_path / "keys" / "a.pem"
    assert Places.find("~/keys").private_key("a") == Path("/home/somebody/keys/a.pem")


def test_a_home_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "~nobody-of-that-name/config")
    with pytest.raises(FileError, match="~nobody-of-that-name/config: there is no such home"):
        Places.find(None)


def test_a_directory_where_a_key_belongs_fails_that_stack_only(
    places: Places, tmp_path: Path
) -> None:
    (tmp_path / ".pem/production.pem").mkdir(parents=True)
    outcomes = sync(places, stack_keys(), stack_keys("staging"))
    assert list(errors(outcomes)) == ["production"]
    assert "is a directory" in errors(outcomes)["production"]
    assert (tmp_path / ".aws/credentials").read_bytes().startswith(b"[staging]")


def test_a_file_boto3_cannot_read_stops_all_and_nothing_is_touched(
    places: Places, tmp_path: Path
) -> None:
    config = tmp_path / ".aws/config"
    config.parent.mkdir()
    config.write_bytes(b"[default]\n[default]\n")
    with pytest.raises(Unreadable, match="config, line 2"):
        sync(places)
    assert files(tmp_path) == {".aws/config", ".local/state/aws-keys/lock"}


def test_what_could_not_be_written_is_not_told_as_done(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = PrivateFile.commit

    def fail_for_credentials(self: PrivateFile) -> None:
        if self.path.name == "credentials":
            raise FileError(self.path, "another program keeps changing it")
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", fail_for_credentials)
    (outcome,) = sync(places)
    assert outcome.error == f"{tmp_path}/.aws/credentials: another program keeps changing it"
    assert [Path(change.path).name for change in outcome.changes] == ["production.pem", "config"]


def test_a_note_that_cannot_be_taken_afterwards_is_no_failure(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = PrivateFile.commit
    receipts = iter(["written before", "written after"])

    def fail_the_second_time(self: PrivateFile) -> None:
        if self.path.name == "receipts.json" and next(receipts) == "written after":
            raise FileError(self.path, "No space left on device")
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", fail_the_second_time)
    assert not errors(sync(places))
    assert not next(receipts, None)
    assert not any(outcome.has_changes for outcome in preview(places))


def test_no_profile_is_written_for_a_key_file_that_failed(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(places)
    commit = PrivateFile.commit

    def change_just_before(self: PrivateFile) -> None:
        if self.path.name == "production.pem":
            self.path.write_bytes(b"theirs\n")
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", change_just_before)
    before = (tmp_path / ".aws/credentials").read_bytes()
    outcomes = sync(places, rotated(), stack_keys("staging"))
    assert "changed by another program meanwhile" in errors(outcomes)["production"]
    assert outcomes[0].changes == ()
    assert (tmp_path / ".pem/production.pem").read_bytes() == b"theirs\n"
    after = (tmp_path / ".aws/credentials").read_bytes()
    assert after.startswith(before)
    assert b"[staging]" in after


def test_a_key_file_that_cannot_be_made_fails_that_stack_only(
    places: Places, tmp_path: Path
) -> None:
    (tmp_path / ".pem").mkdir(mode=0o700)
    (tmp_path / ".pem/production.pem").symlink_to("missing/production.pem")
    outcomes = sync(places, stack_keys(), stack_keys("staging"))
    assert list(errors(outcomes)) == ["production"]
    assert (tmp_path / ".aws/credentials").read_bytes().startswith(b"[staging]")
    again = preview(places, stack_keys("staging"))
    assert not again[0].has_changes


def test_a_file_that_sync_only_agreed_with_is_kept_when_it_is_first_changed(
    places: Places, tmp_path: Path
) -> None:
    sync(places)
    before = (tmp_path / ".aws/credentials").read_bytes()
    shutil.rmtree(tmp_path / ".local")  # as on another machine
    sync(places)
    assert not (tmp_path / ".aws/credentials.before-aws-keys").exists()
    sync(places, rotated())
    assert (tmp_path / ".aws/credentials.before-aws-keys").read_bytes() == before


def test_a_stack_that_fails_changes_nothing_for_the_others(places: Places, tmp_path: Path) -> None:
    sync(places)
    sync(places, stack_keys("a"))
    before = tree(tmp_path / ".aws")
    (tmp_path / ".pem/b.pem").symlink_to("missing/b.pem")
    outcomes = sync(places, stack_keys("a"), stack_keys("b"))
    assert list(errors(outcomes)) == ["b"]
    assert not outcomes[0].has_changes
    assert tree(tmp_path / ".aws") == before


def test_a_profile_refused_at_the_last_moment_fails_its_stack_only(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / ".aws/credentials"
    credentials.parent.mkdir()
    credentials.write_bytes(b"")
    theirs = b"[production]\naws_access_key_id = AKIATHEIRS\n"
    commit = PrivateFile.commit

    def change_just_before(self: PrivateFile) -> None:
        if self.path == credentials:
            credentials.write_bytes(theirs)
        commit(self)

    monkeypatch.setattr(PrivateFile, "commit", change_just_before)
    outcomes = sync(places, stack_keys(), stack_keys("staging"))
    assert "another access key, ...EIRS" in errors(outcomes)["production"]
    assert list(errors(outcomes)) == ["production"]
    assert credentials.read_bytes().startswith(theirs)
    assert b"[staging]" in credentials.read_bytes()
    assert [Path(c.path).name for c in outcomes[0].changes] == ["production.pem", "config"]


def test_a_run_that_fails_leaves_the_last_backup(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(places)
    sync(places, stack_keys("a"))
    before = tree(tmp_path / ".aws")

    def fail(*_: object) -> None:
        raise FileError(tmp_path, "no")

    monkeypatch.setattr(PrivateFile, "commit", fail)
    with pytest.raises(FileError):
        sync(places, stack_keys("b"))
    assert tree(tmp_path / ".aws") == before


def test_one_file_for_credentials_and_config_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/a")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/b")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "a").symlink_to("b")
    with pytest.raises(FileError, match="is the credentials file too"):
        sync(Places.find(str(tmp_path)))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 1}', '{"version": 2, "changed": [], "receipts": []}']
)
def test_a_receipts_file_that_is_none_is_named_not_overwritten(
    places: Places, tmp_path: Path, content: str
) -> None:
    receipts = tmp_path / ".local/state/aws-keys/receipts.json"
    receipts.parent.mkdir(parents=True)
    receipts.write_text(content)
    with pytest.raises(
        FileError, match=r"receipts\.json: (does not hold .*move it away|is of version 2)"
    ):
        sync(places)
    assert receipts.read_text() == content


def dies_at(change: int, places: Places, keys: StackKeys) -> bool:
    """Sync in a process that dies before it makes its ``change``-th change to a file."""
    child = os.fork()
    if not child:
        count = iter(range(1000))
        for name in ("replace", "link", "unlink", "mkdir", "fsync"):
            real = getattr(os, name)

            def dying(*args: object, real: object = real, **options: object) -> object:
                if next(count) == change:
                    os._exit(9)
                assert callable(real)
                return real(*args, **options)

            setattr(os, name, dying)
        sync(places, keys)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("is_first", [True, False])
def test_killed_at_any_change_of_a_file_the_next_run_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    theirs = b"[mine]\nx = 1\n"
    for change in range(100):
        root = tmp_path / str(change)
        (root / ".aws").mkdir(parents=True)
        (root / ".aws/credentials").write_bytes(theirs)
        monkeypatch.setenv("HOME", str(root))
        places = Places.find(None)
        if not is_first:
            sync(places)
        if not dies_at(change, places, rotated()):
            break
        credentials = (root / ".aws/credentials").read_bytes()
        assert credentials.startswith(theirs)
        # The keys may have been replaced once more before anybody looks again.
        newest = stack_keys("rotated-again/production") if change % 2 else rotated()
        (outcome,) = sync(places, newest)
        assert outcome.error is None
        assert (root / ".pem/production.pem").read_bytes() == key_file(newest.private_key)
        assert not [name for name in files(root) if name.endswith(".tmp")]
        assert (root / ".aws/credentials.before-aws-keys").read_bytes() == theirs
        assert not any(outcome.has_changes for outcome in sync(places, newest))
    assert change > 12


RECEIPT = (
    b'{"kind": "profile", "path": "/c", "profile": "x", "stack": "x", "account_id": "1", '
    b'"wrote": ["a"], "before": "nothing", "dropped": []}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"/c"', b"null"),
        (b'"profile": "x"', b'"profile": 1'),
        (b'"stack": "x"', b'"stack": ["x"]'),
        (b'["a"]', b'"a"'),
        (b'["a"]', b"[1]"),
        (b'"nothing"', b"{}"),
        (b"[]}", b"[null]}"),
        (b'["/f"]', b"[1]"),
        (b'["/g"]', b'"/g"'),
        (b'["/g"]', b"[" * 100_000),
    ],
)
def test_receipts_of_another_form_are_named_and_nothing_is_touched(
    places: Places, tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = tmp_path / ".local/state/aws-keys/receipts.json"
    path.parent.mkdir(parents=True)
    good = b'{"version": 1, "receipts": [%s], "changed": ["/f"], "created": ["/g"]}' % RECEIPT
    assert Receipts.load(good).created == {"/g"}
    assert old in good
    path.write_bytes(good.replace(old, new))
    with pytest.raises(FileError, match=r"receipts\.json: does not hold receipts of sync"):
        sync(places)
    assert not (tmp_path / ".aws").exists()
