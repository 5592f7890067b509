"""Each operation of the keyholder, in this process, on real servers of one and of three peers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hvac.exceptions import VaultError
from msgspec.structs import replace

from labtui.actions.vault.wanted import wanted
from labtui.config import Config, NodeConfig, SecretConfig, VaultConfig
from labtui.keyholder.operation import Door, Refused
from labtui.keyholder.operations import audit, operation, secret, setup, token
from labtui.sources.base import SourceError
from standin import answer, certificate, hang, reset, standing_in
from vaultset import VaultSet, vault_set

SALT = "5a" * 32
VALUE = "nvapi-the-value-that-nobody-may-see"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultSet]:
    with vault_set(tmp_path_factory.mktemp("one"), "truenas", unseal=True) as servers:
        client = servers.client()
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        client.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
        ready(client)
        yield servers


def ready(client: Any) -> None:
    """The engine is upgraded for a moment after it was enabled."""
    deadline = time.monotonic() + 20
    while True:
        try:
            client.secrets.kv.v2.create_or_update_secret("ready", {"a": "b"})
            return
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def door(servers: VaultSet, node: str = "") -> Door:
    node = node or servers.first
    return Door(node, servers.urls[node], servers.ca, timeout=5.0)


def call(at: Door, id: str, key: str, value: str = "", **params: Any) -> dict[str, Any]:
    secrets = {"token": bytearray(key.encode())}
    if value:
        secrets["value"] = bytearray(value.encode())
    found = dict(operation(id).run(at, secrets, params))
    told = json.dumps(found)
    assert key not in told and (not value or value not in told)
    return found


def refusal(at: Door, id: str, key: str, value: str = "", **params: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(at, id, key, value, **params)
    said = str(caught.value)
    assert key not in said and (not value or value not in said)
    assert caught.value.__cause__ is None
    return said


def weak(servers: VaultSet, rules: str = "", **settings: Any) -> str:
    """A token with only these rules, besides `default`."""
    client = servers.client()
    client.sys.create_or_update_policy("weak", rules or 'path "none" { capabilities=["read"] }')
    made = client.auth.token.create(policies=["weak"], ttl="1h", **settings)["auth"]
    return str(made["client_token"])


def at(path: str, field: str = "api_key", **more: Any) -> dict[str, Any]:
    return {"path": path, "field": field, "salt": SALT, **more}


# Secrets


def test_a_version_after_the_other_and_back(one: VaultSet) -> None:
    client, here = one.client(), door(one)
    client.secrets.kv.v2.create_or_update_secret("ngc", {"api_key": "first", "user": "oauth"})
    seen = call(here, "secret.look", one.token, **at("secret/ngc"))
    assert (seen["mount"], seen["path"], seen["version"]) == ("secret", "ngc", 1)
    assert seen["digest"] == secret.digest(SALT, "first") and seen["others"] == ["user"]

    put = call(here, "secret.put", one.token, VALUE, **at("secret/ngc", before=1))
    assert (put["version"], put["before"], put["kept"]) == (2, 1, 1)
    assert put["digest"] == secret.digest(SALT, VALUE)
    assert put["digest_before"] == secret.digest(SALT, "first")
    assert client.secrets.kv.v2.read_secret_version("ngc", raise_on_deleted_version=True)["data"][
        "data"
    ] == {"api_key": VALUE, "user": "oauth"}
    assert call(here, "secret.look", one.token, VALUE, **at("secret/ngc"))["same"] is True

    back = call(here, "secret.look", one.token, **at("secret/ngc", earlier=0))
    assert back["earlier"] == 1 and back["earlier_digest"] == secret.digest(SALT, "first")
    undone = call(here, "secret.rollback", one.token, **at("secret/ngc", before=2))
    assert (undone["version"], undone["of"]) == (3, 1)
    assert undone["digest"] == secret.digest(SALT, "first")
    told = call(here, "secret.versions", one.token, path="secret/ngc")
    assert told["current"] == 3 and [v["version"] for v in told["versions"]] == [3, 2, 1]


def test_going_back_leaves_out_what_is_deleted_destroyed_or_the_same(one: VaultSet) -> None:
    kv, here = one.client().secrets.kv.v2, door(one)
    for value in ("a", "b", "c", "d", "d"):
        kv.create_or_update_secret("back", {"api_key": value})
    kv.destroy_secret_versions("back", [3])
    kv.delete_secret_versions("back", [2])
    assert call(here, "secret.look", one.token, **at("secret/back", earlier=0))["earlier"] == 1
    said = refusal(here, "secret.rollback", one.token, **at("secret/back", to=2))
    assert "version 2 of secret/back" in said and "deleted" in said
    said = refusal(here, "secret.rollback", one.token, **at("secret/back", to=9))
    assert "earlier one is needed" in said
    said = refusal(here, "secret.rollback", one.token, **at("secret/back", to=4))
    assert "has the value that it has now" in said
    assert call(here, "secret.rollback", one.token, **at("secret/back"))["of"] == 1
    said = refusal(here, "secret.rollback", one.token, **at("secret/nothing"))
    assert "there is no secret" in said


def test_a_deleted_secret_can_be_written_and_a_new_one_is_made(one: VaultSet) -> None:
    kv, here = one.client().secrets.kv.v2, door(one)
    kv.create_or_update_secret("gone", {"api_key": "a", "other": "b"})
    kv.delete_latest_version_of_secret("gone")
    seen = call(here, "secret.look", one.token, **at("secret/gone"))
    assert seen["deleted"] and seen["digest"] is None
    assert call(here, "secret.put", one.token, VALUE, **at("secret/gone", before=1))["version"] == 2
    made = call(here, "secret.put", one.token, VALUE, **at("secret/brand/new", before=0))
    assert (made["version"], made["before"], made["digest_before"]) == (1, 0, None)


def test_who_writes_at_the_same_time_is_noticed(
    one: VaultSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kv, here = one.client().secrets.kv.v2, door(one)
    kv.create_or_update_secret("race", {"api_key": "a"})
    kv.create_or_update_secret("race", {"api_key": "b"})
    said = refusal(here, "secret.put", one.token, VALUE, **at("secret/race", before=1))
    assert "at version 2, was at 1" in said and "nothing was written" in said

    seen = secret._seen

    def overtaken(*args: Any) -> Any:
        found = seen(*args)
        kv.create_or_update_secret("race", {"api_key": "theirs"})
        return found

    monkeypatch.setattr(secret, "_seen", overtaken)
    said = refusal(here, "secret.put", one.token, VALUE, **at("secret/race", before=2))
    assert "at the same moment" in said
    now = kv.read_secret_version("race", raise_on_deleted_version=True)["data"]
    assert now["data"] == {"api_key": "theirs"}


def test_values_that_are_no_keys_are_refused(one: VaultSet) -> None:
    here = door(one)
    kv = one.client().secrets.kv.v2
    kv.create_or_update_secret("odd", {"api_key": VALUE})
    assert "white space" in refusal(here, "secret.put", one.token, f" {VALUE}", **at("secret/odd"))
    assert "white space" in refusal(here, "secret.put", one.token, f"{VALUE}\t", **at("secret/odd"))
    assert "already" in refusal(here, "secret.put", one.token, f"{VALUE}\n", **at("secret/odd"))
    assert "empty" in refusal(here, "secret.put", one.token, "\n", **at("secret/odd"))
    secrets = {"token": bytearray(one.token.encode()), "value": bytearray(b"\xff\xfe")}
    with pytest.raises(Refused, match="not text"):
        secret.put(here, secrets, at("secret/odd"))
    exact = call(here, "secret.put", one.token, f"{VALUE}\n", **at("secret/odd", exact=True))
    assert exact["digest"] == secret.digest(SALT, f"{VALUE}\n")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ngc", "no mount and path"),
        ("secret/", "no mount and path"),
        ("secret/../sys/seal", "not a path"),
        ("secret//ngc", "not a path"),
        ("secret/ngc?version=1", "not a path"),
        ("secret/*", "not a path"),
        ('secret/a" { }', "not a path"),
        ("secret/\x1b[31mred", "no mount and path"),
        ("nope/ngc", "no engine is mounted at nope/"),
        ("old/ngc", "KV version 1"),
        ("cubbyhole/ngc", "cubbyhole engine"),
    ],
)
def test_a_path_that_is_none(one: VaultSet, path: str, said: str) -> None:
    found = refusal(door(one), "secret.put", one.token, VALUE, **at(path))
    assert said in found and "\x1b" not in found


def test_names_with_odd_characters_stay_names(one: VaultSet) -> None:
    here, path = door(one), "secret/team one/käse $(id) 'x'"
    made = call(here, "secret.put", one.token, VALUE, **at(path, "a b/c"))
    assert made["version"] == 1
    assert call(here, "secret.look", one.token, VALUE, **at(path, "a b/c"))["same"] is True


def test_rights_that_are_missing_are_named(one: VaultSet) -> None:
    here = door(one)
    one.client().secrets.kv.v2.create_or_update_secret("kept", {"api_key": "a"})
    reader = weak(one, 'path "secret/data/kept" { capabilities = ["read"] }')
    assert call(here, "secret.look", reader, **at("secret/kept"))["version"] == 1
    said = refusal(here, "secret.put", reader, VALUE, **at("secret/kept"))
    assert "lacks `update` on secret/data/kept" in said
    said = refusal(here, "secret.versions", reader, path="secret/kept")
    assert "lacks `read` on secret/metadata/kept" in said
    nobody = weak(one)
    said = refusal(here, "secret.put", nobody, VALUE, **at("secret/kept"))
    assert "no right on secret/kept" in said
    said = refusal(here, "secret.put", "hvs.not-a-token-of-this-vault", VALUE, **at("secret/kept"))
    assert "does not know this token" in said
    for id, right in (
        ("seal.seal", "update and sudo` on sys/seal"),
        ("audit.list", "read and sudo` on sys/audit"),
        ("token.accessors", "list and sudo` on auth/token/accessors"),
    ):
        assert right in refusal(here, id, nobody)
    said = refusal(here, "setup.read", nobody, role="compute-node", paths=["secret/ngc"])
    assert "lacks `read` on sys/mounts" in said


# Tokens


def test_a_token_tells_what_it_may_and_never_itself(one: VaultSet) -> None:
    here = door(one)
    root = call(here, "token.lookup", one.token)
    assert root["root"] and "revoke it when done" in root["findings"][0]
    assert any("never expires" in f for f in root["findings"])
    made = weak(one, num_uses=5)
    mine = call(here, "token.lookup", made)
    assert mine["policies"] == ["default", "weak"] and not mine["root"]
    assert 3500 < mine["ttl"] <= 3600 and mine["type"] == "service" and mine["orphan"] is False
    assert mine["findings"] == ["it may be used 4 more times, this one not counted"]
    assert not {"id", "accessor"} & set(mine)

    count = call(here, "token.accessors", one.token)
    assert count["count"] == count["looked"] >= 2 and len(count["roots"]) == 1
    assert count["oldest"] and count["endless"] == 1
    assert call(here, "token.accessors", one.token, most=1)["looked"] == 1

    call(here, "token.revoke-self", made)
    assert "does not know this token" in refusal(here, "token.lookup", made)


def test_what_is_told_of_a_token_is_inert() -> None:
    told = token._fields({"display_name": "a\x1b[2Jb\nc", "policies": ["\x1b]0;x\x07p"]})
    assert told == {"display_name": "ab c", "policies": ["p"]}
    assert token.findings({"ttl": 90 * 86400})[0].startswith("it lives 90 days more")


# Audit devices


def test_audit_devices_from_none_to_one_and_back(one: VaultSet, tmp_path: Path) -> None:
    here = door(one)
    none = call(here, "audit.list", one.token)
    assert none["devices"] == [] and "nobody could tell who read what" in none["findings"][0]
    file = tmp_path / "audit.log"
    assert call(here, "audit.enable", one.token, path=str(file))["name"] == "file"
    there = call(here, "audit.list", one.token)
    assert there["devices"][0]["options"]["file_path"] == str(file)
    assert "only one" in there["findings"][0] and "full" in there["findings"][0]
    assert "already" in refusal(here, "audit.enable", one.token, path=str(file))
    assert "already" in refusal(here, "audit.enable", one.token, path=str(file), name="second")
    assert "there is file" in refusal(here, "audit.disable", one.token, name="nope")
    assert file.stat().st_size > 0 and one.token not in file.read_text()
    call(here, "audit.disable", one.token, name="file/")
    assert call(here, "audit.list", one.token)["devices"] == []


def test_why_a_device_cannot_be_made_is_told_to_its_end(one: VaultSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "vault-audit-of-this-server" / "audit.log"
    said = refusal(door(one), "audit.enable", one.token, path=str(path))
    assert said.startswith("Vault on truenas refuses sys/audit/file: …"), said
    assert said.endswith("not a directory") and len(said) < 300, said


@pytest.mark.parametrize("path", ["audit.log", "/var/log/", "/a/../b", "/dev/null", "/a\nb", ""])
def test_a_path_that_is_no_file(path: str) -> None:
    with pytest.raises(Refused):
        audit.file_path(path)


def test_a_device_that_shows_secrets_is_told() -> None:
    raw = {"name": "raw", "type": "file", "options": {"log_raw": "true"}}
    assert "in clear" in audit.findings([raw, {"name": "b", "type": "file", "options": {}}])[0]


# Set-up


def test_a_field_that_is_not_set_is_none_in_words() -> None:
    fields = {"secret_id_bound_cidrs": ["10.0.0.0/8"], "token_ttl": 3600}
    role = {"secret_id_bound_cidrs": None, "token_ttl": None}
    state = {"engines": {}, "approle": "approle", "policy": "", "role": role}
    to = {"policy": {"name": "p", "text": ""}, "role": {"name": "r", "fields": fields}}
    (found,) = setup.differences(state, to)
    assert found.have == (
        "secret_id_bound_cidrs = (none)", "token_ttl = 0 (no limit of its own)",
    )  # fmt: skip


def lab_config(servers: VaultSet) -> Config:
    return Config(
        nodes={
            "xps15-cpu": NodeConfig(address="127.0.0.1"),
            "jetson": NodeConfig(address="10.0.0.9"),
        },
        vault=VaultConfig(
            nodes=servers.urls,
            agents=("xps15-cpu", "jetson"),
            secrets={
                "ngc": SecretConfig(path="secret/ngc"),
                "huggingface": SecretConfig(path="team/kv/hf", field="token"),
            },
        ),
    )


def test_set_up_from_nothing_twice_and_what_is_others_stays(tmp_path: Path) -> None:
    with vault_set(tmp_path / "v", unseal=True) as servers:
        here, config, client = door(servers), lab_config(servers), servers.client()
        client.sys.create_or_update_policy("theirs", 'path "x" { capabilities = ["read"] }')
        asked = {"role": "compute-node", "paths": ["secret/ngc", "team/kv/hf"]}
        seen = call(here, "setup.read", servers.token, **asked)
        assert seen["policy"] is None and seen["role"] is None and seen["approle"] is None
        want = wanted(config, seen)
        kinds = [d.kind for d in setup.differences(seen, want)]
        assert kinds == ["engine", "engine", "auth", "policy", "role"]

        change = {"wanted": want, "seen": seen, "paths": asked["paths"]}
        made = call(here, "setup.apply", servers.token, **change)
        assert len(made["made"]) == 5
        again = call(here, "setup.read", servers.token, **asked)
        assert setup.differences(again, wanted(config, again)) == []
        assert again["secrets"] == {"secret/ngc": 0, "team/kv/hf": 0}
        assert again["alone"]["policies"] == 3
        role = client.auth.approle.read_role("compute-node")["data"]
        assert (role["token_ttl"], role["token_max_ttl"]) == (3600, 86400)
        assert role["secret_id_bound_cidrs"] == ["10.0.0.9/32", "127.0.0.1/32"]
        assert role["token_bound_cidrs"] == ["10.0.0.9", "127.0.0.1"]
        assert "meanwhile" in refusal(here, "setup.apply", servers.token, **change)

        # One field of the role and the policy changed by hand; another field is theirs to keep.
        client.adapter.post(
            "/v1/auth/approle/role/compute-node", json={"token_ttl": 60, "token_num_uses": 0,
            "token_explicit_max_ttl": 7200},
        )  # fmt: skip
        client.sys.create_or_update_policy("compute-node", 'path "*" { capabilities = ["sudo"] }')
        drift = call(here, "setup.read", servers.token, **asked)
        found = setup.differences(drift, wanted(config, drift))
        assert [d.kind for d in found] == ["policy", "role"]
        assert "token_ttl = 1m" in found[1].have and "token_ttl = 1h" in found[1].want
        call(here, "setup.apply", servers.token, wanted=wanted(config, drift), seen=drift,
             paths=asked["paths"])  # fmt: skip
        role = client.auth.approle.read_role("compute-node")["data"]
        assert (role["token_ttl"], role["token_explicit_max_ttl"]) == (3600, 7200)
        rights(servers, client)


def rights(servers: VaultSet, client: Any) -> None:
    """A node's token reads its secrets, renews itself, and can do nothing else."""
    ready(client)
    client.secrets.kv.v2.create_or_update_secret("ngc", {"api_key": "x"})
    client.secrets.kv.v2.create_or_update_secret("other", {"api_key": "x"})
    role_id = client.auth.approle.read_role_id("compute-node")["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id("compute-node")["data"]["secret_id"]
    node = servers.client(token="")
    node.auth.approle.login(role_id, secret_id)
    key = node.token
    assert node.secrets.kv.v2.read_secret_version("ngc", raise_on_deleted_version=True)
    node.auth.token.renew_self()
    closed = ["secret/data/other", "secret/metadata/ngc", "secret/metadata/", "sys/seal"]
    may = node.sys.get_capabilities(["secret/data/ngc", *closed])["data"]
    assert may["secret/data/ngc"] == ["read"]
    assert all(may[path] == ["deny"] for path in closed)
    assert "lacks `update`" in refusal(door(servers), "secret.put", key, VALUE, **at("secret/ngc"))
    # From another address than the nodes' the same secret-id is worth nothing.
    elsewhere = {"secret_id_bound_cidrs": "10.0.0.9/32", "token_bound_cidrs": "10.0.0.9/32"}
    client.adapter.post("/v1/auth/approle/role/compute-node", json=elsewhere)
    with pytest.raises(VaultError, match="unauthorized"):
        servers.client(token="").auth.approle.login(role_id, secret_id)


def test_an_operators_token_is_enough_for_all_of_it(one: VaultSet, tmp_path: Path) -> None:
    client, here = one.client(), door(one)
    rules = (files("labtui.playbooks") / "vault" / "operator.hcl").read_text()
    client.sys.create_or_update_policy("operator", rules)
    key = client.auth.token.create(policies=["operator"], ttl="8h")["auth"]["client_token"]
    config = replace_secrets(lab_config(one))
    asked = {"role": "compute-node", "paths": ["secret/ngc"]}
    seen = call(here, "setup.read", key, **asked)
    call(here, "setup.apply", key, wanted=wanted(config, seen), seen=seen, paths=asked["paths"])
    call(here, "secret.put", key, VALUE, **at("secret/operated"))
    call(here, "secret.put", key, f"{VALUE}2", **at("secret/operated"))
    call(here, "secret.rollback", key, **at("secret/operated"))
    assert call(here, "secret.versions", key, path="secret/operated")["current"] == 3
    assert call(here, "token.accessors", key)["count"] > 1
    call(here, "audit.enable", key, path=str(tmp_path / "a.log"))
    call(here, "audit.disable", key, name="file")
    assert call(here, "audit.list", key)["devices"] == []
    call(here, "seal.seal", key)
    one.unseal()


def replace_secrets(config: Config) -> Config:
    vault = msgspec.structs.replace(config.vault, secrets={"ngc": config.vault.secrets["ngc"]})
    return msgspec.structs.replace(config, vault=vault)


# Sealing, and servers that do not answer


def test_seal_and_everything_then_says_sealed(one: VaultSet) -> None:
    here = door(one)
    assert call(here, "seal.seal", one.token) == {}
    assert one.client(token="").sys.is_sealed()
    for id, params in (
        ("secret.put", at("secret/ngc")),
        ("secret.rollback", at("secret/ngc")),
        ("token.lookup", {}),
        ("audit.list", {}),
        ("setup.read", {"role": "compute-node", "paths": ["secret/ngc"]}),
    ):
        said = refusal(here, id, one.token, VALUE, **params)
        assert "is sealed: unseal it first" in said
    one.unseal()


@pytest.mark.slow
def test_in_a_set_the_active_one_is_sealed_and_a_standby_says_who_that_is(tmp_path: Path) -> None:
    with vault_set(tmp_path / "v", "truenas", "xps15-cpu", "desktop-gpu", unseal=True) as servers:
        active = servers.wait_active()
        other = next(node for node in servers.urls if node != active)
        said = refusal(door(servers, other), "seal.seal", servers.token)
        assert "standby" in said and servers.urls[active] in said
        voters(servers)
        # A standby passes a write on to the active one.
        client = servers.client(active)
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        ready(client)
        key = servers.token
        put = call(door(servers, other), "secret.put", key, VALUE, **at("secret/ngc"))
        assert put["version"] == 1
        call(door(servers, active), "seal.seal", servers.token)
        assert servers.client(active, "").sys.is_sealed()
        assert servers.wait_active() != active, "another one is active at once"


def voters(servers: VaultSet) -> None:
    """A peer that has just joined has no vote for its first ten seconds."""
    deadline = time.monotonic() + 40
    while True:
        peers = servers.client(servers.wait_active()).sys.read_raft_config()["data"]["config"]
        if sum(1 for p in peers["servers"] if p["voter"]) == len(servers.urls):
            return
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.mark.parametrize("id", ["seal.seal", "secret.put", "audit.disable", "setup.read"])
def test_a_server_that_is_gone_hangs_or_hangs_up(tmp_path: Path, id: str) -> None:
    params = at("secret/ngc", name="file", role="compute-node", paths=["secret/ngc"])
    tls = certificate(tmp_path / "tls")
    gone = Door("truenas", "https://127.0.0.1:1", str(tls[0]), timeout=0.5)
    with pytest.raises((Refused, SourceError)) as caught:
        call(gone, id, "hvs.key", VALUE, **params)
    assert "refused" in str(caught.value)
    for behave in (hang, reset, answer(307, b"", Location="https://10.0.0.1/"), answer(200, b"[]")):
        with standing_in(behave, tls) as server:
            with pytest.raises((Refused, SourceError)) as caught:
                call(replace(gone, address=server.url), id, "hvs.key", VALUE, **params)
            assert "hvs.key" not in str(caught.value) and VALUE not in str(caught.value)
            assert len(server.requests) == 1, "nothing is tried twice, no redirect is followed"


def test_an_answer_that_repeats_what_was_sent_is_not_told(tmp_path: Path) -> None:
    tls = certificate(tmp_path / "tls")
    body = json.dumps({"errors": [f"cannot store {VALUE}", "hvs.key"]}).encode()
    for status in (400, 403, 404, 412, 429, 500, 503):
        with standing_in(answer(status, body), tls) as server:
            here = Door("truenas", server.url, str(tls[0]), timeout=2.0)
            with pytest.raises((Refused, SourceError)) as caught:
                secrets = {"token": bytearray(b"hvs.key"), "value": bytearray(VALUE.encode())}
                secret._write(here, here.client(secrets["token"]), secret.Place("secret", "ngc"),
                              None, {}, VALUE, at("secret/ngc"))  # fmt: skip
            said = f"{caught.value} {getattr(caught.value, 'fault', '')}"
            assert VALUE not in said and "hvs.key" not in said
            assert caught.value.__cause__ is None
