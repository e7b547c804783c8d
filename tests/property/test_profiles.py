"""The editor of AWS files against botocore's own parser, on files that Hypothesis grows."""

from __future__ import annotations

import contextlib
import re
import tempfile
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import build_profile_map, raw_config_parse
from botocore.exceptions import ConfigParseError
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sync.profiles import CONFIG, CREDENTIALS, Document, Edit, FileKind, Malformed
from tests.property.aws_files import PROFILES, files, tidy_files

KEYS = {"aws_access_key_id": "AKIASENTINEL", "aws_secret_access_key": "sEcReTSENTINEL"}
TOKENS = ("aws_session_token", "aws_security_token")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # botocore refuses it, the editor lets it pass
ANY_FILE = (files() | tidy_files()).filter(lambda data: not data.startswith(BYTE_ORDER_MARK))


def botocore_reads(data: bytes) -> dict[str, Any] | None:
    """What botocore makes of a file, or None where it refuses it."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        with contextlib.suppress(ConfigParseError):
            return dict(raw_config_parse(file.name))
    return None


def parse(data: bytes) -> Document | None:
    with contextlib.suppress(Malformed):
        return Document(data, CREDENTIALS, PROFILES)
    return None


def with_options(data: bytes, profile: str) -> bytes:
    document = parse(data)
    assert document is not None
    return document.edit({profile: Edit(KEYS, TOKENS)})


def raw_parser(data: bytes) -> RawConfigParser:
    """botocore's parser, but with every section's options its own, those of DEFAULT included."""
    parser = RawConfigParser(default_section="\n", strict=False)
    parser.read_string(re.sub("\r\n?", "\n", data.decode()))
    return parser


@given(ANY_FILE)
@example(b"[a]\nx = 1\n[a]\n")
@example(b"[a]\nx = 1\nX : 2\n")
@example(b"[a]\n= 1\n")
@example(b"x = 1\n[a]\n")
@example(b"[a]\ns3 =\n  x\n")
@example(b"[DEFAULT]\nx = 1\n[DEFAULT]\ny = 1\n")
def test_a_file_is_refused_if_and_only_if_botocore_refuses_it(data: bytes) -> None:
    # With one more section: without any, botocore passes over what DEFAULT holds.
    assert (parse(data) is None) == (botocore_reads(data + b"\n[one more]\n") is None)


@given(ANY_FILE)
def test_options_read_as_in_botocore(data: bytes) -> None:
    document = parse(data)
    assume(document is not None)
    assert document is not None
    parser = raw_parser(data)
    for profile, section in document.sections.items():
        assert {name: section.get(name) for name in section.options} == dict(parser[profile])


@given(ANY_FILE)
def test_config_profiles_are_found_as_in_botocore(data: bytes) -> None:
    read = botocore_reads(data)
    assume(read is not None)
    assume(parse(data) is not None)
    assert read is not None
    try:
        document = Document(data, CONFIG, PROFILES)
    except Malformed:  # a profile under two spellings, of which botocore takes the last
        assert len(build_profile_map(read)["profiles"]) < len(read)
        return
    assert set(document.sections) == set(build_profile_map(read)["profiles"]) & set(PROFILES)


@given(ANY_FILE, st.sampled_from(PROFILES))
@example(b"[production]\n  [staging]\n", "production")
@example(b"[production]\n  x = 1\n y = 2\n", "production")
@example(b"[production]\n aws_session_token = 1\n  x = 1", "production")
@example(b"[production]\r\n# end", "production")
def test_an_edited_profile_reads_as_asked_and_every_other_as_before(
    data: bytes, profile: str
) -> None:
    before, document = botocore_reads(data), parse(data)
    assume(before is not None)
    assume(document is not None)
    assert before is not None
    assert document is not None
    defaults = set(document.defaults.options)
    after = botocore_reads(with_options(data, profile))
    assert after is not None
    expected = {
        name: value
        for name, value in before.get(profile, {}).items()
        if name not in TOKENS or name in defaults
    }
    found = after.pop(profile)
    if profile not in before:
        found = {name: value for name, value in found.items() if name not in defaults - KEYS.keys()}
        expected = {}
    tokens_left = set(TOKENS) & defaults  # a profile's own may have hidden them
    for name in tokens_left:
        found.pop(name, None)
        expected.pop(name, None)
    assert found == {**expected, **KEYS}
    before.pop(profile, None)
    assert after == before


def lines_of(data: bytes) -> list[bytes]:
    """The lines without their endings."""
    *lines, last = re.split(b"\r\n|\n|\r", data)
    return [*lines, last] if last else lines


@given(ANY_FILE, st.sampled_from(PROFILES))
def test_every_line_but_those_of_the_options_set_stays_in_its_place(
    data: bytes, profile: str
) -> None:
    assume(parse(data) is not None)
    parser = raw_parser(data)
    touched = {**dict.fromkeys(KEYS), **dict.fromkeys(TOKENS)}
    values = [parser[profile][n] for n in touched if parser.has_option(profile, n)]
    may_go = sum(1 + sum(map(bool, value.split("\n")[1:])) for value in values)

    old = lines_of(data)
    new = [line for line in lines_of(with_options(data, profile)) if b"SENTINEL" not in line]
    if profile not in parser:
        assert with_options(data, profile).startswith(data)
        return
    rest = iter(new)
    gone = 0
    pending = next(rest, None)
    for line in old:
        if line == pending:
            pending = next(rest, None)
        else:
            gone += 1
    assert pending is None, "a line was moved or made up"
    assert gone == may_go


@given(ANY_FILE, st.sampled_from(PROFILES))
def test_editing_again_changes_no_byte(data: bytes, profile: str) -> None:
    assume(parse(data) is not None)
    once = with_options(data, profile)
    assert with_options(once, profile) == once


@given(tidy_files(), st.binary(max_size=20).filter(lambda raw: not set(raw) & set(b"\r\n")))
def test_bytes_that_are_no_utf8_and_a_byte_order_mark_come_back_as_they_were(
    data: bytes, raw: bytes
) -> None:
    comment = BYTE_ORDER_MARK + b"# " + raw + b"\xff\n"
    with_comment = comment + data
    assume(parse(with_comment) is not None)
    edited = with_options(with_comment, "production")
    assert edited.startswith(comment)
    assert edited[len(comment) :] == with_options(b"# \n" + data, "production")[len(b"# \n") :]


@pytest.mark.parametrize("kind", [CREDENTIALS, CONFIG])
@given(st.binary(max_size=200))
def test_whatever_the_bytes_a_file_is_edited_or_refused(kind: FileKind, data: bytes) -> None:
    with contextlib.suppress(Malformed):
        Document(data, kind, PROFILES).edit({"production": Edit(KEYS, TOKENS)})
