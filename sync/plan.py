"""Decides what becomes of each file. Pure: bytes and receipts in, bytes and receipts out.

For every file there is one rule about whose it is. What holds the stack's present keys, or still
holds what sync wrote by its receipt, is sync's to change; anything else of value is somebody's,
and is changed only on request (``take_over``).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sync import profiles
from sync.receipts import Place, Receipt, Receipts, hash_access_key_id
from sync.ssh_key import parse_private_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sync.secret import Secret
    from sync.stack import StackKeys

KEY_ID, SECRET_KEY = "aws_access_key_id", "aws_secret_access_key"
_TOKENS = ("aws_session_token", "aws_security_token")  # botocore, SharedCredentialProvider.TOKENS
_BEFORE_KEYS = ("role_arn", "sso_account_id", "sso_role_name", "web_identity_token_file")
_BEHIND_KEYS = ("credential_process", "login_session")
"""Options for which botocore looks before it looks for keys in the credentials file, and
behind them (botocore.credentials.create_credential_resolver)."""

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"


class Refused(Exception):  # noqa: N818  a decision, not a fault
    """The place holds something of somebody else's: why, in one line."""


class Unreadable(Exception):  # noqa: N818  a fact about a file
    """A file that no profile can be written to: its path, the line and why, in one line."""


class Wish(NamedTuple):
    """The keys of one stack and where they are to go."""

    keys: StackKeys
    profile: str
    private_key_path: Path

    @property
    def previous_key_path(self) -> Path | None:
        """Where the key goes that running machines know, while a rotation replaces it."""
        previous = self.keys.previous_key_pair
        if previous is None:
            return None
        return self.private_key_path.with_name(_aside(self.keys.stack, previous.public_key.digest))


class Step(NamedTuple):
    """What becomes of one place."""

    action: str
    facts: Mapping[str, str]
    """What is there now, for the user: nothing secret."""
    place: Place
    receipt: Receipt | None = None
    warnings: tuple[str, ...] = ()
    keep_as: str | None = None
    """The name that what is there now is to be kept under, for good, beside the file."""


class Steps(NamedTuple):
    """What becomes of the places of one stack."""

    private_key: Step
    profile: Step
    region: Step
    previous_key: Step | None = None

    @property
    def all(self) -> list[Step]:
        """Those that there are."""
        return [step for step in self if step is not None]


class Files(NamedTuple):
    """Where the two files are that all profiles share."""

    credentials: Path
    config: Path


class Contents(NamedTuple):
    """What the files hold; None where there is no file."""

    private_keys: Mapping[Path, bytes | None]
    credentials: bytes | None
    config: bytes | None


