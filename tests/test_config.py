"""Every mistake in a configuration is told by file, line, key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtui.config import (
    EXAMPLE,
    Config,
    ConfigError,
    find,
    load,
    local_config,
    parse,
    write_example,
)  # fmt: skip
from labtui.config.checks import in_clear


def problems(source: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(source, "lab.toml")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


NODES = '[nodes.a]\naddress = "10.0.0.1"\n\n[nodes.b]\naddress = "10.0.0.2"\n'


def test_a_good_file_becomes_an_inventory() -> None:
    config = parse(NODES + 'services = ["ssh"]\n[slurm]\nlogin = "b"\n', "lab.toml")
    assert list(config.nodes) == ["a", "b"]
    assert config.nodes["b"].services == ("ssh",)
    assert config.nodes["a"].transport == "ssh" and config.nodes["a"].port == 22
    assert config.slurm.login == "b"
    assert parse("", "lab.toml") == Config()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # unknown keys: where, and the nearest that there is
        ("[slurm]\nlogn = 'a'\n",
         "lab.toml:2: slurm.logn: unknown key (did you mean 'login'?); remove or rename it"),
        (NODES + "adress = 'x'\n",
         "lab.toml:6: nodes.b.adress: unknown key (did you mean 'address'?); remove or rename it"),
        ("[zzz]\n", "lab.toml:1: zzz: unknown key; remove or rename it"),
        # wrong types: the very entry, not the first of its kind
        (NODES + "port = '22'\n",
         "lab.toml:6: nodes.b.port: expected `int`, got `str`; write a whole number"),
        ("[nodes.a]\naddress = 'x'\nport = 22\n\n[nodes.b]\naddress = 7\n",
         "lab.toml:6: nodes.b.address: expected `str`, got `int`; write text in \"quotes\""),
        ("nodes.a = {address = 'x', slurm = 'yes'}\n",
         "lab.toml:1: nodes.a.slurm: expected `bool`, got `str`; write true or false"),
        ("[nodes]\na.address = 'x'\nb.services = 'ssh'\n",
         "lab.toml:3: nodes.b.services: expected `array`, got `str`; write a list: [\"a\", \"b\"]"),
        ("[nodes.a]\naddress = 'x'\nservices = ['ssh', 5]\n",
         "lab.toml:3: nodes.a.services: expected `str`, got `int`; write text in \"quotes\""),
        ("[nodes.\"a.b\"]\naddress = 'x'\ntransport = 'telnet'\n",
         "lab.toml:3: nodes.a.b.transport: invalid enum value 'telnet';"
         " write one of ssh, local, kubectl"),
        ("nodes = 5\n",
         "lab.toml:1: nodes: expected `object`, got `int`;"
         " write a table: [section] with its keys below"),
        ("[nodes]\na = 5\n",
         "lab.toml:2: nodes.a: expected `object`, got `int`;"
         " write a table: [section] with its keys below"),
        ("[lab]\nname = 5\n",
         "lab.toml:2: lab.name: expected `str`, got `int`; write text in \"quotes\""),
        ("[keys]\n'queue.cancel' = 5\n",
         "lab.toml:2: keys.queue.cancel: expected `str`, got `int`; write text in \"quotes\""),
        ("[ui]\nmouse = 1\n",
         "lab.toml:2: ui.mouse: expected `bool`, got `int`; write true or false"),
        ("[slurm]\ninterval_s = 'fast'\n",
         "lab.toml:2: slurm.interval_s: expected `float`, got `str`; write a number"),
        # what does not fit together
        (NODES + "[slurm]\nlogin = 'c'\n",
         "lab.toml:7: slurm.login: no node 'c' in [nodes] (there: a, b); name one of them"),
        ("[slurm]\nlogin = 'c'\n",
         "lab.toml:2: slurm.login: no node 'c' in [nodes] (there: none); name one of them"),
        ("[nodes.a]\nuser = 'x'\n",
         "lab.toml:1: nodes.a.address: missing; ssh needs an address or a name of ssh_config"),
        (NODES + "port = 70000\n",
         "lab.toml:6: nodes.b.port: 70000 is not a port; write 1 to 65535"),
        ("[nodes.a]\naddress = '-oProxyCommand=x'\n",
         "lab.toml:2: nodes.a.address: may not start with '-'; write a host name or address"),
        ("[nodes.'a b']\naddress = 'x'\n",
         "lab.toml:1: nodes.a b: may hold letters, digits, '.', '_' and '-' only; rename it"),
        ("[nodes.a]\ntransport = 'kubectl'\n",
         "lab.toml:1: nodes.a.selector: missing; write the label of the pod: \"app=agent\""),
        ("[nodes.a]\ntransport = 'kubectl'\nselector = 'a=b'\nkubectl = []\n",
         "lab.toml:4: nodes.a.kubectl: empty; write the command: [\"microk8s\", \"kubectl\"]"),
        (NODES + "mounts = ['nfs']\n",
         "lab.toml:6: nodes.b.mounts: 'nfs' is relative; write where it is mounted"),
        (NODES + "services = ['--now']\n",
         "lab.toml:6: nodes.b.services: '--now' is not the name of a systemd unit; rename it"),
        ("[prometheus]\nurl = 'localhost:9090'\n",
         "lab.toml:2: prometheus.url: 'localhost:9090' is not an address; write http://host:port"),
        ("[vault.nodes]\nt = 'vault'\n",
         "lab.toml:2: vault.nodes.t: 'vault' is not an address; write https://host:8200"),
        ("[vault.nodes]\nt = 'http://truenas:8200'\n",
         "lab.toml:2: vault.nodes.t: 'http://truenas:8200' would carry shares and tokens in clear;"
         " write https://host:8200"),
        ("[vault]\nca_file = 'ca.pem'\n",
         "lab.toml:2: vault.ca_file: 'ca.pem' is relative; write an absolute path"),
        ("[slurm]\ninterval_s = 0.0\n",
         "lab.toml:2: slurm.interval_s: 0.0 is no time; write a number above 0"),
        ("[mlflow]\ntimeout_s = nan\n",
         "lab.toml:2: mlflow.timeout_s: nan is no time; write a number above 0"),
        ("[lab]\nnamespace = '../x'\n",
         "lab.toml:2: lab.namespace: not the name of a lab; let `labtui lab up` write it"),
        ("[gpu]\nnvml = ['g']\n",
         "lab.toml:2: gpu.nvml: no node 'g' in [nodes] (there: none); name one of them"),
        # not TOML
        ("[slurm]\nlogin = a\n",
         "lab.toml:2: not valid TOML: Invalid value; correct that line"),
        ("[a]\n[a]\n",
         "lab.toml:2: not valid TOML: Cannot declare ('a',) twice; correct that line"),
        ("x = '''\n\n", "lab.toml:2: not valid TOML: Expected \"'''\"; correct that line"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_file_line_key_and_fix(source: str, expected: str) -> None:
    assert problems(source) == [expected]


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("https://truenas:8200", False), ("HTTPS://truenas", False),
        ("http://127.0.0.1:8200", False), ("http://127.1.2.3", False),
        ("http://localhost:8200/", False), ("http://[::1]:8200", False),
        ("http://127.0.0.1@truenas:8200", True), ("http://127.0.0.1.lab:8200", True),
        ("http://localhost.lab", True), ("http://127.0.0.1:8200\\@truenas", True),
        ("http://[::]:8200", True), ("HTTP://truenas:8200", True), ("http://10.0.0.1", True),
    ],
)  # fmt: skip
def test_plain_http_is_for_this_machine_alone(url: str, clear: bool) -> None:
    assert in_clear(url) is clear


def test_all_mistakes_of_a_kind_are_told_at_once() -> None:
    found = problems("[nodes.a]\nport = '1'\nslurm = 2\n[nodes.b]\nport = []\n[ui]\nascii = 1\n")
    assert [p.split(": ")[1] for p in found] == [
        "nodes.a.port", "nodes.a.slurm", "nodes.b.port", "ui.ascii",
    ]  # fmt: skip
    found = problems("[a]\n[b]\n[slurm]\nc = 1\n")
    assert [p.split(": ")[0] for p in found] == ["lab.toml:1", "lab.toml:2", "lab.toml:4"]


@given(st.text(max_size=200))
def test_any_text_is_a_config_or_an_error(source: str) -> None:
    try:
        assert isinstance(parse(source, "x"), Config)
    except ConfigError as error:
        assert error.problems and all(p.startswith("x:") for p in error.problems)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    section=st.sampled_from(["nodes", "slurm", "vault", "lab", "keys", "gpu"]),
    key=st.sampled_from(["a", "nodes", "login", "name", "services", "nvml", "address"]),
    value=VALUES,
)
def test_any_shape_of_value_is_a_config_or_an_error(section: str, key: str, value: object) -> None:
    source = f"[{section}]\n{key} = {toml(value)}\n"
    try:
        assert isinstance(parse(source, "x"), Config)
    except ConfigError as error:
        assert error.problems


def toml(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value % 2**60)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    text = "".join(c if c.isalnum() and c.isascii() else "_" for c in str(value))
    return f'"{text}"'


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `labtui config init` writes one"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "bytes.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_the_example_is_good_and_written_once(tmp_path: Path) -> None:
    assert parse(EXAMPLE, "x").slurm.login == "desktop-gpu"
    path = tmp_path / "new" / "config.toml"
    write_example(path)
    assert load(path) == parse(EXAMPLE, "x")
    with pytest.raises(ConfigError, match="exists already"):
        write_example(path)


def test_the_config_is_found_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("labtui.config.files.LAB_CONFIG", tmp_path / "lab.toml")
    monkeypatch.delenv("LABTUI_CONFIG", raising=False)
    assert find() is None
    (tmp_path / "lab.toml").touch()
    assert find() == tmp_path / "lab.toml"
    write_example(tmp_path / "labtui" / "config.toml")
    assert find() == tmp_path / "labtui" / "config.toml"
    monkeypatch.setenv("LABTUI_CONFIG", "/named.toml")
    assert find() == Path("/named.toml")


def test_this_machine_alone_is_a_config() -> None:
    config = local_config()
    (node,) = config.nodes.values()
    assert node.transport == "local"
    assert config.cluster.name in config.nodes
