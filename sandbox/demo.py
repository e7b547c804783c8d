"""The tour: four environments from nothing to keys in use, and back to nothing."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.project import STACKS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Sequence

    from sandbox.world import World

PROTECTED = "production"
UPDATE = "pulumi up --yes --skip-preview --stack"

_BOLD, _GREEN, _PLAIN = "\033[1m", "\033[32m", "\033[0m"


def play(world: World) -> None:
    """Play the tour in `world`, on stdout.

    Raises `SandboxError`, which names the command, when a step does not do what the tour says.
    """
    start = time.monotonic()
    tour = _Tour(world)
    for step in (_deploy, _sync, _look, _call, _status, _rotate, _remove, _sync_again, _destroy):
        step(tour)
    tour.heading(f"That was the tour, in {time.monotonic() - start:.0f} seconds.")


def _deploy(tour: _Tour) -> None:
    tour.heading("Deploy: for each environment a key pair, a user and an access key")
    make = "pulumi stack init --no-select"

    def deploy(stack: str) -> str:
        tour.quietly(f"{make} {stack}")
        return _summary(tour.quietly(f"{UPDATE} {stack}"))

    tour.show(f"{make} STACK && {UPDATE} STACK")
    tour.each(deploy, STACKS)


def _sync(tour: _Tour) -> None:
    tour.heading("Sync: write the keys to the files that ssh, the AWS CLI and the SDKs read")
    tour.command("python", "-m", "sync", "--all")


def _look(tour: _Tour) -> None:
    tour.heading("Look: what is in the home directory now")
    for folder in (".pem", ".aws"):
        for path in sorted((tour.world.home / folder).iterdir()):
            mode = stat.filemode(path.lstat().st_mode)
            tour.say(f"{mode}  ~/{path.relative_to(tour.world.home)}")
    profiles = configparser.RawConfigParser()
    profiles.read(tour.world.home / ".aws" / "credentials")
    tour.say(f"profiles: {', '.join(profiles.sections())}")


def _call(tour: _Tour) -> None:
    tour.heading("Use: call AWS with a new profile. FullAccess is full access to oneself, no more")
    session = f'import boto3; session = boto3.Session(profile_name="{PROTECTED}")'
    me = 'print(session.client("iam").get_user()["User"]["Arn"])'
    tour.command("python", "-c", f"{session}; {me}")
    others = 'session.client("ec2").describe_instances()'
    tour.refused("AccessDenied", "python", "-c", f"{session}; {others}")


def _status(tour: _Tour) -> None:
    tour.heading("Status: what is on this machine and at AWS, and how old the keys are")
    tour.command("python", "-m", "sync", "status", PROTECTED)


def _rotate(tour: _Tour) -> None:
    tour.heading("Rotate: a new access key, without a moment at which the profile does not work")
    rotate = ("python", "-m", "sync", "rotate", PROTECTED)
    tour.command(*rotate)
    tour.refused("too early", *rotate, "--retire")
    tour.command(*rotate, "--retire", "--force")
    tour.command(*rotate, "--finish")


def _remove(tour: _Tour) -> None:
    tour.heading("Remove: take away what sync wrote for a stack, and put it there again")
    tour.command("python", "-m", "sync", "remove", "test", "--yes")
    tour.command("python", "-m", "sync", "test", "--verify")


def _sync_again(tour: _Tour) -> None:
    tour.heading("Sync again: there is nothing to do, and it says so to scripts")
    tour.command("python", "-m", "sync", "--all", "--check")


def _destroy(tour: _Tour) -> None:
    tour.heading(f"Destroy: refused for {PROTECTED}, which is protected, until it is not any more")
    unprotect = "pulumi config set protect false --stack"
    destroy = "pulumi destroy --yes --skip-preview --stack"
    tour.refused("cannot be deleted", *destroy.split(), PROTECTED)

    def remove(stack: str) -> str:
        if stack == PROTECTED:
            tour.quietly(f"{unprotect} {stack}")
            tour.quietly(f"{UPDATE} {stack}")
        return _summary(tour.quietly(f"{destroy} {stack}"))

    tour.show(f"{unprotect} {PROTECTED} && {UPDATE} {PROTECTED}")
    tour.show(f"{destroy} STACK")
    tour.each(remove, STACKS)
    tour.heading("What is left in AWS, asked by its administrator")
    pairs = 'len(boto3.client("ec2", "us-west-2").describe_key_pairs()["KeyPairs"])'
    users = '[user["UserName"] for user in boto3.client("iam", "us-west-2").list_users()["Users"]]'
    tour.command("python", "-c", f'import boto3; print({pairs}, "key pairs; users:", *{users})')


def _summary(output: str) -> str:
    """Return what Pulumi says of the resources at the end, such as `8 created`."""
    _, _, end = output.rpartition("Resources:")
    return ", ".join(re.findall(r"\d+ \w+", end.partition("Duration:")[0]))


class _Tour:
    """What a step does: it shows a command as one would type it, and runs it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._steps = 0

    def heading(self, text: str) -> None:
        self._steps += 1
        self._print(text, _BOLD, before="\n" if self._steps > 1 else "")

    def show(self, command: str) -> None:
        self._print(f"  $ {command}", _GREEN)

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._print(f"    {line}")

    def each(self, work: Callable[[str], str], stacks: Iterable[str]) -> None:
        """Do something for several stacks, two at a time, and say of each how it went."""

        def timed(stack: str) -> None:
            start = time.monotonic()
            result = work(stack)
            self._print(f"    {stack:<12} {result} in {time.monotonic() - start:.1f} s")

        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(timed, stacks))

    def quietly(self, command: str) -> str:
        """Run a command without a word and return its output."""
        return self._run(command.split()).stdout

    def command(self, *command: str) -> None:
        """Show a command and run it, output and all."""
        self.show(shlex.join(command))
        finished = self._run(command)
        self.say(finished.stdout + finished.stderr)

    def refused(self, reason: str, *command: str) -> None:
        """Show a command and run it. It fails, and says why on a line with `reason` in it."""
        self.show(shlex.join(command))
        finished = self._run(command, succeeds=False)
        lines = (finished.stdout + finished.stderr).splitlines()
        told = [line.strip() for line in lines if reason in line]
        if not told:
            raise SandboxError(f"{shlex.join(command)} failed, but not with {reason}")
        self.say(told[-1])

    def _run(
        self, command: Sequence[str], *, succeeds: bool = True
    ) -> subprocess.CompletedProcess[str]:
        finished = self.world.run(*command, check=False)
        if (finished.returncode == 0) != succeeds:
            outcome = "failed" if succeeds else "was not refused"
            said = (finished.stdout + finished.stderr).strip().splitlines() or ["no output"]
            reason = next((line for line in said if "error: " in line), said[-1])
            raise SandboxError(f"{shlex.join(command)} {outcome}: {reason.strip()}")
        return finished

    def _print(self, text: str, style: str = "", before: str = "") -> None:
        if self._colour and style:
            text = f"{style}{text}{_PLAIN}"
        print(f"{before}{text}", flush=True)
