"""Decides what of a stack's goes when it is removed. Pure: bytes and receipts in, bytes out.

What goes is what sync wrote by its receipts and what is still as it wrote it: the two halves of an
access key together, the region, the key file. A section that was made for them goes with them, as
does the line ending that set it apart, so that a profile that sync made leaves no trace. What is
somebody else's by now, or was there before sync and still is the same, is left, and told.

Not undone is what `sync` did beside writing its own:

- session tokens that it removed from the profile are not put back;
- nor is what a take-over replaced: it stays in the copies that were kept, which never go;
- an option that stood there empty goes as if sync had made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync import profiles
from sync.plan import (
    KEY_ID,
    SECRET_KEY,
    Files,
    aside_name,
    first_copy,
    is_kept_as,
    last_copy,
    mask,
    parse,
)
from sync.receipts import Place, Receipt, Receipts, hash_access_key_id
from sync.ssh_key import parse_private_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

REMOVED, LEFT, GONE = "removed", "left", "gone"
_BEFORE_SYNC = "which was there before sync"


class NothingWritten(Exception):  # noqa: N818  a fact, not a fault
    """Sync wrote nothing of what is to be removed: what it did write, in one line."""


class Request(NamedTuple):
    """What is to be removed."""

    stack: str
    profile: str | None = None
    """Only this one; the key file then goes with the last profile of its stack."""
    old_keys: bool = False
    backups: bool = False


class Part(NamedTuple):
    """What becomes of one thing in a file, or of a whole file."""

    path: str
    action: str
    facts: Mapping[str, str]
    """What it is, for the user: nothing secret."""


class Beside(NamedTuple):
    """The files that stand beside those that sync writes."""

    key_files: Mapping[Path, bytes | None]
    """The stack's key file, there or not, and those that have the name of a replaced one."""
    first_copies: Collection[Path] = ()
    last_copies: Collection[Path] = ()
    """By the file that they are a copy of, before its first and its last change."""
    taken_over: Sequence[Path] = ()
    not_files: Mapping[Path, str] = {}
    """Of the key files those that are none of their own, and what they are."""


