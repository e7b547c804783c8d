"""What is written and then removed, on files that Hypothesis grows."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import assume, example, given
from hypothesis import strategies as st

from sync.plan import Contents, Files, Plan, Unreadable, Wish
from sync.profiles import CONFIG, CREDENTIALS, Document, Edit
from sync.receipts import Receipts
from sync.removal import Beside, Removal, Request
from tests.property.aws_files import PROFILES, files, tidy_files
from tests.property.test_profiles import BYTE_ORDER_MARK, botocore_reads, parse
from tests.stacks import stack_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync.stack import StackKeys

FILES = Files(Path("/h/.aws/credentials"), Path("/h/.aws/config"))
NEW = ("test", "development", "a.b")  # which no file grown here has
STACKS = ("production", "staging", "default", *NEW)
ANY_FILE = (files() | tidy_files()).filter(lambda data: not data.startswith(BYTE_ORDER_MARK))
SEVERAL = st.lists(st.sampled_from(STACKS), min_size=1, max_size=3, unique=True)

keys_of: functools._lru_cache_wrapper[StackKeys] = functools.cache(stack_keys)


class State(NamedTuple):
    """What a home holds, key files aside."""

    credentials: bytes
    config: bytes
    receipts: Receipts


def key_path(stack: str) -> Path:
    return Path(f"/h/.pem/{stack}.pem")


def write(state: State, *stacks: str) -> State:
    """One run of sync. Hypothesis is told where it is refused."""
    wishes = [Wish(keys_of(stack), stack, key_path(stack)) for stack in stacks]
    contents = Contents(
        {wish.private_key_path: None for wish in wishes}, state.credentials, state.config
    )
    with contextlib.suppress(Unreadable):
        plan = Plan(wishes, contents, FILES, state.receipts, take_over=False)
        if not plan.refusals:
            credentials = plan.edit_credentials(state.credentials)
            return State(credentials, plan.edit_config(state.config), plan.receipts)
    assume(False)  # noqa: FBT003  Hypothesis's own way
    raise AssertionError


def remove(state: State, stack: str) -> State:
    removal = Removal(Request(stack), FILES, key_path(stack), state.receipts, Beside({}))
    credentials, _ = removal.edit_credentials(state.credentials)
    return State(credentials, removal.edit_config(state.config)[0], removal.receipts)


def before(credentials: bytes, config: bytes = b"") -> State:
    return State(credentials, config, Receipts.load(None))


def sections(data: bytes) -> dict[str, Any]:
    # With one more section: without any, botocore passes over what DEFAULT holds.
    read = botocore_reads(data + b"\n[one more]\n")
    assert read is not None
    return read


@given(ANY_FILE, tidy_files(), st.permutations(NEW), st.permutations(NEW), st.booleans())
@example(b"[a]\nx = 1", b"[a]\r\nx = 1\r\n", NEW, NEW, True)  # noqa: FBT003  Hypothesis's own way
@example(b"", b"\n", NEW, NEW[::-1], False)  # noqa: FBT003  likewise
def test_what_sync_made_leaves_no_trace_in_whatever_order_it_goes(
    credentials: bytes,
    config: bytes,
    made: list[str],
    gone: list[str],
    at_once: bool,  # noqa: FBT001  likewise
) -> None:
    start = state = before(credentials, config)
    for stacks in [made] if at_once else [[stack] for stack in made]:
        state = write(state, *stacks)
    for stack in gone:
        state = remove(state, stack)
    assert state == start


@given(ANY_FILE, SEVERAL, st.data())
def test_options_added_to_sections_of_others_leave_no_trace_either(
    data: bytes, stacks: list[str], draw: st.DataObject
) -> None:
    document = parse(data)
    assume(document is not None)
    assert document is not None
    for section in document.sections.values():  # an empty one would be filled
        assume(not {"aws_access_key_id", "aws_secret_access_key"} & section.options.keys())
        assume(not {"aws_session_token", "aws_security_token"} & section.options.keys())
    state = before(data)
    for stack in stacks:
        state = write(state, stack)
    for stack in draw.draw(st.permutations(stacks)):
        state = remove(state, stack)
    assert state == before(data)


@given(ANY_FILE, tidy_files(), SEVERAL, st.data())
def test_every_other_profile_reads_as_before(
    credentials: bytes, config: bytes, stacks: list[str], draw: st.DataObject
) -> None:
    state = write(before(credentials, config), *stacks)
    assume(botocore_reads(state.credentials) is not None)
    assume(botocore_reads(state.config) is not None)
    stack = draw.draw(st.sampled_from(stacks))
    after = remove(state, stack)
    ours = ("aws_access_key_id", "aws_secret_access_key", "region")
    for old, new, kind in (
        (state.credentials, after.credentials, CREDENTIALS),
        (state.config, after.config, CONFIG),
    ):
        expected, found = sections(old), sections(new)
        for header in [header for header in expected if kind.profile(header) == stack]:
            was, rest = expected.pop(header), found.pop(header, {})
            assert rest == {n: v for n, v in was.items() if n in rest} | {
                n: v for n, v in rest.items() if n in ours
            }
        assert found == expected


@given(
    ANY_FILE,
    st.sampled_from(NEW),
    st.lists(st.tuples(st.integers(0, 2000), ANY_FILE), max_size=3),
)
@example(b"[a]\nx = 1", "test", [(10, b"[b]\n")])
def test_whatever_was_written_around_it_only_lines_of_ours_go(
    data: bytes, stack: str, inserted: Iterable[tuple[int, bytes]]
) -> None:
    state = write(before(data), stack)
    lines = state.credentials.splitlines(keepends=True)
    for at, more in inserted:
        lines.insert(at % (len(lines) + 1), more if more.endswith(b"\n") else more + b"\n")
    edited = b"".join(lines)
    document = parse(edited)
    assume(document is not None and botocore_reads(edited) is not None)
    after = remove(state._replace(credentials=edited), stack).credentials
    expected, found = sections(edited), sections(after)
    expected.pop(stack, None)
    found.pop(stack, None)
    assert found == expected
    rest = iter(words(after))
    pending = next(rest, None)
    keys = keys_of(stack)
    for line in words(edited):
        if line == pending:
            pending = next(rest, None)
            continue
        ours = (keys.access_key_id.reveal(), keys.secret_access_key.reveal(), f"[{stack}]")
        assert any(our.encode() in line for our in ours)
    assert pending is None, "a line was moved or made up"


def words(data: bytes) -> list[bytes]:
    """The lines that are not blank."""
    return [line for line in data.replace(b"\r", b"\n").split(b"\n") if line.strip()]


@given(ANY_FILE, st.sampled_from(PROFILES), st.booleans())
def test_dropping_nothing_changes_no_byte(
    data: bytes,
    profile: str,
    drop_section: bool,  # noqa: FBT001  Hypothesis's own way
) -> None:
    document = parse(data)
    assume(document is not None)
    assert document is not None
    section = document.sections.get(profile)
    assume(section is None or section.options)
    edit = Edit({}, ("no such option",), drop_section)
    assert Document(data, CREDENTIALS, PROFILES).edit({profile: edit}) == data
