"""Commands on a Vault that cannot be reached: exit status 3, before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from labtui.cli import main

CONFIG = """
[nodes.here]
transport = "local"
[vault]
timeout_s = 1.0
[vault.nodes]
one = "https://127.0.0.1:9"
[vault.secrets.ngc]
path = "secret/ngc"
"""
COMMANDS = (
    "status", "reset one --yes", "seal one --confirm one", "setup --show", "setup --yes",
    "token", "token --revoke --yes", "audit-devices", "audit-devices --enable stdout --yes",
    "rekey one", "rekey one --cancel --yes", "generate-root one", "generate-root one --cancel",
    "revoke-root one --yes", "snapshot . --yes", "restore a.snap --confirm one",
    "init one --shares 1 --threshold 1 --pgp a --root-pgp a --yes", "rotate ngc --yes",
    "rollback ngc --yes",
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_it_ends_with_3_and_says_why(words: str, tmp_path: Path) -> None:
    config = tmp_path / "labtui.toml"
    config.write_text(CONFIG)
    argv = ["--config", str(config), "vault", *words.split(), "--json"]
    done = CliRunner().invoke(main, argv)
    assert done.exit_code == 3, done.output
    told = json.loads(done.stdout)
    if told["schema"] == "labtui/outcome/1":
        assert told["outcome"] == "refused" and "connection refused" in told["message"]
    elif words != "status":
        assert told["errors"][0]["kind"] == "refused"


def test_unseal_too(tmp_path: Path) -> None:
    config = tmp_path / "labtui.toml"
    config.write_text(CONFIG)
    done = CliRunner().invoke(main, ["--config", str(config), "vault", "unseal", "one"])
    assert done.exit_code == 3 and "connection refused" in done.stderr
