"""The editor of AWS files, case by case: existing text, and the text it becomes."""

from __future__ import annotations

import pytest

from sync.profiles import CONFIG, CREDENTIALS, Document, Edit, Malformed

NEW = Edit({"aws_access_key_id": "ID", "aws_secret_access_key": "KEY"}, ("aws_session_token",))


def write(text: str) -> str:
    return Document(text.encode(), CREDENTIALS, ["prod"]).edit({"prod": NEW}).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "",
            "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="an empty file gets the section",
        ),
        pytest.param(
            "[a]\nx = 1\n",
            "[a]\nx = 1\n\n[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="a new section goes to the end behind a blank line",
        ),
        pytest.param(
            "[a]\nx = 1",
            "[a]\nx = 1\n[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="a last line without a newline gets one",
        ),
        pytest.param(
            "[a]\nx = 1\n\n",
            "[a]\nx = 1\n\n\n[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="one line sets a new section apart, whatever was there",
        ),
        pytest.param(
            "[a]\r\nx = 1\r\n",
            "[a]\r\nx = 1\r\n\r\n[prod]\r\n"
            "aws_access_key_id = ID\r\naws_secret_access_key = KEY\r\n",
            id="new lines end as the others do",
        ),
        pytest.param(
            "# mine\n[prod]  ; here\naws_secret_access_key=old\n\n# and\nAWS_ACCESS_KEY_ID :old\n",
            "# mine\n[prod]  ; here\naws_secret_access_key=KEY\n\n# and\nAWS_ACCESS_KEY_ID :ID\n",
            id="order, comments, spelling and delimiters stay",
        ),
        pytest.param(
            "[prod]\naws_access_key_id =\naws_secret_access_key = KEY   \n",
            "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY   \n",
            id="an empty value is filled, an equal one is not touched",
        ),
        pytest.param(
            "[prod]\naws_access_key_id = ID\n  more\n# said\n  and more\nregion = x\n",
            "[prod]\naws_access_key_id = ID\n# said\nregion = x\naws_secret_access_key = KEY\n",
            id="lines that continue a value go with it, a comment between them stays",
        ),
        pytest.param(
            "[prod]\naws_session_token = old\n  more\nregion = x\n[b]\n",
            "[prod]\nregion = x\naws_access_key_id = ID\naws_secret_access_key = KEY\n[b]\n",
            id="a dropped option goes whole",
        ),
        pytest.param(
            "[prod]\n\tregion = x\n\ts3 =\n\t\tmax = 1\n\n[b]\n",
            "[prod]\n\tregion = x\n\ts3 =\n\t\tmax = 1\n\taws_access_key_id = ID\n"
            "\taws_secret_access_key = KEY\n\n[b]\n",
            id="new options are indented like the last one and stand behind its block",
        ),
        pytest.param(
            "[prod]\n  [b]\n  x = 1\n",
            "[prod]\n  aws_access_key_id = ID\n  aws_secret_access_key = KEY\n  [b]\n  x = 1\n",
            id="an indented header below an empty section stays a header",
        ),
        pytest.param(
            "[prod]",
            "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY",
            id="a lone header without a newline",
        ),
        pytest.param(
            "[prod]\naws_access_key_id =",
            "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY",
            id="an empty value at the end of the file is filled before options are added",
        ),
        pytest.param(
            "[prod]\naws_access_key_id = a\n  b",
            "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="a value that went on to the end of the file leaves no blank line",
        ),
        pytest.param(
            "[PROD]\n[prod ]\n",
            "[PROD]\n[prod ]\n\n[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n",
            id="a section's name is exact",
        ),
        pytest.param(
            "[a]\n\f[prod]\nx = 1\r[b]\n",
            "[a]\n\f[prod]\nx = 1\raws_access_key_id = ID\raws_secret_access_key = KEY\r[b]\n",
            id="form feeds and lone carriage returns",
        ),
    ],
)
def test_an_edit_changes_what_it_must_and_no_byte_more(before: str, after: str) -> None:
    assert write(before) == after


TAKEN = Edit({}, ("aws_access_key_id", "aws_secret_access_key"), drop_section=True)
OURS = "[prod]\naws_access_key_id = ID\naws_secret_access_key = KEY\n"


def remove(text: str, edit: Edit = TAKEN) -> str:
    return Document(text.encode(), CREDENTIALS, ["prod"]).edit({"prod": edit}).decode()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[a]\nx = 1\n",
        "[a]\nx = 1",
        "[a]\r\nx = 1\r\n\r\n",
        "\n",
        "# said\r",
        "\ufeff",
        "\ufeff\n",
    ],
)
def test_a_section_that_was_added_and_is_dropped_leaves_no_trace(before: str) -> None:
    assert remove(write(before)) == before


