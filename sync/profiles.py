"""A lossless editor of AWS credentials and config files: bytes in, bytes out.

Every byte outside the options that are set or dropped stays as it is: comments, order, blank lines,
line endings, a byte order mark, bytes that are no UTF-8. A file is understood as botocore
understands it, which reads it with ``configparser.RawConfigParser``
(``botocore.configloader.raw_config_parse``):

- a line ends at LF, CRLF or CR; ``#`` and ``;`` begin a comment only at the start of a line;
- a line indented more than the option before it continues that option's value, whatever it holds;
- option names are case-insensitive, section names are not;
- a section or option that stands twice, a line that is neither, and a block of sub-options with
  a line that has no ``=`` make the whole file unreadable.

What botocore refuses is refused here too (`Malformed`), since a profile written into such a file
would not work. Two things are let pass, because whether they are read depends on the reader's
locale: a byte order mark and bytes that are no UTF-8; `Document.oddities` names them.

What was added can be taken away again and leaves no trace: options that were set are dropped, and
with them a section that was made for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_HEADER = re.compile(r"\[(.+)\]")  # greedy, as in RawConfigParser: the last bracket closes
_DELIMITER = re.compile("[=:]")
_BLANKS = re.compile(r"[ \t\r\n]+")
_BYTE_ORDER_MARK = "\ufeff"
_DEFAULTS = "DEFAULT"  # RawConfigParser's section whose options hold for every other one


class Malformed(ValueError):  # noqa: N818  a fact about the file, not a fault of the program
    """A file that botocore could not read, or not in the way that everybody would expect.

    ``line`` is the number of the offending line, from 1; ``reason`` never quotes the line, which
    may hold a secret.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Option:
    """One option of a section, and where in the text it stands."""

    __slots__ = ("continuations", "end", "indent", "start", "value_end", "value_start", "values")

    def __init__(self, start: int, end: int, indent: str, value_start: int, value: str) -> None:
        self.start = start
        self.end = end  # behind the first line, its line ending included
        self.indent = indent
        self.value_start = value_start
        self.value_end = value_start + len(value)
        self.continuations: list[tuple[int, int]] = []
        self.values = [value]

    @property
    def value(self) -> str:
        """The value as RawConfigParser joins it from its lines."""
        return "\n".join(self.values).rstrip()

    @property
    def last_end(self) -> int:
        """Where the option's last line ends, its line ending included."""
        return self.continuations[-1][1] if self.continuations else self.end


class Section:
    """One section: its header, its options by lower-case name."""

    __slots__ = ("header_end", "header_start", "indent_below", "options")

    def __init__(self, header_start: int, header_end: int) -> None:
        self.header_start = header_start
        self.header_end = header_end
        self.options: dict[str, Option] = {}
        self.indent_below = ""  # that of the header that follows

    def get(self, option: str) -> str | None:
        """The value of ``option`` (lower case), or None."""
        found = self.options.get(option)
        return None if found is None else found.value


class Edit(NamedTuple):
    """What one profile is to become: options to set, in order, and options to drop."""

    assign: Mapping[str, str]
    drop: Collection[str] = ()
    drop_section: bool = False
    """Whether the section goes too if it `Document.goes_with` its options."""


class _Splice(NamedTuple):
    """A part of the text and what takes its place."""

    start: int
    end: int
    new: str = ""
    is_header: bool = False


class FileKind(NamedTuple):
    """How a file names its profiles: from header to profile, and back."""

    profile: Callable[[str], str | None]
    header: Callable[[str], str]


def _config_profile(header: str) -> str | None:
    """The profile a header of the config file stands for, by botocore's own rule."""
    if header == "default":
        return header
    if not header.startswith("profile"):
        return None
    if not any(mark in header for mark in "\"'\\"):
        words = _BLANKS.split(header.strip(" \t\r\n"))
    else:
        import shlex

        try:
            words = shlex.split(header)
        except ValueError:  # an unclosed quote: botocore passes such a section over
            return None
    return words[1] if len(words) == 2 else None  # noqa: PLR2004  "profile" and the name


CREDENTIALS = FileKind(profile=lambda header: header, header=lambda profile: profile)
CONFIG = FileKind(
    profile=_config_profile,
    header=lambda profile: profile if profile == "default" else f"profile {profile}",
)


