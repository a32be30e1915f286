"""The configuration: every default is good, every mistake is named before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import ENVIRONMENT, Config, ConfigError, load, parse
from nodes.edge_names import APART, capacity_of, edges, sip_ports
from nodes.errors import NodeError
from nodes.greeting import greeting
from nodes.holdings import PortTaken, epoch, udp_sockets
from nodes.launcher import check_ports, roles
from nodes.ports import take

BASE = Path("/srv/ringmaster")

EXAMPLE = """
[node]
id = "edge-7"
[paths]
state = "/var/lib/ringmaster"
[sip]
bind = "192.0.2.10"
[[sip.trunks]]
name = "carrier"
host = "sip.example.net"
user = "100"
password = "hush-hush"
register = true
cps = 10
[rtp]
ports = [20000, 20999]
[media]
processes = 2
[nats]
url = "nats://192.0.2.1:4222"
[recorder]
database = "calls.duckdb"
[telemetry]
level = "debug"
"""


def read(text: str) -> Config:
    return parse(text, "ringmaster.toml", BASE)


def test_an_empty_file_is_one_machine_that_only_listens_to_itself():
    config = read("")
    assert {config.sip.bind, config.rtp.bind, config.desk.bind} == {"127.0.0.1"}
    assert (config.node.id, config.nats.url, config.speech.processes) == ("n1", "", 2)
    assert config.paths.state == BASE / "var"
    assert config.recorder.database == BASE / "var/ringmaster.duckdb"
    first, last = config.rtp.ports
    assert last - first + 1 >= config.media.processes * config.media.channels


def test_the_models_that_come_with_the_package_are_the_default_and_exist():
    models = read("").models
    assert models.recogniser.is_dir()
    assert models.voice.is_dir()


def test_what_is_written_is_what_is_read():
    config = read(EXAMPLE)
    (trunk,) = config.sip.trunks
    assert (trunk.name, trunk.host, trunk.port, trunk.register, trunk.cps) == (
        "carrier",
        "sip.example.net",
        5060,
        True,
        10.0,
    )
    assert (config.node.id, config.rtp.ports, config.media.processes) == ("edge-7", (20000, 20999), 2)
    assert config.paths.run == Path("/var/lib/ringmaster/run")
    assert config.recorder.database == BASE / "calls.duckdb"


def test_a_node_is_alone_and_does_everything_unless_its_configuration_says_otherwise():
    config = read("[edge]\nprocesses = 1")
    assert not config.cluster.is_joined
    assert list(roles(config)) == [
        "nats-0", "recorder-0", "speech-0", "speech-1", "media-0", "edge-0", "central-0", "desk-0",
    ]  # fmt: skip


def test_a_node_starts_the_processes_of_its_roles_and_no_others():
    text = '[node]\nroles = ["speech", "edge", "media"]\n[cluster]\nbind = "10.0.0.2"\n[speech]\nprocesses = 1\n'
    text += "[edge]\nprocesses = 2"
    assert roles(read(text)) == {"speech-0": "speech", "media-0": "media", "edge-0": "edge", "edge-1": "edge"}
    assert list(roles(read('[nats]\nurl = "nats://n1"\n[node]\nroles = ["nats", "desk"]'))) == ["desk-0"]


def test_a_node_of_a_cluster_has_a_port_for_each_process_and_each_spare():
    joined = "edge.processes = 1\n[cluster]\nbind = '10.0.0.2'\n"
    check_ports(read(joined))
    check_ports(read(f"{joined}ports = [0, 0]"))
    check_ports(read("[cluster]\nports = [7401, 7401]"))  # it is alone
    with pytest.raises(ConfigError, match=r"cluster.ports: are 10, and the processes here want 11"):
        check_ports(read(f"{joined}ports = [7401, 7410]"))
    with pytest.raises(ConfigError, match=r"cluster.ports: are 10, and the processes here want 14"):
        check_ports(read(f"{joined.replace('1', '2', 1)}ports = [7401, 7410]"))
    with pytest.raises(ConfigError, match=r"cluster.ports: are 60, and the processes here want 62"):
        check_ports(read(f"{joined}[media]\nprocesses = 18"))


def test_a_node_with_too_few_ports_does_not_start(tmp_path: Path):
    text = "edge.processes = 1\n[cluster]\nbind = '127.0.0.2'\nports = [7401, 7410]\n"
    (file := tmp_path / "ringmaster.toml").write_text(text)
    launcher = [sys.executable, "-m", "nodes.launcher"]
    done = subprocess.run(launcher, env={**os.environ, ENVIRONMENT: str(file)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cluster.ports: are 10, and the processes here want 11" in done.stderr
    assert not list(tmp_path.glob("*/**/roster*"))


def test_a_node_without_a_telephone_binds_no_port_for_one():
    with udp_sockets(read('[node]\nroles = ["nats", "desk"]')) as sockets:
        assert sockets == {}


def test_each_edge_of_a_node_has_a_port_of_its_own_that_is_the_same_at_each_start():
    """Far ends have been told it: a call goes on after a restart only where it is the same."""
    first = take(APART * 3)
    ports = [first, first + APART, first + 2 * APART]
    with udp_sockets(read(f"[sip]\nport = {ports[0]}\n[edge]\nprocesses = 3\n[media]\nchannels = 1")) as sockets:
        assert [sockets[f"sip-{n}"].getsockname()[1] for n in range(3)] == ports
        with pytest.raises(PortTaken, match=f"sip.further_ports: UDP 127.0.0.1:{ports[2]}: "):
            with udp_sockets(read(f"[sip]\nport = 0\nfurther_ports = [{ports[2]}]\n[edge]\nprocesses = 2")):
                pass
    named = "[sip]\nport = 5070\nfurther_ports = [5090, 5091]\n[edge]\nprocesses = "
    assert sip_ports(read(f"{named}3")) == {"edge-0": 5070, "edge-1": 5090, "edge-2": 5091}
    assert sip_ports(read(f"{named}1")) == {"edge-0": 5070}
    assert sip_ports(read("[sip]\nport = 0\n[edge]\nprocesses = 2")) == {"edge-0": 0, "edge-1": 0}
    with pytest.raises(ConfigError, match=r"sip.further_ports: are 2, and the further edges here are 3"):
        sip_ports(read(f"{named}4"))
    with pytest.raises(ConfigError, match=r"sip.further_ports: are missing, and none is left above 65534"):
        sip_ports(read("[sip]\nport = 65534\n[edge]\nprocesses = 2"))


@given(st.integers(1, 64), st.integers(0, 300))
def test_the_edges_of_a_node_take_together_as_many_calls_as_it_is_said_to_take(n: int, capacity: int):
    if 0 < capacity < n:
        with pytest.raises(ConfigError, match=rf"processes: are {n}, for {capacity} calls"):
            read(f"[edge]\nprocesses = {n}\ncapacity = {capacity}")
        return
    config = read(f"[edge]\nprocesses = {n}\ncapacity = {capacity}")
    shares = [capacity_of(edge, config) for edge in edges(config)]
    assert (len(shares), sum(shares)) == (n, capacity)
    assert max(shares) - min(shares) <= 1


def test_a_machine_has_an_edge_for_every_ten_cores_and_none_without_a_call(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nodes.edge_names.cores", lambda: 24)
    assert edges(read("")) == ("edge-0", "edge-1", "edge-2")
    assert edges(read("[edge]\ncapacity = 2")) == ("edge-0", "edge-1")
    assert edges(read("[edge]\nprocesses = 1")) == ("edge-0",)


def test_a_nodes_epoch_rises_at_each_start_also_when_the_clock_was_put_back(tmp_path, monkeypatch):
    paths = read(f'[paths]\nstate = "{tmp_path}"').paths
    paths.cluster.mkdir()
    first = epoch(paths)
    monkeypatch.setattr("time.time_ns", lambda: first - 3600 * 10**9)
    assert first < epoch(paths) < epoch(paths)
    (paths.cluster / "epoch").write_text("is no number")
    assert epoch(paths) == first - 3600 * 10**9


def test_a_node_greets_with_what_it_has():
    config = read('[node]\nroles = ["nats", "central"]')
    text = greeting(config, "", [], "nats://127.0.0.1:4222", 1.0)
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["NATS", "state"]
    assert "  SIP        127.0.0.1:5060,5062 " in greeting(config, "", [5060, 5062], "nats://127.0.0.1:4222", 1.0)


def test_a_password_is_not_shown_with_the_rest():
    assert "hush-hush" not in repr(read(EXAMPLE))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[sip]\nprot = 1", "sip.prot", "did you mean port?"),
        ("[sap]", "sap", "did you mean sip?"),
        ("[sip]\nxyz = 1", "sip.xyz", "known are bind, port, further_ports, trunks"),
        ("[sip]\nport = '5060'", "sip.port", "is a string, not a whole number"),
        ("[sip]\nport = 99999", "sip.port", "99999 is not between 0 and 65535"),
        ("[sip]\nport = true", "sip.port", "is true or false, not a whole number"),
        ("[sip]\ntrunks = 3", "sip.trunks", "is a whole number, not a list"),
        ("[[sip.trunks]]\nname = 'x'", "sip.trunks[0].host", "is missing"),
        ("[[sip.trunks]]\nname = 'x'\nhost = 'h'\nproxy = 'sip:h'", "sip.trunks[0]", "proxy: 'sip:h' is not HOST"),
        ("[[sip.trunks]]\nname = 'x'\nhost = 'h'\nproxy = 'h:99999'", "sip.trunks[0]", "proxy: 'h:99999' is not HOST"),
        ("[[sip.trunks]]\nname = 'x'\nhost = 'h'\ncps = 0", "sip.trunks[0].cps", "0.0 is not between 0.1 and 1000"),
        ("[rtp]\nports = [4]", "rtp.ports", "has 1 values, not 2"),
        ("[rtp]\nports = [5, 'x']", "rtp.ports[1]", "is a string, not a whole number"),
        ("[rtp]\nports = [9000, 8000]", "rtp", "first and last"),
        ("[node]\nid = 'a.b'", "node", "letters, digits"),
        ("[node]\nid = ''", "node", "letters, digits"),
        ("[node]\nroles = []", "node", "roles: at least one"),
        ("[node]\nroles = ['desk', 'desk']", "node", "roles: at least one, and each once"),
        ("[node]\nroles = ['dask']", "node.roles[0]", "is 'dask', not one of nats, recorder"),
        ("[node]\nroles = ['nats', 'edge', 'media']", "node", "edge, media, speech go together, and only edge, media"),
        ("[node]\nroles = ['desk']", "nats.url", "is missing, and node.roles starts no nats-server here"),
        (f"[node]\nzone = '{'x' * 65}'", "node", "zone: a word of up to 64 characters"),
        ("[cluster]\nbind = '0.0.0.0'", "cluster", "no IPv4 address that other machines could connect to"),
        ("[cluster]\nbind = 'here'", "cluster", "no IPv4 address that other machines could connect to"),
        ("[cluster]\nports = [7460, 7401]", "cluster", "ports: first and last"),
        ("[cluster]\nports = [0, 7401]", "cluster", "ports: first and last"),
        ("[nats]\nroutes = ['10.0.0.1']", "nats", "routes: '10.0.0.1' is not HOST:PORT"),
        ("[nats]\nroutes = ['h:1']\nurl = 'nats://h'", "nats", "routes: are for the embedded server"),
        ("[telemetry]\nlevel = 'loud'", "telemetry.level", "is 'loud', not one of debug, info, warning, error"),
        ("sip = 3", "sip", "is a whole number, not a table"),
        (f"[paths]\nstate = '/{'x' * 90}'", "paths.state", "too long for the sockets below it by"),
        ("[sip\n", "", "line 1"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_reason(text: str, key: str, reason: str):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert (caught.value.file, caught.value.key) == ("ringmaster.toml", key)
    assert reason in caught.value.reason
    assert str(caught.value).startswith("ringmaster.toml: ")
    assert isinstance(caught.value, NodeError)


SECTIONS = {one.name: one for one in fields(Config) if is_dataclass(getattr(Config(), one.name))}


@given(
    st.sampled_from(sorted(SECTIONS)),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12),
    st.sampled_from(["1", "'x'", "true", "1.5", "[]", "[1, 2]", "{}", "[{}]", "2020-01-01"]),
)
def test_no_setting_is_taken_unless_it_is_one_of_its_section(section: str, name: str, value: str):
    known = {one.name for one in fields(type(getattr(Config(), section)))}
    if name not in known:
        with pytest.raises(ConfigError, match=f"{section}.{name}"):
            read(f"[{section}]\n{name} = {value}")


@given(st.data())
def test_whatever_type_a_setting_is_given_the_outcome_is_a_config_or_a_config_error(data: st.DataObject):
    section = data.draw(st.sampled_from(sorted(SECTIONS)))
    name = data.draw(st.sampled_from([one.name for one in fields(type(getattr(Config(), section)))]))
    value = data.draw(st.sampled_from(["1", "-1", "'x'", "true", "nan", "[]", "[1, 2]", "{}", "[{}]", "2020-01-01"]))
    try:
        assert is_dataclass(read(f"[{section}]\n{name} = {value}"))
    except ConfigError as error:
        assert error.key  # noqa: PT017  either outcome is right


def test_the_environment_names_the_file_and_an_argument_goes_before_it(tmp_path: Path):
    named, given_ = tmp_path / "named.toml", tmp_path / "given.toml"
    named.write_text('[node]\nid = "named"')
    given_.write_text('[node]\nid = "given"')
    environment = {"RINGMASTER_CONFIG": str(named)}
    assert load(environment=environment).node.id == "named"
    assert load(given_, environment=environment).node.id == "given"
    assert load(environment={}).node.id == "n1"


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path):
    path = tmp_path / "ringmaster.toml"
    path.write_text('[paths]\nstate = "state"')
    config = load(path)
    assert config.paths.state == tmp_path / "state"
    assert config.paths.endpoint("n1.media-0:5f3a") == f"ipc://{tmp_path}/state/run/media-0:5f3a"


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.7", "desk.example.net", "2001:db8::1"])
def test_a_desk_that_others_reach_speaks_tls_unless_it_is_told_not_to(bind: str) -> None:
    with pytest.raises(ConfigError, match=rf"desk: bind: {bind} .*certificate and key, or insecure = true"):
        read(f"[desk]\nbind = '{bind}'")
    assert read(f"[desk]\nbind = '{bind}'\ninsecure = true").desk.insecure
    assert read(f"[desk]\nbind = '{bind}'\ncertificate = 'a.pem'\nkey = 'b.pem'").desk.key == BASE / "b.pem"


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_desk_of_this_machine_alone_needs_no_tls(bind: str) -> None:
    assert read(f"[desk]\nbind = '{bind}'").desk.certificate is None


@pytest.mark.parametrize(("given", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_a_certificate_without_its_key_is_named(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"desk: {missing}: is missing"):
        read(f"[desk]\n{given} = 'a.pem'")
