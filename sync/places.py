"""Where a home directory has what sync writes, and the files there that all stacks share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sync.plan import Files
from sync.private_file import FileError, PrivateFile, put_back
from sync.receipts import Receipts, ReceiptsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Places(NamedTuple):
    """Where everything is."""

    files: Files
    pem_directory: Path
    state_directory: Path
    pem_directory_is_ours: bool
    """Whether it is ``~/.pem``, whose mode is sync's business, and not one that was named."""

    @classmethod
    def find(cls, pem_directory: str | None) -> Places:
        """The places that the environment names, and the usual ones otherwise.

        The rules are those of AWS ("Location of the shared config and credentials files", AWS
        SDKs and Tools Reference Guide) and of the XDG Base Directory Specification. A variable in
        the path of a file and a leading ``~`` are expanded, as botocore does. Raises `FileError`
        where that leads nowhere.
        """
        state = os.environ.get("XDG_STATE_HOME", "")
        return cls(
            Files(
                _absolute(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"),
                _absolute(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"),
            ),
            _absolute(pem_directory or "~/.pem"),
            _absolute(state if state.startswith("/") else "~/.local/state") / "aws-keys",
            pem_directory_is_ours=pem_directory is None,
        )

    def private_key(self, stack: str) -> Path:
        """The key file of ``stack``."""
        return self.pem_directory / f"{stack}.pem"

    def put_back(self, private_keys: Iterable[Path]) -> None:
        """Put back what a removal that was killed has moved aside, before anything is read."""
        for path in (*self.files, *private_keys):
            real = Path(os.path.realpath(path))
            for directory, stem in {(path.parent, path.stem), (real.parent, real.stem)}:
                put_back(directory, f"{stem}.")


def _absolute(path: str) -> Path:
    expanded = Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111  pathlib's raises
    if expanded.parts[:1] and expanded.parts[0].startswith("~"):
        raise FileError(Path(path), "there is no such home directory")
    try:
        return expanded if expanded.is_absolute() else Path.cwd() / expanded
    except OSError:
        raise FileError(Path(path), "the current directory is gone") from None


@contextlib.contextmanager
def opener() -> Iterator[Callable[[Path], PrivateFile]]:
    """What opens a file; at the end all are closed."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(PrivateFile(path))


class SharedFiles:
    """The files that all stacks share, opened. Raises `FileError`."""

    def __init__(self, places: Places, open_file: Callable[[Path], PrivateFile]) -> None:
        files = places.files
        if os.path.realpath(files.credentials) == os.path.realpath(files.config):
            raise FileError(files.config, "is the credentials file too; it must be another")
        self._receipts_file = open_file(places.state_directory / "receipts.json")
        try:
            self.receipts = Receipts.load(self._receipts_file.data)
        except ReceiptsError as error:
            raise FileError(self._receipts_file.path, str(error)) from None
        self.credentials, self.config = open_file(files.credentials), open_file(files.config)

    def clear_leftovers(self) -> None:
        """Remove what a sync that died has left beside them."""
        for file in (self._receipts_file, self.config, self.credentials):
            file.clear_leftovers()

    def write_receipts(self, receipts: Receipts) -> None:
        """Replace the receipts, where they differ. Raises `FileError`."""
        if receipts != self.receipts:
            self._receipts_file.stage(lambda _: receipts.dump())
            self._receipts_file.commit()
            self.receipts = receipts
