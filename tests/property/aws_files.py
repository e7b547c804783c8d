"""Hypothesis strategies for AWS files: from a grammar of real ones, and from their fragments."""

from __future__ import annotations

from hypothesis import strategies as st

PROFILES = ("production", "staging", "default", "my profile")
OPTIONS = (
    "aws_access_key_id",
    "AWS_Secret_Access_Key",
    "aws_session_token",
    "aws_security_token",
    "region",
    "s3",
    "role_arn",
)

_blank = st.sampled_from(["", " ", "\t", "\f", "  \t"])
_indent = st.sampled_from(["", "", "", "  ", "\t", "    ", "\f"])
_value = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
_comment = st.builds(
    lambda i, mark, text: f"{i}{mark}{text}", _indent, st.sampled_from("#;"), _value
)
_delimiter = st.sampled_from(["=", " = ", "= ", " =", ":", " : ", "\t=\t"])
_option = st.builds(
    lambda i, name, delimiter, value: f"{i}{name}{delimiter}{value}",
    _indent,
    st.sampled_from(OPTIONS) | st.from_regex(r"[a-z]{1,6}", fullmatch=True),
    _delimiter,
    _value,
)
_block = st.builds(
    lambda i, subs: "\n".join([f"{i}s3 =", *(f"{i}  {name} = {value}" for name, value in subs)]),
    _indent,
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,6}", fullmatch=True), _value), min_size=1, max_size=3
    ),
)
_header = st.builds(
    lambda i, name, tail: f"{i}[{name}]{tail}",
    _indent,
    st.sampled_from(
        [
            *PROFILES,
            *(f"profile {name}" for name in PROFILES),
            'profile "my profile"',
            "profile 'staging'",
            "profile  production",
            "profile pro\\duction",
            "sso-session a",
            "DEFAULT",
            "a]b",
            "Production",
        ]
    ),
    st.sampled_from(["", " ", " # said", "]"]),
)
_line = st.one_of(_blank, _comment, _option, _option, _option, _block, _header, _header, _value)
_ending = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file of any lines, with one line ending or several; not always a readable one."""
    lines = draw(st.lists(_line, max_size=14))
    one = draw(_ending)
    endings = draw(st.sampled_from([st.just(one), _ending]))
    text = "".join(line.replace("\n", one) + draw(endings) for line in lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return text.encode()


@st.composite
def tidy_files(draw: st.DrawFn) -> bytes:
    """A file whose sections and options are there once, as tools write it."""
    ending = draw(_ending)
    lines = draw(st.lists(_blank | _comment, max_size=2))
    for name in draw(st.lists(st.sampled_from([*PROFILES, "other", "x"]), unique=True)):
        lines.append(f"[{name}]")
        indent = draw(_indent)
        for option in draw(st.lists(st.sampled_from(OPTIONS), unique=True)):
            lines.append(f"{indent}{option}{draw(_delimiter)}{draw(_value)}")
            if draw(st.booleans()):
                lines.append(draw(st.one_of(_blank, _comment)))
            if draw(st.integers(0, 4)) == 0:
                lines.append(f"{indent}    sub = {draw(_value)}")
    text = ending.join(lines) + draw(st.sampled_from(["", ending, ending * 2]))
    return text.encode()
