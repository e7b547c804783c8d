"""What is on this machine, read without a lock and never changed."""

from __future__ import annotations

import os
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sync import profiles
from sync.plan import KEY_ID, SECRET_KEY, aside_name, has_keys, mask
from sync.private_file import FileError, PrivateFile, wide_mode
from sync.receipts import Place, Receipt, Receipts, ReceiptsError, hash_access_key_id
from sync.ssh_key import parse_private_key
from sync.standing import CURRENT, OTHER, PREVIOUS, Finding, KeyFile, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync.places import Places
    from sync.stack import StackKeys


class _File(NamedTuple):
    data: bytes | None
    mode: int | None


class Written(NamedTuple):
    """What sync wrote for a stack."""

    account_id: str
    is_replaced: bool
    """Whether it is nothing but SSH keys that were replaced."""


class Machine:
    """The receipts, and then the files, as they are now.

    ``findings`` are about what all stacks share.
    """

    def __init__(self, places: Places, *, pem_directory_is_named: bool) -> None:
        self._places = places
        self._pem_directory_is_named = pem_directory_is_named
        self.findings: list[Finding] = []
        self._credentials: profiles.Document | None = None
        self._config: profiles.Document | None = None
        self._receipts = self._read_receipts()

    def _read_receipts(self) -> Receipts:
        path = self._places.state_directory / "receipts.json"
        file = self._read(path)
        try:
            return Receipts.load(file and file.data)
        except ReceiptsError as error:
            self._find(path, str(error))
            return Receipts.load(None)

    def stacks(self) -> dict[str, Written]:
        """The stacks that sync wrote something for. Replaced keys that are gone do not count."""
        found: dict[str, Written] = {}
        for place, receipt in sorted(self._receipts.by_place.items(), key=itemgetter(1)):
            stack = receipt.stack
            name = self._places.private_key(stack).name
            is_replaced = place.kind == "private key" and Path(place.path).name != name
            if not is_replaced or os.path.lexists(place.path):
                is_only_that = is_replaced and (stack not in found or found[stack].is_replaced)
                found[stack] = Written(receipt.account_id, is_replaced=is_only_that)
        return found

    def profile_names(self, stack: str) -> list[str]:
        """The profiles that sync wrote for ``stack`` into the credentials file."""
        return self._receipts.profiles(stack, str(self._places.files.credentials))

    def read_profiles(self, names: Iterable[str]) -> None:
        """Read the AWS files, and what they hold under ``names``."""
        names = list(names)
        files = self._places.files
        self._credentials = self._read_document(files.credentials, profiles.CREDENTIALS, names)
        self._config = self._read_document(files.config, profiles.CONFIG, names)
        try:
            mode = wide_mode(self._places.pem_directory)
        except FileError:
            mode = None
        if mode is not None and self._places.pem_directory_is_ours:
            self._find(self._places.pem_directory, f"has mode {mode:04o}, which lets others in")

    def has_keys(self, profile: str) -> bool:
        """Whether there is any part of an access key in ``profile``."""
        section, _ = self._section(profile)
        return has_keys(section)

    def region(self, profile: str) -> str | None:
        """The region that ``profile`` names."""
        for document in (self._credentials, self._config):
            section = document.sections.get(profile) if document else None
            if section and (region := section.get("region")):
                return region
        return None

    def profile(self, name: str, stack: str, keys: StackKeys | None) -> Profile | None:
        """What the profile ``name`` holds, compared with ``keys``; None in an unreadable file."""
        if self._credentials is None:
            return None
        section, path = self._section(name)
        there = section.get(KEY_ID) if section else None
        secret = section.get(SECRET_KEY) if section else None
        place = Place("profile", str(path), name)
        receipt = self._receipt(place, stack, keys)
        holds = None
        if keys and there:
            holds = OTHER
            for whose, pair in (
                (PREVIOUS, keys.with_previous_access_key),
                (CURRENT, keys),
            ):
                if there == pair.access_key_id.reveal():
                    is_whole = secret == pair.secret_access_key.reveal()
                    holds = whose if is_whole else OTHER
        return Profile(
            name,
            str(path),
            is_there=section is not None,
            access_key=mask(there) if there else None,
            is_ours=bool(receipt and there and hash_access_key_id(there) in receipt.wrote),
            holds=holds,
        )

    def key_files(self, stack: str, keys: StackKeys | None) -> tuple[KeyFile, ...]:
        """The stack's key files: those that sync wrote and that are there, or the usual one."""
        usual = self._places.private_key(stack)
        if self._pem_directory_is_named:
            return (self._key_file(usual, stack, keys),)
        wrote = [Path(place.path) for place, _ in self._of(stack, "private key")]
        # Others of the directory are keys that were replaced.
        paths = dict.fromkeys([*(path for path in wrote if path.name == usual.name), usual])
        files = [self._key_file(path, stack, keys) for path in paths]
        there = [file for file in files if file.mode is not None or file.problem]
        return tuple(there) or (self._key_file(usual, stack, keys),)

    def previous_key_file(self, keys: StackKeys, beside: Sequence[KeyFile]) -> KeyFile | None:
        """Where the previous SSH key is kept, there or not, while the key pair is rotated."""
        if keys.previous_key_pair is None:
            return None
        name = aside_name(keys.previous_key_pair.private_key.reveal().encode(), keys.stack)
        directories = dict.fromkeys(Path(file.path).parent for file in beside)
        files = [self._key_file(folder / name, keys.stack, keys) for folder in directories]
        there = [file for file in files if file.mode is not None]
        return (there or files)[0]

    def _key_file(self, path: Path, stack: str, keys: StackKeys | None) -> KeyFile:
        try:
            with PrivateFile(path) as file:
                data, mode = file.data, file.mode
        except FileError as error:
            return KeyFile(str(path), problem=str(error).removeprefix(f"{path}: "))
        if data is None:
            return KeyFile(str(path))
        found = parse_private_key(data)
        receipt = self._receipt(Place("private key", str(path)), stack, keys)
        if found is None:
            return KeyFile(str(path), mode, problem="holds no private key that sync can read")
        is_ours = receipt is not None and found.public_key.fingerprint in receipt.wrote
        return KeyFile(str(path), mode, found.public_key, is_ours=is_ours)

    def _section(self, profile: str) -> tuple[profiles.Section | None, Path]:
        """The section that has the keys; where none has, that of the credentials file."""
        files = self._places.files
        first = self._credentials.sections.get(profile) if self._credentials else None
        second = self._config.sections.get(profile) if self._config else None
        if has_keys(second) and not has_keys(first):
            return second, files.config
        return first, files.credentials

    def _of(self, stack: str, kind: str) -> list[tuple[Place, Receipt]]:
        return [
            (place, receipt)
            for place, receipt in sorted(self._receipts.by_place.items())
            if place.kind == kind and receipt.stack == stack
        ]

    def _receipt(self, place: Place, stack: str, keys: StackKeys | None) -> Receipt | None:
        receipt = self._receipts.get(place)
        if receipt is None or receipt.stack != stack:
            return None
        return receipt if keys is None or receipt.is_for(stack, keys.account_id) else None

    def _read(self, path: Path) -> _File | None:
        try:
            with PrivateFile(path) as file:
                return _File(file.data, file.mode)
        except FileError as error:
            self._find(path, str(error).removeprefix(f"{path}: "))
            return None

    def _read_document(
        self, path: Path, kind: profiles.FileKind, names: Sequence[str]
    ) -> profiles.Document | None:
        file = self._read(path)
        if file is None:
            return None
        try:
            document = profiles.Document(file.data or b"", kind, names)
        except profiles.Malformed as error:
            self._find(path, f"{error}; boto3 and the AWS CLI do not read it either")
            return None
        for odd in document.oddities:
            self._find(path, odd)
        if kind is profiles.CREDENTIALS and file.mode is not None and file.mode & 0o077:
            self._find(path, f"has mode {file.mode:04o}, which lets others at your keys")
        return document

    def _find(self, path: Path, text: str) -> None:
        self.findings.append(Finding(str(path), text))
