# What an operator's token needs for labtui's actions, so that nobody works with the root token.
# vault policy write labtui-operator operator.hcl && vault token create -policy=labtui-operator -ttl=8h
# Leave out what somebody shall not do. Put your own mount in the place of `secret`.

# rotate, roll back
path "secret/data/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/*" { capabilities = ["read", "list"] }

# seal; audit devices; how many tokens there are
path "sys/seal" { capabilities = ["update", "sudo"] }
path "sys/audit" { capabilities = ["read", "sudo"] }
path "sys/audit/*" { capabilities = ["create", "update", "delete", "sudo"] }
path "auth/token/accessors" { capabilities = ["list", "sudo"] }
path "auth/token/accessors/" { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["create", "update"] }

# set up: the engine, AppRole, the agents' policy and role
path "sys/mounts" { capabilities = ["read"] }
path "sys/mounts/secret" { capabilities = ["create", "update"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/auth/approle" { capabilities = ["create", "update", "sudo"] }
path "sys/policy" { capabilities = ["read", "list"] }
path "sys/policy/compute-node" { capabilities = ["create", "read", "update"] }
path "auth/approle/role/compute-node" { capabilities = ["create", "read", "update"] }

# agents: role-id, and for each node a secret-id, wrapped; old ones are destroyed
path "auth/approle/role/compute-node/role-id" { capabilities = ["read"] }
path "auth/approle/role/compute-node/secret-id" { capabilities = ["create", "update", "list"] }
path "auth/approle/role/compute-node/secret-id-accessor/*" { capabilities = ["create", "update"] }

# snapshots; who may restore one may put any policy back
path "sys/storage/raft/snapshot" { capabilities = ["read", "create", "update"] }
path "sys/storage/raft/snapshot-force" { capabilities = ["create", "update"] }
