"""The copy of the project: what does not travel into a sandbox, and that all else does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from sandbox.errors import SandboxError
from sandbox.project import copy_project, stripped

USED = """\
secretsprovider: awskms://alias/pulumi?region=eu-central-1
encryptedkey: AQICAHh
encryptionsalt: v1:abc=:v1:def:ghi
config:
  aws:region: eu-central-1
  aws:profile: work
  aws:allowedAccountIds:
    - "999999999999"
  aws-keys:protect: yes
  aws-keys:rsaBits: 0x1000
  aws-keys:tags:
    cost-center: "0042"
    since: 2012-10-17
  aws-keys:userName:
    secure: v1:xyz:uvw
  aws-keys:policy:
    Statement:
      - Resource:
          secure: v1:rst:opq
"""


def test_nothing_of_the_user_is_left_in_a_stacks_settings() -> None:
    text = stripped(USED)
    for word in ("secretsprovider", "encryptedkey", "encryptionsalt", "aws:", "secure", "v1:"):
        assert word not in text


def test_the_rest_stays_as_it_is_written() -> None:
    lines = [line.strip() for line in stripped(USED).splitlines()]
    assert lines == [
        "config:",
        "aws-keys:protect: yes",
        "aws-keys:rsaBits: 0x1000",
        "aws-keys:tags:",
        'cost-center: "0042"',
        "since: 2012-10-17",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[]\n", "config:\n", "config: 1\n"])
def test_settings_without_any_are_no_problem(text: str) -> None:
    assert yaml.safe_load(stripped(text)) == yaml.safe_load(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name in (".git/config", ".venv/bin/python", "sync/__pycache__/cli.pyc", ".env"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("stays")
    (root / "sync" / "cli.py").write_text("goes")
    (root / "Pulumi.yaml").write_text("config:\n  aws:region:\n    value: us-west-2\n")
    (root / "Pulumi.test.yaml").write_text(USED)
    return root


def test_the_copy_has_the_project_and_no_hidden_files(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_project(copy, checkout)
    names = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith(".venv")] == [
        "Pulumi.test.yaml",
        "Pulumi.yaml",
        "sync/cli.py",
    ]


def test_the_projects_own_region_stays(checkout: Path, tmp_path: Path) -> None:
    copy_project(tmp_path / "copy", checkout)
    assert "us-west-2" in (tmp_path / "copy" / "Pulumi.yaml").read_text()


def test_the_checkout_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    copy_project(tmp_path / "copy", checkout)
    assert (checkout / "Pulumi.test.yaml").read_text() == USED


def test_the_virtual_environment_is_the_one_that_runs_this(checkout: Path, tmp_path: Path) -> None:
    copy_project(tmp_path / "copy", checkout)
    assert (tmp_path / "copy" / ".venv").readlink() == Path(sys.prefix)


def test_settings_that_are_not_yaml_are_named(checkout: Path, tmp_path: Path) -> None:
    (checkout / "Pulumi.test.yaml").write_text("config: [\n")
    with pytest.raises(SandboxError, match=r"checkout/Pulumi\.test\.yaml is not YAML") as raised:
        copy_project(tmp_path / "copy", checkout)
    assert "\n" not in str(raised.value)
