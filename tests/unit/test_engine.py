"""Finding and building the engine, with a Go that only pretends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.engine import build, pinned
from sandbox.engine.find import find
from sandbox.errors import SandboxError

CHECKOUT = Path(__file__).resolve().parents[2]

GO = """\
#!/bin/sh
echo "$* GOFLAGS=$GOFLAGS GOWORK=$GOWORK" >> "{log}"
case "$1" in
  env) echo {version} ;;
  list) echo "{sources}" ;;
  build)
    {build}
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho v{engine}\\n' > "$2"
    chmod 755 "$2" ;;
esac
"""


class Machine:
    """A machine with nothing but what a test puts on PATH, and a cache."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = root / "bin"
        self.log = root / "go.log"
        self.cache = root / "cache"
        self._sources = root / "sdk"
        self.bin.mkdir()
        self.log.touch()
        (self._sources / "python" / "cmd").mkdir(parents=True)
        (self._sources / "python" / "cmd" / "pulumi-language-python-exec").write_text("# python")
        for tool in ("chmod", "sleep"):  # what the Go below needs, and no Go or Pulumi beside it
            (self.bin / tool).symlink_to(shutil.which(tool) or "")
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def pulumi(self, version: str) -> None:
        self.program("pulumi", f"#!/bin/sh\necho {version}\n")
        self.program("pulumi-language-python", "#!/bin/sh\n")

    def go(self, version: str = "go1.99.0", build: str = ":") -> None:
        self.program(
            "go",
            GO.format(
                log=self.log,
                version=version,
                sources=self._sources,
                build=build,
                engine=pinned.engine_version(),
            ),
        )

    def builds(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith("build")]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("version", ["v3.259.0", "v3.1000.0", "v4.0.0", "v3.272.1-alpha.7"])
def test_a_recent_enough_pulumi_on_path_is_used(machine: Machine, version: str) -> None:
    machine.pulumi(version)
    assert find() == machine.bin
    assert build.ensure() == machine.bin


@pytest.mark.parametrize("version", ["v3.258.9", "v3.78.1", "v2.1000.0", "no version at all"])
def test_an_older_pulumi_on_path_is_not(machine: Machine, version: str) -> None:
    machine.pulumi(version)
    assert find() is None


def test_nor_one_that_only_works_in_its_owners_home(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(machine.bin))
    machine.pulumi('"$(test -e "$HOME/pulumi" && echo v3.300.0)"')
    assert find() is None


def test_nor_one_without_its_host_for_python(machine: Machine) -> None:
    machine.pulumi("v3.300.0")
    (machine.bin / "pulumi-language-python").unlink()
    assert find() is None


def test_without_pulumi_the_engine_is_built_once(machine: Machine) -> None:
    machine.go()
    engine = build.ensure()
    assert engine.parent == machine.cache / "aws-keys"
    assert sorted(path.name for path in engine.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
    assert all(os.access(path, os.X_OK) for path in engine.iterdir())
    assert build.ensure() == find() == engine
    assert len(machine.builds()) == 2  # the CLI and its host, each one time


def test_what_is_built_is_the_pinned_version_held_to_go_sum(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOWORK", "/somewhere/go.work")
    machine.go()
    assert pinned.engine_version() in build.ensure().name
    for line in machine.builds():
        assert line.endswith("GOFLAGS=-mod=readonly GOWORK=off")
        assert f"/version.Version={pinned.engine_version()}" in line


def test_other_checksums_are_another_engine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.go()
    first = build.ensure()
    module = tmp_path / "cli"
    module.mkdir()
    (module / "go.mod").write_bytes((pinned.CLI / "go.mod").read_bytes())
    (module / "go.sum").write_text("another\n")
    monkeypatch.setattr(pinned, "CLI", module)
    assert build.ensure() != first


@pytest.mark.parametrize("go", [None, "go1.19.8", "nonsense"])
def test_neither_pulumi_nor_go_is_one_line_that_says_how_to_get_either(
    machine: Machine, go: str | None
) -> None:
    if go:
        machine.go(version=go)
    with pytest.raises(SandboxError) as raised:
        build.ensure()
    text = str(raised.value)
    assert "\n" not in text
    assert "https://www.pulumi.com/docs/install/" in text
    assert f"Go {pinned.go_version()} or later" in text
    assert "https://go.dev/doc/install" in text


def test_a_build_that_fails_says_why_and_leaves_nothing(machine: Machine) -> None:
    machine.go(build='echo "checking"; echo "verifying module: checksum mismatch"; exit 1')
    with pytest.raises(SandboxError, match=r"verifying module: checksum mismatch$"):
        build.ensure()
    assert [path.suffix for path in (machine.cache / "aws-keys").iterdir()] == [".lock"]
    assert find() is None


def test_what_a_killed_build_left_is_neither_used_nor_kept(machine: Machine) -> None:
    machine.go()
    leftover = pinned.cache().with_name(f"{pinned.cache().name}.abc.tmp")
    leftover.mkdir(parents=True)
    (leftover / "pulumi").touch()
    assert find() is None
    build.ensure()
    assert not leftover.exists()


def test_two_that_start_together_build_once_and_both_get_it(machine: Machine) -> None:
    machine.go(build="sleep 0.5")
    ask = "from sandbox.engine import build; print(build.ensure())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ask],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate() for process in both]
    assert [out.strip() for out, _ in answers] == [str(pinned.cache())] * 2
    assert len(machine.builds()) == 2  # not four
    assert sum("waiting for another build" in said for _, said in answers) == 1


def test_a_build_ended_by_a_signal_takes_go_with_it_and_leaves_nothing(machine: Machine) -> None:
    pid = machine.bin / "pid"
    machine.go(build=f'echo $$ > "{pid}"; exec sleep 60')
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "engine"], cwd=CHECKOUT, stderr=subprocess.DEVNULL
    ) as building:
        while not (pid.exists() and pid.read_text()):
            assert building.poll() is None
            time.sleep(0.02)
        building.terminate()
        assert building.wait(timeout=30) == 128 + 15
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert [path.suffix for path in (machine.cache / "aws-keys").iterdir()] == [".lock"]


def test_progress_is_plain_lines_in_a_pipe(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.go()
    build.ensure()
    said = capsys.readouterr().err
    assert said.splitlines()[0].startswith("building the Pulumi engine")
    assert "\r" not in said


def test_progress_is_seconds_on_a_terminal(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    machine.go(build="sleep 1.3")
    build.ensure()
    line = capsys.readouterr().err.partition("\n")[0]
    assert re.fullmatch(r"(\rbuilding the Pulumi engine .* \.\.\. \d s){2,}", line)
