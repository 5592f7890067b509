"""What the lab puts into its Vault, on a real server on loopback."""

from __future__ import annotations

from pathlib import Path

from labtui.lab import vault_setup
from vaultset import VaultSet, vault_set


def read(server: VaultSet, path: str) -> dict[str, str]:
    answer = server.client().secrets.kv.v2.read_secret_version(
        path, mount_point="secret", raise_on_deleted_version=True
    )
    found: dict[str, str] = answer["data"]["data"]
    return found


def test_each_secret_has_the_field_of_the_guide_and_an_earlier_labs_keeps_its_own(
    tmp_path: Path,
) -> None:
    with vault_set(tmp_path, unseal=True) as server:
        vault_setup.fill(server.client())
        assert set(read(server, "ngc")) == {"api_key"}
        assert set(read(server, "huggingface")) == {"token"}
        before = read(server, "ngc"), read(server, "huggingface")
        vault_setup.fill(server.client())
        assert (read(server, "ngc"), read(server, "huggingface")) == before

        server.client().secrets.kv.v2.create_or_update_secret(
            "huggingface", {"api_key": "hf_old"}, mount_point="secret"
        )
        vault_setup.fill(server.client())
        assert read(server, "huggingface") == {"api_key": "hf_old", "token": "hf_old"}
