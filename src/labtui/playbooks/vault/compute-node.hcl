# What vault-agent may on a compute node: read the secrets that it renders, and nothing else.
# labtui makes one such block for each of [vault.secrets], with its own MOUNT and PATH. To renew
# and to look up its own token Vault's policy `default` is enough. No listing, no metadata, no `*`.

path "MOUNT/data/PATH" {
  capabilities = ["read"]
}