class Removal:
    """What becomes of every file. Raises `NothingWritten`, and `Unreadable` when a file is edited.

    A stack of that name may exist in several accounts: all of them are meant.
    """

    def __init__(
        self,
        request: Request,
        files: Files,
        private_key_path: Path,
        receipts: Receipts,
        beside: Beside,
    ) -> None:
        self._request = request
        self._files = files
        self._private_key_path = private_key_path
        self._earlier = receipts
        self._beside = beside
        of_stack = {p: r for p, r in receipts.by_place.items() if r.stack == request.stack}
        in_file = [
            (place, receipt)
            for place, receipt in of_stack.items()
            if place.path == str(files.credentials if place.kind == "profile" else files.config)
        ]
        asked = {p: r for p, r in in_file if request.profile in (None, p.profile)}
        self._profiles = {p: r for p, r in asked.items() if p.kind == "profile"}
        self._regions = {p: r for p, r in asked.items() if p.kind == "region"}
        self._other_profiles = sorted(
            p.profile for p, _ in in_file if p.kind == "profile" and p not in asked
        )
        keys = {p: r for p, r in of_stack.items() if p.kind == "private key" and self._is_here(p)}
        keys_go = not self._other_profiles and (asked or request.profile is None)
        self._key_receipts = keys if keys_go else {}
        self._elsewhere = sorted(
            {place.path for place in of_stack.keys() - dict(in_file).keys() - keys.keys()}
        )
        self._own = asked | self._key_receipts
        self._passed_on = self._regions_of_other_stacks()
        self._kept_keys: dict[Place, Receipt] = {}
        self.key_files = self._decide_key_files()
        """What becomes of each key file."""
        # Once no stack has anything here any more, the backups may still go.
        if not self._own and (receipts.by_place or not self.backups):
            raise NothingWritten(self._what_there_is())

    def _regions_of_other_stacks(self) -> dict[Place, Receipt]:
        """Regions of profiles that another stack took over: theirs from now on."""
        passed_on = {}
        for place, receipt in self._regions.items():
            user = self._earlier.get(Place("profile", str(self._files.credentials), place.profile))
            if user and user.stack != self._request.stack:
                passed_on[place] = receipt._replace(stack=user.stack, account_id=user.account_id)
        return passed_on

    def _is_here(self, place: Place) -> bool:
        return place.path.rpartition("/")[0] == str(self._private_key_path.parent)

    def _what_there_is(self) -> str:
        stack, profile = self._request.stack, self._request.profile
        if self._other_profiles:
            names = ", ".join(self._other_profiles)
            return f"no profile {profile} was written for stack {stack}, but {names}"
        if self._elsewhere:
            return (
                f"nothing was written for stack {stack} here, but {', '.join(self._elsewhere)}: "
                "name its place as then, by --pem-dir or AWS_SHARED_CREDENTIALS_FILE and "
                "AWS_CONFIG_FILE"
            )
        stacks = sorted({receipt.stack for receipt in self._earlier.by_place.values()})
        return (
            f"nothing was ever written for stack {stack} here; there is something for: "
            f"{', '.join(stacks) or 'none'}"
        )

    def edit_credentials(self, data: bytes | None) -> tuple[bytes, list[Part]]:
        """``data`` without the access keys that are ours, and what becomes of each."""
        return self._edit(self._files.credentials, data, profiles.CREDENTIALS, self._profiles)

    def edit_config(self, data: bytes | None) -> tuple[bytes, list[Part]]:
        """``data`` without the regions that are ours, and what becomes of each."""
        return self._edit(self._files.config, data, profiles.CONFIG, self._regions)

    def _edit(
        self,
        path: Path,
        data: bytes | None,
        kind: profiles.FileKind,
        receipts: Mapping[Place, Receipt],
    ) -> tuple[bytes, list[Part]]:
        if data is None or not receipts:
            return data or b"", [_gone(place, kind) for place in receipts]
        document = parse(path, data, kind, [place.profile for place in receipts])
        edits, parts = {}, []
        for place, receipt in receipts.items():
            section = document.sections.get(place.profile)
            decide = _access_key if place.kind == "profile" else _region
            drop, action, facts = decide(section, receipt)
            if place in self._passed_on and action == REMOVED:
                user = self._passed_on[place].stack
                what = f"region {facts['region']}, whose profile stack {user} has"
                drop, action, facts = (), LEFT, {"what": what}
            was_made = receipt.before == "nothing" and place not in self._passed_on
            edits[place.profile] = profiles.Edit({}, drop, drop_section=was_made)
            if action == GONE and was_made and document.goes_with(place.profile, drop):
                action, facts = REMOVED, {"what": "which was empty"}
            header = kind.header(place.profile)
            parts.append(Part(place.path, action, {"section": header, **facts}))
        return document.edit(edits), parts

    def _decide_key_files(self) -> dict[Path, Part]:
        parts = {}
        for path, data in self._beside.key_files.items() if self._key_receipts else []:
            place = Place("private key", str(path))
            known = self._earlier.get(place)
            is_old = path != self._private_key_path
            if known.stack != self._request.stack if known else not is_old:
                continue  # another stack's, or one that sync never wrote
            if path in self._beside.not_files:
                what = {"what": f"it is {self._beside.not_files[path]}"}
                parts[path] = Part(str(path), LEFT, what)
                continue
            action, facts = self._key_file(path, data, known, is_old=is_old)
            if action == REMOVED and is_old and not self._request.old_keys:
                # Known under its own name from now on, so that it can be removed later.
                self._kept_keys[place] = known or self._receipt_of_old(facts["fingerprint"])
                action, facts = LEFT, {"what": "a replaced key; --old-keys removes it"}
            parts[path] = Part(str(path), action, facts)
        return parts

    def _key_file(
        self, path: Path, data: bytes | None, known: Receipt | None, *, is_old: bool
    ) -> tuple[str, Mapping[str, str]]:
        if data is None:
            return GONE, {"what": "the key"}
        key = parse_private_key(data)
        if key is None:
            return LEFT, {"what": "not a key that sync wrote"}
        facts = {"algorithm": key.public_key.algorithm, "fingerprint": key.public_key.fingerprint}
        receipts = self._key_receipts.values()
        found = {r.found for r in ([known] if known else receipts)}
        if facts["fingerprint"] in found:
            return LEFT, {"what": f"{' '.join(facts.values())}, {_BEFORE_SYNC}"}
        is_ours = any(facts["fingerprint"] in receipt.own for receipt in receipts)
        is_named = not is_old or is_kept_as(path.name, aside_name(data, self._request.stack))
        if not is_ours or not is_named:
            return LEFT, {"what": f"{' '.join(facts.values())}, which sync did not write there"}
        if key.has_passphrase:
            return LEFT, {"what": "it has a passphrase of yours"}
        return REMOVED, facts

    def _receipt_of_old(self, fingerprint: str) -> Receipt:
        whose = next(r for r in self._key_receipts.values() if fingerprint in r.wrote)
        return Receipt(whose.stack, whose.account_id, (fingerprint,), "nothing")

    @property
    def receipts(self) -> Receipts:
        """The receipts as they are to be once all is carried out."""
        by_place = {p: r for p, r in self._earlier.by_place.items() if p not in self._own}
        return self._earlier._replace(by_place=by_place | self._kept_keys | self._passed_on)

    def is_in_use(self, path: Path) -> bool:
        """Whether there will be anything of a stack in the file at ``path``."""
        return any(place.path == str(path) for place in self.receipts.by_place)

    @property
    def backups(self) -> dict[Path, Part]:
        """The copies that go, by their path; none unless they are asked for.

        What a file held before its last change goes in any case, since that may be the keys that
        are removed; what it held before sync came, only with the last stack that uses the file,
        and not where it may be the last copy of a session token.
        """
        if not self._request.backups:
            return {}
        going = [last_copy(path) for path in self._beside.last_copies]
        going += [
            first_copy(path)
            for path in self._beside.first_copies
            if not self.is_in_use(path) and not self._has_dropped(path)
        ]
        return {path: Part(str(path), REMOVED, {"what": "a backup"}) for path in sorted(going)}

    def _has_dropped(self, path: Path) -> bool:
        """Whether sync removed what stood in the file at ``path`` beside what it wrote."""
        receipts = self._earlier.by_place.items()
        return any(place.path == str(path) and receipt.dropped for place, receipt in receipts)

    def left(self, changed: Iterable[Path]) -> list[Part]:
        """The copies that stay, if the files ``changed`` are changed."""
        left = {}
        if not self._request.backups:
            for path in sorted({*self._beside.last_copies, *changed}):
                keys = ", with keys" if path == self._files.credentials else ""
                left[last_copy(path)] = f"what the file held before{keys}; --backups removes it"
        for path in sorted(self._beside.first_copies):
            if self._has_dropped(path):
                left[first_copy(path)] = (
                    "what it held before sync, and so perhaps the last copy of the session token "
                    "that sync removed; remove it yourself"
                )
            elif not self._request.backups:
                left[first_copy(path)] = "what it held before sync; --backups removes it"
            elif self.is_in_use(path):
                left[first_copy(path)] = "what it held before sync; other stacks use it"
        for path in self._beside.taken_over:
            left[path] = "what a take-over replaced, which is yours"
        return [Part(str(path), LEFT, {"what": what}) for path, what in left.items()]

    @property
    def warnings(self) -> list[str]:
        """What is not as one might expect it."""
        told = []
        accounts = sorted({receipt.account_id for receipt in self._own.values()})
        if len(accounts) > 1:
            told.append(f"stacks of this name in the accounts {', '.join(accounts)}: all are meant")
        for place, receipt in self._own.items():
            told += [
                f"{name}, which sync removed from [{place.profile}], is not put back"
                for name in receipt.dropped
            ]
            if receipt.before in ("other keys", "other file"):
                where = f"[{place.profile}]" if place.profile else place.path
                told.append(f"what a take-over replaced in {where} is not put back")
        if self._own and self._other_profiles:
            told.append(f"the key file stays with profile {', '.join(self._other_profiles)}")
        if self._own and self._request.profile is None:
            told += [f"{path} is of this stack too, and stays" for path in self._elsewhere]
        return told