class Plan:
    """What becomes of every file of ``wishes``.

    ``steps`` and ``refusals`` are by stack; a stack that is refused anywhere is left out
    everywhere. Raises `Unreadable`.
    """

    def __init__(
        self,
        wishes: Sequence[Wish],
        contents: Contents,
        files: Files,
        receipts: Receipts,
        *,
        take_over: bool,
    ) -> None:
        self._files = files
        self._receipts = receipts
        self._take_over = take_over
        self._names = [wish.profile for wish in wishes]
        self._contents = contents
        self._credentials = self._parse_credentials(contents.credentials)
        self._config = self._parse_config(contents.config)
        self.steps: dict[str, Steps] = {}
        self.refusals: dict[str, str] = {}
        self.granted: list[Wish] = []
        """The wishes that are carried out; one that fails on the way is taken out."""
        for wish in wishes:
            stack = wish.keys.stack
            try:
                private_key = self._private_key(contents.private_keys[wish.private_key_path], wish)
                previous_key, warnings = self._previous_key(wish, private_key.keep_as)
                self.steps[stack] = Steps(
                    private_key._replace(warnings=private_key.warnings + warnings),
                    self._profile(self._credentials, self._config, wish, take_over=take_over),
                    self._region(self._config, self._credentials, wish),
                    previous_key,
                )
                self.granted.append(wish)
            except Refused as refusal:
                self.refusals[stack] = str(refusal)

    @property
    def receipts(self) -> Receipts:
        """The receipts as they are to be once the plan is carried out."""
        steps = [step for wish in self.granted for step in self.steps[wish.keys.stack].all]
        written = {step.place: step.receipt for step in steps if step.receipt}
        return self._receipts._replace(by_place=self._receipts.by_place | written)

    def edit_credentials(self, data: bytes | None) -> bytes:
        """``data`` with the keys of every granted wish. Raises `Unreadable`.

        Where it is not what the plan was made for, a wish may now be refused: it is left out, and
        told in ``refusals``.
        """
        document, take_over = self._credentials, self._take_over
        if data is not self._contents.credentials:
            # What was not seen when it was decided is not taken over.
            document, take_over = self._parse_credentials(data), False
        edits = {}
        for wish in self.granted:
            try:
                step = self._profile(document, self._config, wish, take_over=take_over)
            except Refused as refusal:
                self.refusals[wish.keys.stack] = str(refusal)
                continue
            if step.action != UNCHANGED:
                tokens = _tokens(document.sections.get(wish.profile))
                edits[wish.profile] = profiles.Edit(_key_options(wish.keys), tokens)
        return document.edit(edits)

    def edit_config(self, data: bytes | None) -> bytes:
        """``data`` with the region of every granted wish. Raises `Unreadable`."""
        document = self._config if data is self._contents.config else self._parse_config(data)
        edits = {
            wish.profile: profiles.Edit({"region": wish.keys.region})
            for wish in self.granted
            if self._region(document, self._credentials, wish).action != UNCHANGED
        }
        return document.edit(edits)

    def _parse_credentials(self, data: bytes | None) -> profiles.Document:
        return self._parse(self._files.credentials, data, profiles.CREDENTIALS)

    def _parse_config(self, data: bytes | None) -> profiles.Document:
        return self._parse(self._files.config, data, profiles.CONFIG)

    def _parse(self, path: Path, data: bytes | None, kind: profiles.FileKind) -> profiles.Document:
        return parse(path, data, kind, self._names)

    def _private_key(self, data: bytes | None, wish: Wish) -> Step:
        keys = wish.keys
        key = keys.public_key
        place = Place("private key", str(wish.private_key_path))
        facts = {"algorithm": key.algorithm, "fingerprint": key.fingerprint}

        def step(action: str, before: str | None, *warnings: str) -> Step:
            receipt = self._receipt(place, keys, key.fingerprint, before)
            keep_as = aside_name(data, keys.stack) if data and action == UPDATED else None
            return Step(action, facts, place, receipt, warnings, keep_as)

        if not data:
            return step(CREATED if data is None else UPDATED, "nothing")
        if data == key_file(keys.private_key):
            return step(UNCHANGED, None)
        there = parse_private_key(data)
        if there and there.public_key == key:
            if there.has_passphrase:
                return step(
                    UNCHANGED, None, "the key file has a passphrase of yours: left as it is"
                )
            return step(UPDATED, None)
        if there and self._wrote(place, keys, there.public_key.fingerprint):
            return step(UPDATED, None)
        if self._take_over:
            return step(UPDATED, "other file")
        what = (
            f"another key ({there.public_key.algorithm} {there.public_key.fingerprint})"
            if there
            else "something that sync did not write"
        )
        raise Refused(
            f"{wish.private_key_path} holds {what}; --take-over keeps it beside as "
            f"{aside_name(data, keys.stack)} and writes this stack's key"
        )

    def _previous_key(self, wish: Wish, kept_as: str | None) -> tuple[Step | None, tuple[str, ...]]:
        """What becomes of the key that a rotation replaces, and warnings.

        ``kept_as`` is the name that the key file's present content will be under: where that is the
        previous key, all is done.
        """
        keys, path = wish.keys, wish.previous_key_path
        if keys.previous_key_pair is None or path is None:
            return None, ()
        key = keys.previous_key_pair.public_key
        data = self._contents.private_keys[path]
        there = parse_private_key(data) if data is not None else None
        if data is not None and (there is None or there.public_key != key):
            return None, (f"{path} is not the previous key, whose name it has: left as it is",)
        is_new = data is None and path.name != kept_as
        place = Place("private key", str(path))
        facts = {"algorithm": key.algorithm, "fingerprint": key.fingerprint, "which": "previous"}
        before = "nothing" if data is None else None
        if path.name == kept_as:  # whose it is there, it is here
            earlier = self._receipts.get(Place("private key", str(wish.private_key_path)))
            if earlier is None or key.fingerprint not in earlier.own:
                before = None
        receipt = self._receipt(place, keys, key.fingerprint, before)
        return Step(CREATED if is_new else UNCHANGED, facts, place, receipt), ()

    def _profile(
        self,
        credentials: profiles.Document,
        config: profiles.Document,
        wish: Wish,
        *,
        take_over: bool,
    ) -> Step:
        keys = wish.keys
        key_id = keys.access_key_id.reveal()
        place = Place("profile", str(self._files.credentials), wish.profile)
        facts = {"section": wish.profile, "access_key": mask(key_id)}
        section = credentials.sections.get(wish.profile)
        tokens = _tokens(section)
        warnings = [f"stale {name} is removed: it belongs to other keys" for name in tokens]
        warnings += [
            f"[DEFAULT] in {self._files.credentials} has {name}, which breaks the profile"
            for name in _TOKENS
            if credentials.defaults.get(name) is not None
        ]
        warnings += [f"{self._files.credentials} {odd}" for odd in credentials.oddities]

        def step(action: str, before: str | None) -> Step:
            receipt = self._receipt(place, keys, hash_access_key_id(key_id), before, tokens)
            return Step(action, facts, place, receipt, tuple(warnings))

        if section is not None:
            if all(section.get(name) == value for name, value in _key_options(keys).items()):
                return step(UPDATED if tokens else UNCHANGED, None)
            there = section.get(KEY_ID)
            if there == key_id or (there and self._wrote(place, keys, hash_access_key_id(there))):
                return step(UPDATED, None)
        in_config = config.sections.get(wish.profile)
        if in_config is not None and in_config.get(KEY_ID) == key_id:
            in_config = None
        if has_keys(section) or has_keys(in_config):
            if not take_over:
                raise self._refusal(place, section, in_config, wish)
            if has_keys(in_config):
                warnings.append(f"the keys in {self._files.config} are not used any more")
            taken = step(UPDATED if section else CREATED, "other keys")
            if not has_keys(section):
                return taken
            digest = hashlib.sha256(self._contents.credentials or b"").hexdigest()[:16]
            return taken._replace(keep_as=f"{self._files.credentials.name}.taken-over-{digest}")
        return step(UPDATED, "section") if section else step(CREATED, "nothing")

    def _refusal(
        self,
        place: Place,
        section: profiles.Section | None,
        in_config: profiles.Section | None,
        wish: Wish,
    ) -> Refused:
        known = self._receipts.get(place)
        there = (section and section.get(KEY_ID)) or (in_config and in_config.get(KEY_ID))
        if known and not known.is_for(wish.keys.stack, wish.keys.account_id):
            whose = f"the keys of stack {known.stack} of account {known.account_id}"
        elif there:
            whose = f"another access key, {mask(there)}"
        else:
            whose = f"an {SECRET_KEY} without its {KEY_ID}"
        path, then = self._files.credentials, "replaces it and keeps a copy"
        if not has_keys(section):
            path, then = self._files.config, "lets the stack's win over it"
        return Refused(
            f"profile {wish.profile} in {path} holds {whose}; --take-over {then}, "
            "--profile NAME writes another profile"
        )

    def _region(
        self, config: profiles.Document, credentials: profiles.Document, wish: Wish
    ) -> Step:
        """Options in the credentials file are looked at since botocore prefers them."""
        region = wish.keys.region
        place = Place("region", str(self._files.config), wish.profile)
        section = config.sections.get(wish.profile)
        there = (section.get("region") or config.defaults.get("region")) if section else None
        preferred = [credentials.sections.get(wish.profile), credentials.defaults]
        elsewhere = next(
            (
                found
                for found in (options.get("region") for options in preferred if options)
                if found
            ),
            None,
        )
        in_force = elsewhere or there
        if elsewhere:
            place = place._replace(path=str(self._files.credentials))
        warnings = self._stronger_options([section, config.defaults, *preferred], wish)
        warnings += [f"{self._files.config} {odd}" for odd in config.oddities]
        action, before = UNCHANGED, None
        is_passed_on = False
        if not in_force:
            action, before = (UPDATED, "section") if section else (CREATED, "nothing")
        elif in_force == region:
            earlier = self._receipts.get(place)
            is_passed_on = (
                earlier is not None
                and not earlier.is_for(wish.keys.stack, wish.keys.account_id)
                and region in earlier.own
            )
        elif not elsewhere and self._wrote(place, wish.keys, in_force):
            action = UPDATED
        else:
            warnings.append(
                f"profile {wish.profile} has region {in_force}, left as it is; the stack is in "
                f"{region}"
            )
            region = in_force
        receipt = None
        if action != UNCHANGED or is_passed_on:
            receipt = self._receipt(place, wish.keys, region, before)
        kind = profiles.CREDENTIALS if elsewhere else profiles.CONFIG
        facts = {"section": kind.header(wish.profile), "region": region}
        return Step(action, facts, place, receipt, tuple(warnings))

    def _stronger_options(
        self, sections: Iterable[profiles.Section | None], wish: Wish
    ) -> list[str]:
        options = {name for section in sections if section for name in section.options}
        before = [name for name in _BEFORE_KEYS if name in options]
        behind = [name for name in _BEHIND_KEYS if name in options]
        return [
            *(
                f"profile {wish.profile} has {n}, which wins over its keys or breaks it"
                for n in before
            ),
            *(f"profile {wish.profile} has {n}, which is not used beside keys" for n in behind),
        ]

    def _wrote(self, place: Place, keys: StackKeys, what: str) -> bool:
        """Whether ``what`` is there because sync wrote it for this very stack."""
        receipt = self._receipts.get(place)
        return (
            receipt is not None
            and receipt.is_for(keys.stack, keys.account_id)
            and what in receipt.wrote
        )

    def _receipt(
        self,
        place: Place,
        keys: StackKeys,
        what: str,
        before: str | None,
        dropped: tuple[str, ...] = (),
    ) -> Receipt:
        """A receipt for ``what``; ``before`` is None where the place holds what is this stack's."""
        earlier = self._receipts.get(place)
        if earlier is None:
            return Receipt(keys.stack, keys.account_id, (what,), before or "the same", dropped)
        dropped = tuple(dict.fromkeys(earlier.dropped + dropped))
        if not earlier.is_for(keys.stack, keys.account_id):
            if before is None and what not in earlier.own:
                before = "the same"
            elif before is None:  # sync wrote it, for a stack whose place this was
                before = "section" if earlier.before == "the same" else earlier.before
            return Receipt(keys.stack, keys.account_id, (what,), before, dropped)
        # What sync came upon is no part of its own, once something else stood there.
        wrote = earlier.own if before else earlier.wrote
        return Receipt(
            keys.stack,
            keys.account_id,
            (*(item for item in wrote if item != what), what),
            before or earlier.before,
            dropped,
        )