class Document:
    """A parsed file: the sections of the profiles that were asked for, by profile name."""

    def __init__(self, data: bytes, kind: FileKind, profiles: Iterable[str]) -> None:
        """Parse ``data``.

        Raises `Malformed` where botocore could not read it, or where one of ``profiles`` stands
        in it twice under different spellings (``[default]`` and ``[profile default]``).
        """
        # Undecodable bytes become lone surrogates and come back as they were.
        self._text = data.decode("utf-8", "surrogateescape")
        self._kind = kind
        self.sections: dict[str, Section] = {}
        self.defaults = Section(0, 0)
        """``[DEFAULT]``, whose options RawConfigParser adds to every section."""
        self._parse(frozenset(profiles))

    def _parse(self, wanted: frozenset[str]) -> None:  # noqa: C901, PLR0912, PLR0915  one loop, as
        # in RawConfigParser: its branches share the state that makes a line mean what it means.
        text = self._text
        known: set[str] = set()
        header: str | None = None
        section: Section | None = None  # the one read, where it is wanted
        option: Option | None = None
        names: set[str] = set()
        in_option = in_block = False
        level = 0
        first = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
        profile_of = self._kind.profile
        for number, match in enumerate(_LINE.finditer(text, first), 1):
            line = match.group()
            content = line.strip()
            if not content:
                if option is not None:
                    option.values.append("")
                continue
            if content[0] in "#;":
                continue
            indent = len(line) - len(line.lstrip())
            if in_option and indent > level:
                if in_block and not all("=" in sub for sub in content.splitlines() if sub.strip()):
                    raise Malformed(number, "a sub-option without '='")
                if option is not None:
                    option.values.append(content)
                    option.continuations.append(match.span())
                continue
            level = indent
            if content[0] == "[" and (found := _HEADER.match(content)):
                if section is not None:
                    section.indent_below = line[:indent]
                header = found.group(1)
                in_option = False
                section = option = None
                if header == _DEFAULTS:
                    section = self.defaults
                    names = set(section.options)
                    continue
                if header in known:
                    raise Malformed(number, f"section {header!r} stands twice")
                known.add(header)
                names = set()
                profile = profile_of(header)
                if profile in wanted:
                    if profile in self.sections:
                        raise Malformed(
                            number, f"profile {profile} stands twice, spelled otherwise"
                        )
                    section = self.sections[profile] = Section(*match.span())
                continue
            if header is None:
                raise Malformed(number, "text before the first [section]")
            delimiter = _DELIMITER.search(content)
            name = content[: delimiter.start()].rstrip().lower() if delimiter else ""
            if delimiter is None or not name:
                raise Malformed(number, "neither a [section] nor an option = value")
            if name in names:
                raise Malformed(number, f"option {name!r} stands twice in section {header!r}")
            names.add(name)
            value = content[delimiter.end() :].lstrip()
            in_option, in_block = True, not value
            if section is not None:
                value_end = match.start() + indent + len(content)
                option = section.options[name] = Option(
                    match.start(), match.end(), line[:indent], value_end - len(value), value
                )

    @property
    def oddities(self) -> list[str]:
        """What some readers of the file stumble over though it parses, in words."""
        odd = []
        if self._text.startswith(_BYTE_ORDER_MARK):
            odd.append("starts with a byte order mark, which boto3 and the AWS CLI refuse")
        try:
            self._text.encode()
        except UnicodeEncodeError:
            odd.append("holds bytes that are no UTF-8, which boto3 and the AWS CLI may refuse")
        return odd

    def edit(self, edits: Mapping[str, Edit]) -> bytes:
        """The file with ``edits`` made, by profile name.

        Every profile named was asked for when the file was parsed. One that is not in the file
        is appended at its end, if anything is to be set; options that a section lacks go behind
        its last one, with that one's indentation, so that neither they nor what follows becomes
        part of another value.
        """
        splices: list[_Splice] = []
        appended: dict[str, Edit] = {}
        for profile, edit in edits.items():
            section = self.sections.get(profile)
            if section is not None:
                splices += self._splices(profile, section, edit)
            elif edit.assign:
                appended[profile] = edit
        text = self._spliced(splices)
        for profile, edit in appended.items():
            text = _append(text, self._kind.header(profile), edit)
        return text.encode("utf-8", "surrogateescape")

    def goes_with(self, profile: str, drop: Collection[str]) -> bool:
        """Whether nothing of the section of ``profile`` is anybody's once ``drop`` is dropped.

        Its header then is what `edit` makes, has no other options, and no comment between it and
        them. What stands below them is taken to belong to what follows.
        """
        section = self.sections.get(profile)
        if section is None or section.options.keys() - set(drop):
            return False
        header = self._text[section.header_start : section.header_end].rstrip("\r\n")
        inside = []
        position = section.header_end
        for start, end in _spans(section, drop):
            inside.append(self._text[position:start])
            position = end
        # The header below, if it were indented, would become part of a value above.
        as_made = header == f"[{self._kind.header(profile)}]" and not section.indent_below
        return as_made and not "".join(inside).strip()

    def _spliced(self, splices: Iterable[_Splice]) -> str:
        parts: list[str] = []
        position = length = 0
        headers = []  # where in the new text those were that are gone
        # By position alone: of two at one place, the value that ends there goes before new lines.
        for splice in sorted(splices, key=lambda splice: splice[:2]):
            parts += [self._text[position : splice.start], splice.new]
            length += splice.start - position + len(splice.new)
            position = splice.end
            if splice.is_header:
                headers.append(length)
        text = "".join([*parts, self._text[position:]])
        for at in reversed(headers):
            text = _close(text, at)
        return text

    def _splices(self, profile: str, section: Section, edit: Edit) -> list[_Splice]:
        if edit.drop_section and self.goes_with(profile, edit.drop):
            header = _Splice(section.header_start, section.header_end, is_header=True)
            return [header, *(_Splice(*span) for span in _spans(section, edit.drop))]
        splices = [_Splice(*span) for span in _spans(section, edit.drop)]
        missing = dict(edit.assign)
        first = next(iter(section.options.values()), None)
        at, indent = section.header_end, first.indent if first else section.indent_below
        for name, option in section.options.items():
            if name in edit.drop:
                continue
            at, indent = option.last_end, option.indent
            value = missing.pop(name, option.value)
            if value != option.value:
                empty = option.value_start == option.value_end
                splices.append(_Splice(option.value_start, option.value_end, " " * empty + value))
                splices += [_Splice(*span) for span in option.continuations]
                at = option.end
        if missing:
            lines = [f"{indent}{name} = {value}" for name, value in missing.items()]
            splices.append(_Splice(at, at, self._as_lines(at, lines)))
        elif not edit.assign and splices and not _ends_line(self._text):
            splices += self._ending_before(splices)
        return splices

    def _ending_before(self, dropped: list[_Splice]) -> list[_Splice]:
        """The line ending before the lines that end the file, and without one, if they go."""
        start = end = len(self._text)
        for splice in reversed(dropped):
            if splice.end == start:
                start = splice.start
        if start == end:
            return []
        return [_Splice(start - len(_ends_line(self._text[:start])), start)]

    def _as_lines(self, at: int, lines: Iterable[str]) -> str:
        """The text that puts ``lines`` at the end of a line, or of a file that ends without one."""
        ending = _line_ending(self._text, at) or _line_ending(self._text) or "\n"
        if self._text[at - 1] in "\r\n":
            return "".join(line + ending for line in lines)
        return "".join(ending + line for line in lines)