@pytest.mark.parametrize(
    "before",
    ["[prod]\n", "[prod]", "[prod]\nx = 1", "[prod]\r\n  x = 1\r\n# end", "[prod]\n[a]\ny = 2"],
)
def test_options_that_were_added_and_are_dropped_leave_no_trace(before: str) -> None:
    assert remove(write(before), TAKEN._replace(drop_section=False)) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            f"[a]\nx = 1\n\n{OURS}\n[b]\n", "[a]\nx = 1\n\n[b]\n", id="from between two others"
        ),
        pytest.param(
            f"[a]\n{OURS}[b]\n", "[a]\n[b]\n", id="lines of others do not run together without it"
        ),
        pytest.param(f"{OURS}\n[b]\n", "\n[b]\n", id="what stands below stays where it is"),
        pytest.param(
            f"{OURS}region = x\n", "[prod]\nregion = x\n", id="another option keeps the section"
        ),
        pytest.param(
            OURS.replace("\n", "\n# mine\n", 1), "[prod]\n# mine\n", id="so does a comment in it"
        ),
        pytest.param(
            OURS.replace("]", "] # mine"), "[prod] # mine\n", id="and one behind its header"
        ),
        pytest.param(
            f"{OURS}# theirs\n[b]\n", "# theirs\n[b]\n", id="but not one that is of what follows"
        ),
        pytest.param(
            "[a]\nx = 1\n[prod]\n  [b]\ny = 2\n",
            "[a]\nx = 1\n[prod]\n  [b]\ny = 2\n",
            id="an indented header below would become part of a value above",
        ),
        pytest.param("[a]\nx = 1\n\n[prod]\n", "[a]\nx = 1\n", id="an empty one goes too"),
        pytest.param(
            f"[a]\n\n{OURS.rstrip()}", "[a]\n", id="somebody cut the last line ending off"
        ),
        pytest.param("[a]\n", "[a]\n", id="there is none"),
    ],
)
def test_a_section_that_is_dropped_takes_only_what_was_made_with_it(
    before: str, after: str
) -> None:
    assert remove(before) == after


def test_several_sections_are_dropped_in_one_go() -> None:
    before = b"[a]\nx = 1"
    names = ("b", "c", "d")
    written = before
    for name in names:
        written = Document(written, CREDENTIALS, names).edit({name: NEW})
    document = Document(written + b"# theirs", CREDENTIALS, names)
    assert document.edit(dict.fromkeys(names, TAKEN)) == b"[a]\nx = 1\n# theirs"
    assert Document(written, CREDENTIALS, names).edit(dict.fromkeys(names, TAKEN)) == before
    apart = f"[a]\n\n{OURS}[t]\n\n{OURS.replace('prod', 'b')}[u]\n".encode()
    both = ("prod", "b")
    assert Document(apart, CREDENTIALS, both).edit(dict.fromkeys(both, TAKEN)) == b"[a]\n[t]\n[u]\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[prod]\n[a]\n[prod]\n", 3, "section 'prod' stands twice"),
        ("[prod]\nx = 1\n\nX : 1\n", 4, "option 'x' stands twice"),
        ("\n# said\nx = 1\n", 3, "before the first"),
        ("[prod]\nnothing\n", 2, "neither"),
        ("[prod]\n= 1\n", 2, "neither"),
        ("[a]\ns3 =\n  max\n", 3, "without '='"),
    ],
)
def test_what_botocore_cannot_read_is_refused_with_its_line(
    text: str, line: int, reason: str
) -> None:
    with pytest.raises(Malformed, match=reason) as raised:
        write(text)
    assert raised.value.line == line


def test_a_refusal_quotes_no_value() -> None:
    with pytest.raises(Malformed) as raised:
        write("[prod]\nsEcReT\n")
    assert "sEcReT" not in str(raised.value)


@pytest.mark.parametrize(
    "header",
    ["profile prod", 'profile "prod"', "profile 'prod'", "profile\tprod", "profile pr\\od"],
)
def test_a_profile_of_the_config_file_is_found_however_it_is_quoted(header: str) -> None:
    text = f"[{header}]\nregion = old\n"
    edited = Document(text.encode(), CONFIG, ["prod"]).edit({"prod": Edit({"region": "new"})})
    assert edited.decode() == f"[{header}]\nregion = new\n"


@pytest.mark.parametrize(
    ("profile", "header"), [("prod", "[profile prod]"), ("default", "[default]")]
)
def test_a_new_profile_of_the_config_file_is_named_as_aws_does(profile: str, header: str) -> None:
    edited = Document(b"", CONFIG, [profile]).edit({profile: Edit({"region": "r"})})
    assert edited.decode() == f"{header}\nregion = r\n"


@pytest.mark.parametrize(
    "twice", ["[default]\n[profile default]\n", '[profile default]\n[profile "default"]\n']
)
def test_a_profile_under_two_spellings_is_refused(twice: str) -> None:
    with pytest.raises(Malformed, match="default stands twice"):
        Document(twice.encode(), CONFIG, ["default"])


def test_several_profiles_are_edited_in_one_go() -> None:
    document = Document(b"[b]\nx = 1\n[a]\n", CREDENTIALS, ["a", "b", "c"])
    edited = document.edit({name: Edit({"x": name}) for name in "abc"})
    assert edited == b"[b]\nx = b\n[a]\nx = a\n\n[c]\nx = c\n"


@pytest.mark.parametrize(
    ("data", "word"), [(b"\xef\xbb\xbf[a]\n", "byte order mark"), (b"[a]\n# \xff\n", "UTF-8")]
)
def test_what_some_readers_stumble_over_is_named(data: bytes, word: str) -> None:
    (oddity,) = Document(data, CREDENTIALS, []).oddities
    assert word in oddity


def test_the_options_of_the_section_for_all_are_known() -> None:
    document = Document(b"[DEFAULT]\nregion = r\n[a]\n[DEFAULT]\nx = 1\n", CREDENTIALS, ["a"])
    assert set(document.defaults.options) == {"region", "x"}


def test_one_of_ten_thousand_profiles_is_edited_and_no_byte_of_the_others() -> None:
    sections = [
        f"[p{n}]\naws_access_key_id = {n}\naws_secret_access_key = s{n}\n\n" for n in range(10_000)
    ]
    edited = Document("".join(sections).encode(), CREDENTIALS, ["p5000"]).edit({"p5000": NEW})
    sections[5000] = "[p5000]\naws_access_key_id = ID\naws_secret_access_key = KEY\n\n"
    assert edited == "".join(sections).encode()
