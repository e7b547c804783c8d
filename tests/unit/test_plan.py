"""Whose is it, and what becomes of it: the rules, on bytes and receipts alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.plan import (
    CREATED,
    UNCHANGED,
    UPDATED,
    Contents,
    Files,
    Plan,
    Unreadable,
    Wish,
    aside_name,
    key_file,
)
from sync.receipts import Receipts
from sync.ssh_key import parse_private_key
from tests.stacks import access_key, key_pair, rotated, rotating, stack_keys

if TYPE_CHECKING:
    from sync.stack import StackKeys

FILES = Files(Path("/h/.aws/credentials"), Path("/h/.aws/config"))
KEY_FILE = Path("/h/.pem/production.pem")
OURS = stack_keys()
NO_RECEIPTS = Receipts.load(None)


def key_outputs(name: str) -> dict[str, str]:
    """The outputs of a stack that has the key pair called ``name``."""
    private, public = key_pair(name)
    return {"private_key": private, "public_key": public}


def holding(
    *, key: bytes | None = None, credentials: bytes | None = None, config: bytes | None = None
) -> Contents:
    return Contents({KEY_FILE: key}, credentials, config)


def plan_for(
    keys: StackKeys = OURS,
    contents: Contents | None = None,
    *,
    receipts: Receipts = NO_RECEIPTS,
    profile: str = "production",
    take_over: bool = False,
) -> Plan:
    wish = Wish(keys, profile, KEY_FILE)
    return Plan([wish], contents or holding(), FILES, receipts, take_over=take_over)


def profile_of(keys: StackKeys, name: str = "production", more: str = "") -> bytes:
    return (
        f"[{name}]\naws_access_key_id = {keys.access_key_id.reveal()}\n"
        f"aws_secret_access_key = {keys.secret_access_key.reveal()}\n{more}"
    ).encode()


def written(keys: StackKeys = OURS) -> Contents:
    """What the files hold after a first sync of ``keys``."""
    plan = plan_for(keys)
    return holding(
        key=key_file(keys.private_key),
        credentials=plan.edit_credentials(None),
        config=plan.edit_config(None),
    )


def actions(plan: Plan) -> list[str]:
    return [step.action for step in plan.steps["production"].all]


def refusal(plan: Plan) -> str:
    assert not plan.granted
    assert not plan.steps
    return plan.refusals["production"]


def test_an_empty_home_gets_everything() -> None:
    plan = plan_for()
    assert actions(plan) == [CREATED] * 3
    assert plan.edit_credentials(None) == profile_of(OURS)
    assert plan.edit_config(None) == b"[profile production]\nregion = us-west-2\n"


def test_a_second_run_changes_nothing_and_keeps_its_receipts() -> None:
    receipts = plan_for().receipts
    plan = plan_for(contents=written(), receipts=receipts)
    assert actions(plan) == [UNCHANGED] * 3
    assert plan.receipts == receipts


def test_rotated_keys_replace_what_sync_wrote() -> None:
    plan = plan_for(rotated(), written(), receipts=plan_for().receipts)
    assert actions(plan) == [UPDATED, UPDATED, UNCHANGED]
    assert plan.edit_credentials(written().credentials) == profile_of(rotated())


def test_without_receipts_rotated_keys_replace_nothing() -> None:
    assert "--take-over" in refusal(plan_for(rotated(), written()))


def test_files_that_hold_the_present_keys_are_ours_even_without_receipts() -> None:
    plan = plan_for(contents=written())
    assert actions(plan) == [UNCHANGED] * 3
    later = plan_for(rotated(), written(), receipts=plan.receipts)
    assert actions(later) == [UPDATED, UPDATED, UNCHANGED]


def test_other_keys_in_the_profile_are_refused() -> None:
    text = refusal(plan_for(contents=holding(credentials=profile_of(stack_keys("other")))))
    assert "production" in text
    assert "/h/.aws/credentials" in text
    assert f"...{access_key('other')[0][-4:]}" in text
    assert "--take-over" in text


def test_a_lone_secret_in_the_profile_is_refused_too() -> None:
    assert "without its" in refusal(
        plan_for(contents=holding(credentials=b"[production]\naws_secret_access_key=x"))
    )


def test_keys_that_somebody_put_into_our_profile_are_theirs() -> None:
    receipts = plan_for().receipts
    plan = plan_for(
        contents=holding(credentials=profile_of(stack_keys("by-hand"))), receipts=receipts
    )
    assert "another access key" in refusal(plan)


def test_take_over_replaces_keys_and_says_so_in_the_receipt() -> None:
    theirs = profile_of(stack_keys("other"), more="output = json\n")
    plan = plan_for(contents=holding(credentials=theirs), take_over=True)
    assert plan.edit_credentials(theirs) == profile_of(OURS, more="output = json\n")
    receipt = plan.steps["production"].profile.receipt
    assert receipt is not None
    assert receipt.before == "other keys"


def test_only_what_was_seen_is_taken_over() -> None:
    theirs = profile_of(stack_keys("other"))
    plan = plan_for(contents=holding(credentials=theirs), take_over=True)
    newer = profile_of(stack_keys("written-meanwhile"))
    assert plan.edit_credentials(newer) == newer
    assert "another access key" in plan.refusals["production"]


@pytest.mark.parametrize("kind", ["credentials", "config"])
def test_what_another_program_wrote_meanwhile_is_edited(kind: str) -> None:
    plan = plan_for()
    edit = plan.edit_credentials if kind == "credentials" else plan.edit_config
    assert edit(b"[theirs]\nx = 1\n").startswith(b"[theirs]\nx = 1\n\n[pro")


def test_the_present_keys_in_the_config_file_are_nobody_elses() -> None:
    plan = plan_for(contents=holding(config=profile_of(OURS, "profile production")))
    assert plan.steps["production"].profile.action == CREATED


def test_a_region_for_every_profile_of_the_config_file_counts() -> None:
    config = b"[DEFAULT]\nregion = eu-west-1\n[profile production]\n"
    step = plan_for(contents=holding(config=config)).steps["production"].region
    assert step.action == UNCHANGED
    assert "eu-west-1" in step.warnings[0]


def test_the_same_stack_name_in_another_account_is_another_stack() -> None:
    receipts = plan_for().receipts
    elsewhere = rotated()._replace(account_id="210987654321")
    text = refusal(plan_for(elsewhere, holding(credentials=profile_of(OURS)), receipts=receipts))
    assert "stack production of account 123456789012" in text


def test_two_stacks_do_not_share_a_profile_by_accident() -> None:
    receipts = plan_for(profile="work").receipts
    other = stack_keys("staging")
    plan = plan_for(
        other, holding(credentials=profile_of(OURS, "work")), receipts=receipts, profile="work"
    )
    assert "the keys of stack production" in plan.refusals["staging"]


def test_a_profile_without_keys_is_completed() -> None:
    plan = plan_for(contents=holding(credentials=b"[production]\noutput = json\n"))
    assert plan.steps["production"].profile.action == UPDATED
    expected = b"[production]\noutput = json\n" + profile_of(OURS).partition(b"\n")[2]
    assert plan.edit_credentials(b"[production]\noutput = json\n") == expected


@pytest.mark.parametrize("token", ["aws_session_token", "AWS_SECURITY_TOKEN"])
def test_a_stale_token_is_removed_with_a_word(token: str) -> None:
    data = profile_of(OURS, more=f"{token} = sEcReT\n")
    plan = plan_for(contents=holding(credentials=data))
    step = plan.steps["production"].profile
    assert step.action == UPDATED
    assert step.warnings == (f"stale {token.lower()} is removed: it belongs to other keys",)
    assert plan.edit_credentials(data) == profile_of(OURS)
    assert step.receipt is not None
    assert step.receipt.dropped == (token.lower(),)


@pytest.mark.parametrize("where", ["credentials", "config"])
@pytest.mark.parametrize("option", ["role_arn", "sso_role_name", "web_identity_token_file"])
def test_options_that_win_over_keys_are_named(where: str, option: str) -> None:
    header = "production" if where == "credentials" else "profile production"
    plan = plan_for(contents=holding(**{where: f"[{header}]\n{option} = x\n".encode()}))
    warnings = plan.steps["production"].region.warnings
    assert warnings == (f"profile production has {option}, which wins over its keys or breaks it",)


def test_a_token_for_every_profile_is_named() -> None:
    plan = plan_for(contents=holding(credentials=b"[DEFAULT]\naws_session_token = sEcReT\n"))
    (warning,) = plan.steps["production"].profile.warnings
    assert "[DEFAULT]" in warning
    assert "sEcReT" not in warning


def test_a_region_of_somebody_else_stays_and_is_told() -> None:
    data = b"[profile production]\nregion = eu-west-1\n"
    plan = plan_for(contents=holding(config=data))
    step = plan.steps["production"].region
    assert step.action == UNCHANGED
    assert step.receipt is None
    assert "eu-west-1" in step.warnings[0]
    assert plan.edit_config(data) == data


def test_a_region_of_ours_follows_the_stack() -> None:
    moved = OURS._replace(region="eu-central-1")
    plan = plan_for(moved, written(), receipts=plan_for().receipts)
    assert plan.edit_config(written().config) == (b"[profile production]\nregion = eu-central-1\n")


def test_a_region_that_sync_wrote_for_another_stack_is_passed_on_with_the_profile() -> None:
    staging = stack_keys("staging")
    plan = Plan(
        [Wish(staging, "production", KEY_FILE.with_name("staging.pem"))],
        written()._replace(private_keys={KEY_FILE.with_name("staging.pem"): None}),
        FILES,
        plan_for().receipts,
        take_over=True,
    )
    step = plan.steps["staging"].region
    assert step.action == UNCHANGED
    receipt = plan.receipts.get(step.place)
    assert receipt is not None
    assert (receipt.stack, receipt.before) == ("staging", "nothing")


def test_a_region_that_was_there_gets_no_receipt() -> None:
    data = b"[profile production]\nregion = us-west-2\n"
    plan = plan_for(contents=holding(config=data))
    step = plan.steps["production"].region
    assert step.action == UNCHANGED
    assert step.place not in plan.receipts.by_place


def test_a_key_of_the_user_that_is_kept_aside_as_the_previous_one_stays_the_users() -> None:
    earlier = stack_keys("production", **key_outputs("previous/production"))
    receipts = plan_for(earlier, holding(key=PREVIOUS)).receipts
    step = while_rotating(PREVIOUS, None, receipts).steps["production"].previous_key
    assert step is not None
    assert step.receipt is not None
    assert step.receipt.before == "the same"


def test_a_region_in_the_credentials_file_counts() -> None:
    plan = plan_for(contents=holding(credentials=b"[production]\nregion = us-west-2\n"))
    step = plan.steps["production"].region
    assert step.action == UNCHANGED
    assert step.place.path == "/h/.aws/credentials"
    assert step.facts["section"] == "production"


def test_a_region_for_every_profile_of_the_credentials_file_counts() -> None:
    plan = plan_for(contents=holding(credentials=b"[DEFAULT]\nregion = eu-west-1\n"))
    step = plan.steps["production"].region
    assert step.action == UNCHANGED
    assert "eu-west-1" in step.warnings[0]


@pytest.mark.parametrize("empty", ["region =", "region = \n  "])
def test_an_empty_region_is_none(empty: str) -> None:
    plan = plan_for(contents=holding(config=f"[profile production]\n{empty}\n".encode()))
    assert plan.steps["production"].region.action == UPDATED


def test_keys_in_the_config_file_are_somebodys_too() -> None:
    config = profile_of(stack_keys("other"), "profile production")
    text = refusal(plan_for(contents=holding(config=config)))
    assert "/h/.aws/config holds another access key" in text
    assert "lets the stack's win over it" in text
    plan = plan_for(contents=holding(config=config), take_over=True)
    assert "not used any more" in plan.steps["production"].profile.warnings[0]


@pytest.mark.parametrize("option", ["credential_process", "login_session"])
def test_what_keys_win_over_is_named(option: str) -> None:
    config = f"[profile production]\n{option} = x\n".encode()
    (warning,) = plan_for(contents=holding(config=config)).steps["production"].region.warnings
    assert warning == f"profile production has {option}, which is not used beside keys"


def test_empty_keys_are_no_keys() -> None:
    data = b"[production]\naws_access_key_id =\naws_secret_access_key =\n"
    assert plan_for(contents=holding(credentials=data)).edit_credentials(data) == profile_of(OURS)


def test_the_present_key_with_another_secret_is_mended() -> None:
    data = profile_of(OURS._replace(secret_access_key=rotated().secret_access_key))
    plan = plan_for(contents=holding(credentials=data))
    assert plan.edit_credentials(data) == profile_of(OURS)


@pytest.mark.parametrize("where", ["credentials", "config"])
@pytest.mark.parametrize(
    ("data", "word"), [(b"\xef\xbb\xbf", "byte order mark"), (b"# \xff\n", "no UTF-8")]
)
def test_a_file_that_some_readers_refuse_is_named(where: str, data: bytes, word: str) -> None:
    steps = plan_for(contents=holding(**{where: data + b"[x]\n"})).steps["production"]
    (warning,) = (warning for step in steps.all for warning in step.warnings)
    assert warning.startswith(f"/h/.aws/{where} ")
    assert word in warning


def test_the_default_profile_is_written_where_aws_looks_for_it() -> None:
    plan = plan_for(profile="default")
    assert plan.edit_credentials(None) == profile_of(OURS, "default")
    assert plan.edit_config(None) == b"[default]\nregion = us-west-2\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (key_pair("other")[0].encode(), "another key (ED25519 SHA256:"),
        (b"my notes\n", "something that sync did not write"),
    ],
)
def test_a_key_file_of_somebody_else_is_refused(content: bytes, what: str) -> None:
    text = refusal(plan_for(contents=holding(key=content)))
    assert what in text
    assert str(KEY_FILE) in text
    assert aside_name(content, "production") in text
    assert plan_for(contents=holding(key=content), take_over=True).granted


def test_the_present_key_without_its_newline_is_mended() -> None:
    plan = plan_for(contents=holding(key=key_file(OURS.private_key).rstrip(b"\n")))
    assert plan.steps["production"].private_key.action == UPDATED


def test_an_empty_key_file_is_filled() -> None:
    assert plan_for(contents=holding(key=b"")).steps["production"].private_key.action == UPDATED


def test_a_replaced_key_is_kept_under_its_fingerprint() -> None:
    name = aside_name(key_file(OURS.private_key), "production")
    stem, digits, suffix = name.split(".")
    assert (stem, suffix) == ("production", "pem")
    assert len(bytes.fromhex(digits)) == 8
    assert name != aside_name(key_file(rotated().private_key), "production")


PREVIOUS = key_pair("previous/production")[0].encode()
PREVIOUS_FILE = KEY_FILE.with_name(aside_name(PREVIOUS, "production"))


def while_rotating(
    key: bytes | None, previous: bytes | None, receipts: Receipts = NO_RECEIPTS
) -> Plan:
    keys = rotating()
    contents = Contents({KEY_FILE: key, PREVIOUS_FILE: previous}, None, None)
    wish = Wish(keys, "production", KEY_FILE)
    return Plan([wish], contents, FILES, receipts, take_over=False)


def test_while_a_rotation_is_under_way_the_previous_key_is_put_beside() -> None:
    plan = while_rotating(None, None)
    step = plan.steps["production"].previous_key
    assert step is not None
    assert (step.action, step.place.path) == (CREATED, str(PREVIOUS_FILE))
    key = parse_private_key(PREVIOUS)
    assert key is not None
    assert step.facts["fingerprint"] == key.public_key.fingerprint
    receipt = plan.receipts.get(step.place)
    assert receipt is not None
    assert (receipt.wrote, receipt.before) == ((key.public_key.fingerprint,), "nothing")


def test_a_previous_key_that_is_beside_already_is_left_as_it_is() -> None:
    receipts = while_rotating(None, None).receipts
    plan = while_rotating(key_file(rotating().private_key), PREVIOUS, receipts)
    step = plan.steps["production"].previous_key
    assert step is not None
    assert step.action == UNCHANGED
    assert plan.receipts.by_place.items() >= receipts.by_place.items()


def test_a_previous_key_that_is_kept_aside_from_the_key_file_is_not_written_twice() -> None:
    earlier = stack_keys("production", **key_outputs("previous/production"))
    plan = while_rotating(PREVIOUS, None, plan_for(earlier).receipts)
    steps = plan.steps["production"]
    assert steps.private_key.keep_as == PREVIOUS_FILE.name
    assert steps.previous_key is not None
    assert steps.previous_key.action == UNCHANGED
    assert steps.previous_key.place in plan.receipts.by_place


@pytest.mark.parametrize("other", [b"", b"my notes\n", key_pair("other")[0].encode()])
def test_what_has_the_name_of_the_previous_key_and_is_another_is_left_and_told(
    other: bytes,
) -> None:
    plan = while_rotating(None, other)
    steps = plan.steps["production"]
    assert steps.previous_key is None
    (warning,) = steps.private_key.warnings
    assert warning == f"{PREVIOUS_FILE} is not the previous key, whose name it has: left as it is"


def test_without_a_rotation_there_is_no_previous_key() -> None:
    assert plan_for().steps["production"].previous_key is None


@pytest.mark.parametrize("where", ["credentials", "config"])
def test_a_file_that_boto3_cannot_read_is_not_written_to(where: str) -> None:
    with pytest.raises(Unreadable, match=rf"/h/.aws/{where}, line 3: section 'a' stands twice"):
        plan_for(contents=holding(**{where: b"[a]\n\n[a]\n"}))


def test_a_refused_stack_does_not_stop_the_others_and_is_left_out_everywhere() -> None:
    wishes = [Wish(stack_keys(name), name, Path(f"/h/.pem/{name}.pem")) for name in ("a", "b")]
    keys = {Path("/h/.pem/a.pem"): b"theirs", Path("/h/.pem/b.pem"): None}
    plan = Plan(wishes, Contents(keys, None, None), FILES, NO_RECEIPTS, take_over=False)
    assert set(plan.refusals) == {"a"}
    assert plan.edit_credentials(None) == profile_of(stack_keys("b"), "b")
    assert b"[profile a]" not in plan.edit_config(None)


def test_what_was_not_carried_out_gets_no_receipt() -> None:
    plan = plan_for()
    plan.granted.clear()
    assert plan.receipts == NO_RECEIPTS


def test_receipts_hold_no_secret_and_survive_the_disk() -> None:
    receipts = plan_for().receipts
    dumped = receipts.dump()
    assert Receipts.load(dumped) == receipts
    for secret in (OURS.access_key_id, OURS.secret_access_key, OURS.private_key):
        assert secret.reveal().encode() not in dumped
