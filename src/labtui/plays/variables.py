"""What playbooks are told of the configuration. With plain ansible-playbook they are given as
variables of the same names; docs/playbooks.md lists them."""

from __future__ import annotations

from typing import Any

from labtui.config import Config


def variables(config: Config) -> dict[str, Any]:
    """Nothing secret is among them."""
    vault = config.vault
    found: dict[str, Any] = {
        "vault_addresses": list(vault.nodes.values()),
        "vault_ca_file": vault.ca_file,
        "vault_role": vault.role,
        "vault_secrets": [
            {
                "name": name,
                "path": secret.path,
                "field": secret.field,
                "file": secret.file or f"/run/secrets/{name}",
                "env": list(secret.env),
                "registry": secret.registry,
            }
            for name, secret in vault.secrets.items()
        ],
    }
    if vault.agent_binary:
        found["vault_binary"] = vault.agent_binary
    return found
