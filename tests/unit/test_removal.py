"""What goes when a stack is removed, and what is somebody else's by now: on bytes alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.plan import Contents, Files, Plan, Unreadable, Wish, aside_name, key_file
from sync.receipts import Receipts
from sync.removal import GONE, LEFT, REMOVED, Beside, NothingWritten, Removal, Request
from tests.stacks import access_key, key_pair, rotated, stack_keys

if TYPE_CHECKING:
    from sync.stack import StackKeys

FILES = Files(Path("/h/.aws/credentials"), Path("/h/.aws/config"))
KEY_FILE = Path("/h/.pem/production.pem")
OURS = stack_keys()
CONTENT = key_file(OURS.private_key)
NEWER = key_file(rotated().private_key)
OLD_FILE = KEY_FILE.with_name(aside_name(CONTENT, "production"))
NO_RECEIPTS = Receipts.load(None)


def write(
    keys: StackKeys = OURS,
    receipts: Receipts = NO_RECEIPTS,
    contents: Contents | None = None,
    *,
    profile: str = "production",
    path: Path = KEY_FILE,
) -> tuple[Contents, Receipts]:
    """What the files hold after a sync, and its receipts."""
    before = contents or Contents({path: None}, None, None)
    plan = Plan([Wish(keys, profile, path)], before, FILES, receipts, take_over=True)
    assert plan.granted
    after = Contents(
        {path: key_file(keys.private_key)},
        plan.edit_credentials(before.credentials),
        plan.edit_config(before.config),
    )
    return after, plan.receipts


WRITTEN, RECEIPTS = write()


def removal(
    request: Request | None = None, receipts: Receipts = RECEIPTS, beside: Beside | None = None
) -> Removal:
    beside = beside or Beside({KEY_FILE: CONTENT})
    return Removal(request or Request("production"), FILES, KEY_FILE, receipts, beside)


def in_credentials(
    data: bytes | None, receipts: Receipts = RECEIPTS
) -> tuple[bytes, list[str], str]:
    """What is left, what becomes of each part, and the words for all of it."""
    content, parts = removal(receipts=receipts).edit_credentials(data)
    return content, [part.action for part in parts], str(parts)


def in_config(data: bytes | None, receipts: Receipts = RECEIPTS) -> tuple[bytes, list[str], str]:
    content, parts = removal(receipts=receipts).edit_config(data)
    return content, [part.action for part in parts], str(parts)


def test_what_sync_wrote_goes_and_with_it_its_receipts() -> None:
    assert in_credentials(WRITTEN.credentials)[:2] == (b"", [REMOVED])
    assert in_config(WRITTEN.config)[:2] == (b"", [REMOVED])
    assert removal().key_files[KEY_FILE].action == REMOVED
    assert removal().receipts == NO_RECEIPTS


def test_lines_of_others_in_the_section_stay() -> None:
    more = b"output = json\n"
    assert in_credentials((WRITTEN.credentials or b"") + more)[0] == b"[production]\n" + more


def test_a_section_that_was_there_before_stays() -> None:
    contents, receipts = write(contents=Contents({KEY_FILE: None}, b"[production]\n", None))
    assert in_credentials(contents.credentials, receipts)[0] == b"[production]\n"


def test_another_access_key_in_the_profile_is_left_whole() -> None:
    theirs = write(stack_keys("by-hand"))[0].credentials
    content, actions, words = in_credentials(theirs)
    assert (content, actions) == (theirs, [LEFT])
    assert f"...{access_key('by-hand')[0][-4:]}, which sync did not write" in words


def test_a_secret_goes_only_with_its_id() -> None:
    data = b"[production]\naws_secret_access_key = sEcReT\n"
    content, actions, words = in_credentials(data)
    assert (content, actions) == (data, [LEFT])
    assert "without its aws_access_key_id" in words
    assert "sEcReT" not in words


def test_a_secret_that_somebody_added_lines_to_is_left_with_its_id() -> None:
    data = (WRITTEN.credentials or b"") + b"  mine\n"
    content, actions, words = in_credentials(data)
    assert (content, actions) == (data, [LEFT])
    assert "lines were added" in words


def test_a_region_that_somebody_changed_stays() -> None:
    data = (WRITTEN.config or b"").replace(b"us-west-2", b"eu-west-1")
    assert in_config(data)[:2] == (data, [LEFT])


@pytest.mark.parametrize("data", [None, b"", b"[production]\nx = 1\n"])
def test_what_was_removed_by_hand_is_told(data: bytes | None) -> None:
    assert in_credentials(data)[:2] == (data or b"", [GONE])
    assert in_config(data)[:2] == (data or b"", [GONE])
    parts = removal(beside=Beside({KEY_FILE: None})).key_files
    assert parts[KEY_FILE].action == GONE


def test_a_section_of_ours_that_was_emptied_by_hand_goes() -> None:
    assert in_credentials(b"[a]\n\n[production]\n")[:2] == (b"[a]\n", [REMOVED])


def test_every_earlier_key_of_the_stack_is_ours() -> None:
    _, receipts = write(rotated(), RECEIPTS, WRITTEN)
    assert in_credentials(WRITTEN.credentials, receipts)[1] == [REMOVED]
    assert removal(receipts=receipts).key_files[KEY_FILE].action == REMOVED


@pytest.mark.parametrize("content", [b"my notes\n", key_pair("other")[0].encode()])
def test_a_key_file_of_somebody_else_is_left(content: bytes) -> None:
    part = removal(beside=Beside({KEY_FILE: content})).key_files[KEY_FILE]
    assert part.action == LEFT


def test_a_key_file_with_a_passphrase_of_the_user_is_left(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(CONTENT)
    key.chmod(0o600)
    command = ["ssh-keygen", "-q", "-p", "-N", "mine!", "-P", "", "-f", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    part = removal(beside=Beside({KEY_FILE: key.read_bytes()})).key_files[KEY_FILE]
    assert part.action == LEFT
    assert "passphrase of yours" in part.facts["what"]


def test_a_replaced_key_stays_until_it_is_asked_for_even_later() -> None:
    _, receipts = write(rotated(), RECEIPTS, WRITTEN)
    beside = Beside({KEY_FILE: NEWER, OLD_FILE: CONTENT})
    first = removal(receipts=receipts, beside=beside)
    assert [part.action for part in first.key_files.values()] == [REMOVED, LEFT]
    assert "--old-keys" in first.key_files[OLD_FILE].facts["what"]
    later = removal(
        Request("production", old_keys=True), first.receipts, beside._replace(first_copies=())
    )
    assert later.key_files[OLD_FILE].action == REMOVED
    assert later.receipts == NO_RECEIPTS
    at_once = removal(Request("production", old_keys=True), receipts, beside)
    assert [part.action for part in at_once.key_files.values()] == [REMOVED, REMOVED]
    assert at_once.receipts == NO_RECEIPTS


def test_a_key_that_was_taken_over_is_never_removed() -> None:
    theirs = key_pair("other")[0].encode()
    kept = KEY_FILE.with_name(aside_name(theirs, "production"))
    _, receipts = write(contents=Contents({KEY_FILE: theirs}, None, None))
    request = Request("production", old_keys=True, backups=True)
    decided = removal(receipts=receipts, request=request, beside=Beside({kept: theirs}))
    assert decided.key_files[kept].action == LEFT
    assert f"what a take-over replaced in {KEY_FILE} is not put back" in decided.warnings


def test_a_file_of_ours_by_another_name_is_not_a_replaced_key() -> None:
    named = KEY_FILE.with_name("production.0123456789abcdef.pem")
    request = Request("production", old_keys=True)
    beside = Beside({named: CONTENT})
    assert removal(request, beside=beside).key_files[named].action == LEFT


def test_the_key_file_of_a_stack_whose_name_looks_like_a_replaced_key_is_that_stacks() -> None:
    named = KEY_FILE.with_name("production.0123456789abcdef.pem")
    _, receipts = write(stack_keys("production.0123456789abcdef"), RECEIPTS, path=named)
    request = Request("production", old_keys=True)
    beside = Beside({KEY_FILE: None, named: CONTENT})
    assert set(removal(request, receipts, beside).key_files) == {KEY_FILE}


def test_one_profile_of_several_goes_alone_and_the_key_file_with_the_last() -> None:
    contents, receipts = write(OURS, RECEIPTS, WRITTEN, profile="ci")
    one = removal(Request("production", profile="ci"), receipts)
    assert one.edit_credentials(contents.credentials)[0] == WRITTEN.credentials
    assert not one.key_files
    assert one.warnings == ["the key file stays with profile production"]
    last = removal(Request("production", profile="production"), one.receipts)
    assert last.key_files[KEY_FILE].action == REMOVED
    assert last.receipts == NO_RECEIPTS


def test_without_a_name_every_profile_of_the_stack_goes() -> None:
    contents, receipts = write(OURS, RECEIPTS, WRITTEN, profile="ci")
    assert in_credentials(contents.credentials, receipts)[:2] == (b"", [REMOVED] * 2)


def test_stacks_of_that_name_in_two_accounts_both_go_and_are_named() -> None:
    elsewhere = rotated()._replace(stack="production", account_id="210987654321")
    contents, receipts = write(elsewhere, RECEIPTS, WRITTEN, profile="other")
    assert in_credentials(contents.credentials, receipts)[:2] == (b"", [REMOVED] * 2)
    assert "123456789012, 210987654321" in removal(receipts=receipts).warnings[0]


def test_another_stack_keeps_its_own() -> None:
    staging = stack_keys("staging")
    path = KEY_FILE.with_name("staging.pem")
    before = WRITTEN._replace(private_keys={path: None})
    contents, receipts = write(staging, RECEIPTS, before, profile="staging", path=path)
    content, _, _ = in_credentials(contents.credentials, receipts)
    assert b"[staging]" in content
    assert b"[production]" not in content
    left = removal(receipts=receipts).receipts
    assert {receipt.stack for receipt in left.by_place.values()} == {"staging"}


def found(keys: StackKeys = OURS) -> tuple[Contents, Receipts]:
    """What the files hold, and the receipts, where the user put it all there before sync came."""
    contents, _ = write(keys)
    after, receipts = write(keys, contents=contents)
    assert after == contents
    return contents, receipts


def test_what_was_there_before_sync_and_is_the_same_stays() -> None:
    contents, receipts = found()
    content, actions, words = in_credentials(contents.credentials, receipts)
    assert (content, actions) == (contents.credentials, [LEFT])
    assert "which was there before sync" in words
    part = removal(receipts=receipts).key_files[KEY_FILE]
    assert part.action == LEFT
    assert part.facts["what"].endswith(", which was there before sync")


def test_what_sync_wrote_over_what_was_there_before_goes() -> None:
    contents, receipts = found()
    contents, receipts = write(rotated(), receipts, contents)
    assert in_credentials(contents.credentials, receipts)[1] == [REMOVED]
    request = Request("production", old_keys=True)
    beside = Beside({KEY_FILE: NEWER, OLD_FILE: CONTENT})
    decided = removal(request, receipts, beside).key_files
    assert decided[KEY_FILE].action == REMOVED
    assert decided[OLD_FILE].action == LEFT
    assert decided[OLD_FILE].facts["what"].endswith(", which was there before sync")


def test_what_was_there_before_and_then_deleted_is_ours_once_it_is_written_again() -> None:
    _, receipts = found()
    contents, receipts = write(OURS, receipts)
    assert in_credentials(contents.credentials, receipts)[1] == [REMOVED]
    assert removal(receipts=receipts).key_files[KEY_FILE].action == REMOVED


def test_a_region_that_was_there_before_stays() -> None:
    receipts = RECEIPTS._replace(
        by_place={place: r._replace(before="the same") for place, r in RECEIPTS.by_place.items()}
    )
    content, actions, words = in_config(WRITTEN.config, receipts)
    assert (content, actions) == (WRITTEN.config, [LEFT])
    assert "which was there before sync" in words


def taken_over(keys: StackKeys, *, is_passed_on: bool = True) -> tuple[Contents, Receipts]:
    """The profile of production once another stack took it over."""
    path = KEY_FILE.with_name("staging.pem")
    before = WRITTEN._replace(private_keys={path: None})
    contents, receipts = write(keys, RECEIPTS, before, path=path)
    regions = {p: r for p, r in RECEIPTS.by_place.items() if p.kind == "region"}
    assert regions
    if not is_passed_on:  # as earlier versions left it
        receipts = receipts._replace(by_place=receipts.by_place | regions)
    return contents, receipts


@pytest.mark.parametrize("is_passed_on", [True, False])
@pytest.mark.parametrize("region", ["us-west-2", "eu-west-1"])
def test_the_region_of_a_profile_that_another_stack_took_over_stays_and_is_that_stacks(
    region: str, *, is_passed_on: bool
) -> None:
    contents, receipts = taken_over(
        stack_keys("staging")._replace(region=region), is_passed_on=is_passed_on
    )
    decided = removal(receipts=receipts)
    assert decided.edit_credentials(contents.credentials)[0] == contents.credentials
    assert decided.edit_config(contents.config)[0] == contents.config == WRITTEN.config
    assert {r.stack for r in decided.receipts.by_place.values()} == {"staging"}
    later = removal(Request("staging"), decided.receipts, Beside({}))
    assert later.edit_config(contents.config)[0] == b""
    assert later.receipts == NO_RECEIPTS


def test_a_region_that_is_left_to_another_stack_is_told() -> None:
    contents, receipts = taken_over(stack_keys("staging"), is_passed_on=False)
    ((part,)) = removal(receipts=receipts).edit_config(contents.config)[1]
    assert part.action == LEFT
    assert part.facts["what"] == "region us-west-2, whose profile stack staging has"


def test_a_replaced_key_by_a_numbered_name_is_one_too() -> None:
    numbered = OLD_FILE.with_stem(f"{OLD_FILE.stem}-2")
    _, receipts = write(rotated(), RECEIPTS, WRITTEN)
    beside = Beside({KEY_FILE: None, numbered: CONTENT})
    assert removal(receipts=receipts, beside=beside).key_files[numbered].action == LEFT
    request = Request("production", old_keys=True)
    assert removal(request, receipts, beside).key_files[numbered].action == REMOVED


def test_what_may_be_the_last_copy_of_a_session_token_stays() -> None:
    theirs = b"[production]\naws_session_token = y\n"
    _, receipts = write(contents=Contents({KEY_FILE: None}, theirs, None))
    for request in (Request("production"), Request("production", backups=True)):
        decided = removal(request, receipts, Beside({KEY_FILE: None}, FILES))
        copy = FILES.credentials.with_name("credentials.before-aws-keys")
        assert copy not in decided.backups
        (part,) = (part for part in decided.left([]) if part.path == str(copy))
        assert "last copy of the session token" in part.facts["what"]


def test_what_is_not_put_back_is_told() -> None:
    theirs = b"[production]\naws_access_key_id = x\naws_session_token = y\n"
    contents, receipts = write(contents=Contents({KEY_FILE: None}, theirs, None))
    assert in_credentials(contents.credentials, receipts)[0] == b"[production]\n"
    assert removal(receipts=receipts).warnings == [
        "aws_session_token, which sync removed from [production], is not put back",
        "what a take-over replaced in [production] is not put back",
    ]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("staging"), "nothing was ever written for stack staging here"),
        (Request("staging", backups=True), "there is something for: production"),
        (Request("production", profile="ci"), "no profile ci was written for stack production, "),
    ],
)
def test_what_was_never_written_is_told(request_: Request, words: str) -> None:
    with pytest.raises(NothingWritten, match=words):
        removal(request_, beside=Beside({}, FILES, FILES))


def test_what_was_written_elsewhere_is_told_of_and_left() -> None:
    elsewhere = Path("/k/production.pem")
    _, receipts = write(OURS, RECEIPTS, Contents({elsewhere: None}, None, None), path=elsewhere)
    decided = removal(receipts=receipts)
    assert decided.warnings == ["/k/production.pem is of this stack too, and stays"]
    assert [place.path for place in decided.receipts.by_place] == ["/k/production.pem"]
    with pytest.raises(NothingWritten, match=r"here, but /k/production\.pem: name its place"):
        removal(receipts=decided.receipts)


def backups(request: Request, receipts: Receipts = RECEIPTS) -> tuple[list[str], list[str]]:
    """The names of the copies that go, and of those that stay."""
    taken_over = [Path("/h/.aws/credentials.taken-over-0")]
    beside = Beside({KEY_FILE: None}, [FILES.credentials], [FILES.config], taken_over)
    decided = removal(request, receipts, beside)
    left = decided.left([FILES.credentials, FILES.config])
    return [p.name for p in decided.backups], [Path(part.path).name for part in left]


def test_backups_stay_and_are_named_unless_they_are_asked_for() -> None:
    going, left = backups(Request("production"))
    assert not going
    assert left == [
        "config.aws-keys.bak",
        "credentials.aws-keys.bak",
        "credentials.before-aws-keys",
        "credentials.taken-over-0",
    ]
    going, left = backups(Request("production", backups=True))
    assert going == ["config.aws-keys.bak", "credentials.before-aws-keys"]
    assert left == ["credentials.taken-over-0"]


def test_what_a_file_held_before_sync_stays_as_long_as_another_stack_is_in_it() -> None:
    path = KEY_FILE.with_name("staging.pem")
    before = WRITTEN._replace(private_keys={path: None})
    _, receipts = write(stack_keys("staging"), RECEIPTS, before, profile="staging", path=path)
    going, left = backups(Request("production", backups=True), receipts)
    assert going == ["config.aws-keys.bak"]
    assert left == ["credentials.before-aws-keys", "credentials.taken-over-0"]


def test_after_the_last_stack_the_backups_alone_can_go() -> None:
    going, _ = backups(Request("production", backups=True), NO_RECEIPTS)
    assert going == ["config.aws-keys.bak", "credentials.before-aws-keys"]


def test_a_file_that_boto3_cannot_read_is_not_edited() -> None:
    with pytest.raises(Unreadable, match=r"/h/\.aws/credentials, line 2: section 'a' stands twice"):
        removal().edit_credentials(b"[a]\n[a]\n")