def _access_key(
    section: profiles.Section | None, receipt: Receipt
) -> tuple[Collection[str], str, dict[str, str]]:
    """Which options go, what becomes of the access key, and what it is."""
    key_id = section.get(KEY_ID) if section else None
    if section and key_id:
        if hash_access_key_id(key_id) == receipt.found:
            why = _BEFORE_SYNC
        elif hash_access_key_id(key_id) not in receipt.wrote:
            why = "which sync did not write"
        elif "\n" in (section.get(SECRET_KEY) or ""):
            why = "to whose secret lines were added"
        else:
            return (KEY_ID, SECRET_KEY), REMOVED, {"access_key": mask(key_id)}
        return (), LEFT, {"what": f"access key {mask(key_id)}, {why}"}
    if section and section.get(SECRET_KEY):
        return (), LEFT, {"what": f"an {SECRET_KEY} without its {KEY_ID}"}
    return (), GONE, {"what": "access key"}


def _region(
    section: profiles.Section | None, receipt: Receipt
) -> tuple[Collection[str], str, dict[str, str]]:
    """Which options go, what becomes of the region, and what it is."""
    region = section.get("region") if section else None
    if not region:
        return (), GONE, {"what": "region"}
    if region == receipt.found:
        return (), LEFT, {"what": f"region {region}, {_BEFORE_SYNC}"}
    if region in receipt.wrote:
        return ("region",), REMOVED, {"region": region}
    return (), LEFT, {"what": f"region {region}, which sync did not write"}


def _gone(place: Place, kind: profiles.FileKind) -> Part:
    what = "access key" if place.kind == "profile" else "region"
    return Part(place.path, GONE, {"section": kind.header(place.profile), "what": what})