def mask(access_key_id: str) -> str:
    """As much of an access key's id as is shown: the last four characters, as in AWS's console.

    Of what is too short for one, which somebody put there, at most half.
    """
    hidden = max(len(access_key_id) - 4, (len(access_key_id) + 1) // 2)
    return f"...{access_key_id[hidden:]}"


def parse(
    path: Path, data: bytes | None, kind: profiles.FileKind, names: Iterable[str]
) -> profiles.Document:
    """The profiles ``names`` of the file at ``path``, which holds ``data``. Raises `Unreadable`."""
    try:
        return profiles.Document(data or b"", kind, names)
    except profiles.Malformed as error:
        raise Unreadable(
            f"{path}, {error}; boto3 and the AWS CLI do not read it as one would expect, so "
            "mend it first"
        ) from None


def key_file(private_key: Secret) -> bytes:
    """The content of a key file: without its one newline at the end, ssh refuses the key."""
    return private_key.reveal().rstrip("\n").encode() + b"\n"


def aside_name(data: bytes, stack: str) -> str:
    """Where a replaced key file is kept: running machines may know only that key.

    Named by the first 16 hex digits of the SHA-256 of the public key, or of the file where that
    cannot be read from it.
    """
    key = parse_private_key(data)
    return _aside(stack, key.public_key.digest if key else hashlib.sha256(data).digest())


def is_kept_as(name: str, wanted: str) -> bool:
    """Whether `PrivateFile.keep_aside`, asked for ``wanted``, may have made a file ``name``."""
    stem = wanted.removesuffix(".pem")
    number = name.removeprefix(f"{stem}-").removesuffix(".pem")
    return name == wanted or (name == f"{stem}-{number}.pem" and number.isdecimal())


def first_copy(path: Path) -> Path:
    """Where what the file at ``path`` held before its first change is kept."""
    return path.with_name(f"{path.name}.before-aws-keys")


def last_copy(path: Path) -> Path:
    """Where what it held before its last change is kept."""
    return path.with_name(f"{path.name}.aws-keys.bak")


def _aside(stack: str, digest: bytes) -> str:
    return f"{stack}.{digest.hex()[:16]}.pem"


def _key_options(keys: StackKeys) -> dict[str, str]:
    return {KEY_ID: keys.access_key_id.reveal(), SECRET_KEY: keys.secret_access_key.reveal()}


def _tokens(section: profiles.Section | None) -> tuple[str, ...]:
    """The session tokens in ``section``: left there, they make AWS refuse the keys beside them."""
    return tuple(name for name in _TOKENS if section and section.get(name) is not None)


def has_keys(section: profiles.Section | None) -> bool:
    """Whether any part of an access key is in ``section``; an empty value is none."""
    return section is not None and bool(section.get(KEY_ID) or section.get(SECRET_KEY))
