# What vault-agent may on a compute node: read what it renders, nothing else.
# To renew and look up its own token Vault's policy `default` is enough.

# labtui makes one such block for each of [vault.secrets], with its own MOUNT and PATH: no `*`, no
# listing, no metadata.
path "MOUNT/data/PATH" {
  capabilities = ["read"]
}