def _append(text: str, header: str, edit: Edit) -> str:
    """``text`` with a new section at its end.

    One line ending sets it apart: where ``text`` ends with a line ending that makes a blank line,
    where it does not, none. So what was there can be told from what is there now.
    """
    ending = _line_ending(text) or "\n"
    lines = [f"[{header}]", *(f"{name} = {value}" for name, value in edit.assign.items())]
    apart = ending if _behind_mark(text) else ""
    return text + apart + "".join(line + ending for line in lines)


def _close(text: str, at: int) -> str:
    """``text`` without the line ending that set a section apart, which is gone from ``at``.

    `_append` puts exactly one. It stays where lines of others would run together without it.
    """
    above, below = text[:at], text[at:]
    apart = _ends_line(above)
    closed = above[: len(above) - len(apart)]
    if not below or below[0] in "\r\n" or _ends_line(closed) or not _behind_mark(closed):
        return closed + below
    return text


def _spans(section: Section, names: Collection[str]) -> list[tuple[int, int]]:
    """Where the lines of the options ``names`` are, in their order."""
    return [
        span
        for name, option in section.options.items()
        if name in names
        for span in ((option.start, option.end), *option.continuations)
    ]


def _behind_mark(text: str) -> str:
    return text.removeprefix(_BYTE_ORDER_MARK)


def _ends_line(text: str) -> str:
    """The line ending that ``text`` ends with, or ""."""
    return _line_ending(text) if text.endswith(("\r", "\n")) else ""


def _line_ending(text: str, end: int | None = None) -> str:
    """The last line ending in ``text[:end]``: CRLF, LF, CR, or "" where it has none."""
    cut = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end))
    if cut < 0:
        return ""
    return "\r\n" if text[cut] == "\n" and text[cut - 1 : cut] == "\r" else text[cut]
