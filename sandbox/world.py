"""One sandbox: its directory, its environment, and how to run something in it."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.emulator import Emulator, emulator
from sandbox.engine import build
from sandbox.errors import SandboxError
from sandbox.plugins.install import install
from sandbox.project import copy_project

if TYPE_CHECKING:
    from collections.abc import Iterator

# All that comes in from outside: terminal, language and time. A list of what to keep out would
# never be complete (AWS_*, PULUMI_*, XDG_*, proxies, PYTHON*, ...).
_LET_IN = ("COLUMNS", "LANG", "LINES", "NO_COLOR", "SHELL", "TERM", "COLORTERM", "TZ", "USER")


@dataclass(frozen=True)
class World:
    """A sandbox that is up.

    `root` holds everything and is its owner's only. `environment` is all a command in the sandbox
    gets to see, the AWS administrator's keys and the passphrase of the stacks among it.
    """

    root: Path
    project: Path
    environment: dict[str, str] = field(repr=False)

    @property
    def home(self) -> Path:
        """The home directory of commands run in this world."""
        return Path(self.environment["HOME"])

    def with_home(self, name: str) -> World:
        """Return this world seen from another, empty home directory."""
        home = self.root / "homes" / name
        home.mkdir(parents=True, mode=0o700)
        return replace(self, environment={**self.environment, "HOME": str(home)})

    def run(
        self, *command: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's copy and return its output.

        `environment` is added to the world's. Raises `CalledProcessError` when the command
        fails, unless `check` is false.
        """
        return subprocess.run(
            command,
            cwd=self.project,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=check,
        )

    def deploy(self, stack: str) -> None:
        """Make a stack and what it holds. Raises `CalledProcessError` as `run` does."""
        self.run("pulumi", "stack", "init", stack, "--no-select")
        self.run("pulumi", "up", "--stack", stack, "--yes", "--skip-preview")


@contextmanager
def sandbox(keep: Path | None = None) -> Iterator[World]:
    """Make a world, and remove it when the block ends, or leave its files in `keep`.

    Raises `SandboxError` when `keep` is there and not empty, when there is neither an engine nor
    the means to build one, or when the emulator does not start.
    """
    engine = build.ensure()
    with _root(keep) as root, emulator(root) as aws:
        world = World(root, root / "project", _environment(root, engine, aws))
        _plugins(root / "pulumi" / "plugins")
        copy_project(world.project)
        if keep:
            _write_environment(world)
        yield world


@contextmanager
def _root(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        root = Path(tempfile.mkdtemp(prefix="aws-keys-sandbox-"))
    else:
        root = keep.absolute()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise SandboxError(f"{keep} is not empty: keep a sandbox in a directory of its own")
            root.chmod(0o700)
        except OSError as error:
            raise SandboxError(f"cannot keep the sandbox in {keep}: {error.strerror}") from None
    try:
        for name in ("home", "pulumi", "state", "tmp"):
            (root / name).mkdir(mode=0o700)
        yield root
    finally:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


def _environment(root: Path, engine: Path, aws: Emulator) -> dict[str, str]:
    path = [str(Path(sys.prefix) / "bin"), str(engine), os.environ.get("PATH", os.defpath)]
    return {
        **{name: os.environ[name] for name in os.environ if _comes_in(name)},
        # Python first: the engine's Python host takes the first `python3` it finds.
        "PATH": os.pathsep.join(path),
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "PULUMI_HOME": str(root / "pulumi"),
        # Without the files of attributes beside the state: the engine writes them in place, and one
        # that is killed meanwhile leaves a state that cannot be read.
        "PULUMI_BACKEND_URL": f"file://{root / 'state'}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(24),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # the engine's Python host runs pip
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _comes_in(name: str) -> bool:
    return name in _LET_IN or name.startswith("LC_")


def _plugins(target: Path) -> None:
    """Fill `target` with the stand-ins, or make it a link to the plugins the user names."""
    given = os.environ.get("SANDBOX_PLUGINS")
    if not given:
        install(target)
    elif Path(given).is_dir():
        target.symlink_to(Path(given).absolute())
    else:
        raise SandboxError(f"SANDBOX_PLUGINS is {given}, which is not a directory")


def _write_environment(world: World) -> None:
    """Leave the way back into a world that is kept, for its owner only."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in world.environment.items()]
    with os.fdopen(os.open(world.root / "environment", os.O_CREAT | os.O_WRONLY, 0o600), "w") as to:
        to.writelines(lines)
