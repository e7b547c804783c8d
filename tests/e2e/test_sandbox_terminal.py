"""A sandbox on a terminal: the shell, and what Ctrl-C does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.said = ""
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.chdir(CHECKOUT)
            os.execve(command[0], command, {**os.environ, **environment})  # noqa: S606 - ours

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def expect(self, text: str, within: float = 60) -> None:
        deadline = time.monotonic() + within
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            self._read()

    def status(self) -> int:
        while self._read():
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])

    def _read(self) -> bool:
        try:
            read = os.read(self._terminal, 4096)
        except OSError:  # what the end of a terminal is on Linux
            return False
        self.said += read.decode(errors="replace")
        return bool(read)


SANDBOX = (sys.executable, "-m", "sandbox")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_the_shell_greets_and_its_prompt_tells_where_one_is(shell: str) -> None:
    terminal = Terminal(*SANDBOX, "shell", SHELL=shell)
    terminal.expect("pulumi up --stack test")
    terminal.expect("(sandbox) ")
    terminal.type('echo "in:$HOME"; exit 5\n')
    assert terminal.status() == 5
    assert "in:/" in terminal.said
    assert f"in:{os.environ['HOME']}\r\n" not in terminal.said


def test_the_shell_takes_commands_from_a_pipe() -> None:
    ran = subprocess.run(
        [*SANDBOX, "shell"],
        cwd=CHECKOUT,
        env={**os.environ, "SHELL": "/bin/sh"},
        input="pulumi stack ls --json; exit 6\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (6, "[]\n")


CHILD = """\
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted "))
os.write(1, b"ready ")
time.sleep(1)
sys.exit(9)
"""


def test_ctrl_c_reaches_the_command_once_and_the_sandbox_waits_for_it() -> None:
    terminal = Terminal(*SANDBOX, "run", "--", "python", "-c", CHILD)
    terminal.expect("ready")
    terminal.type("\x03")
    assert terminal.status() == 9, terminal.said
    assert terminal.said.count("interrupted") == 1
    assert "Traceback" not in terminal.said


def test_ctrl_c_before_the_command_has_started_ends_quietly(tmp_path: Path) -> None:
    slow = tmp_path / "go"
    slow.write_text("#!/bin/sh\n[ $1 = env ] && echo go1.99.0 || exec sleep 60\n")
    slow.chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/sleep")
    terminal = Terminal(
        *SANDBOX, "run", "--", "true", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    terminal.expect("building the Pulumi engine")
    terminal.type("\x03")
    assert terminal.status() == 130
    assert "Traceback" not in terminal.said
