"""The ground of PySlurm: collections, errors, numbers, times, lists, resources, JSON values."""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labtui.slurm as pyslurm
from labtui.hosts.base import HostError
from labtui.hosts.local import LocalHost
from labtui.slurm import bridge, fields
from labtui.slurm.constants import INFINITE, NO_VAL, UNLIMITED
from labtui.slurm.core.job.job import Job
from labtui.slurm.db.tres import GPU, GenericResourceLayout, TrackableResource, TrackableResources
from labtui.slurm.enums import SchedulerType, SlurmEnum, SlurmFlag
from labtui.slurm.record import Field, Record, Text, Whole, Words
from labtui.slurm.utils import cstr, ctime, helpers, uint
from labtui.slurm.xcollections import MultiClusterMap, multi_reload, sum_property

fuzz = settings(max_examples=60, deadline=None)


class Item(Record):
    id: Field[int] = Field("its number", default=lambda: 0)
    cluster: Field[str] = Field("where", default=lambda: "one")
    cpus = Whole("how many")
    words = Words("several")
    note = Text("what one likes", settable=True)

    def __init__(self, id: int, **values: Any) -> None:
        self._fill({"id": int(id), **values})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


class Items(MultiClusterMap[int, Item]):
    def __init__(self, items: Any = None) -> None:
        super().__init__(items, typ="Items", val_type=Item, key_type=int, id_attr=Item.id)


def two_clusters() -> Items:
    items = Items()
    items.update({"one": {1: Item(1), 2: Item(2)}, "two": {}})
    items.add(Item(1, cluster="two"))
    items.add(Item(9, cluster="two"))
    return items


@pytest.fixture(autouse=True)
def a_cluster_called_one() -> Any:
    """A connection to nothing, whose cluster's name is known."""
    bridge.connect(LocalHost("nowhere"))
    current = bridge.current()
    current.cluster, current.named = "one", True
    yield
    bridge.close()


# -- collections --------------------------------------------------------------------------


def test_items_are_found_by_key_by_cluster_and_by_themselves() -> None:
    items = two_clusters()
    assert len(items) == 4 and set(items) == {1, 2, 9}
    assert items[1].cluster == "one" and items["two"][1].cluster == "two"
    assert items["two", 9].id == 9 and items[Item(9, cluster="two")].id == 9
    assert 9 in items and ("one", 9) not in items and Item(2) in items and 7 not in items
    assert items.get(9) is None and items.get(("two", 9)).id == 9 and items.get(5, "x") == "x"
    with pytest.raises(KeyError):
        items[9]
    with pytest.raises(KeyError):
        items["two"][2]


def test_a_collection_without_the_local_cluster_means_its_first() -> None:
    items = Items({"far": {3: Item(3, cluster="far")}, "off": {3: Item(3, cluster="off")}})
    assert items[3].cluster == "far"


def test_a_collection_is_made_of_ids_and_of_items() -> None:
    assert sorted(Items("4,5")) == sorted(Items([4, 5])) == [4, 5]
    assert Items({7: Item(7)})[7].id == 7
    assert repr(Items([Item(8)])).startswith("pyslurm.Items({8: ")
    assert not Items() and Items().to_dict() == {} and Items().to_json() == "{}"
    for odd in (7, 3.5):
        with pytest.raises(TypeError):
            Items(odd)
    with pytest.raises(TypeError):
        Items().add("x")  # type: ignore[arg-type]


def test_items_are_put_in_and_taken_out() -> None:
    items = two_clusters()
    items[5] = Item(5)
    items["two"][6] = Item(6, cluster="two")
    items[Item(7, cluster="two")] = Item(7, cluster="two")
    items["new", 8] = Item(8, cluster="new")
    assert len(items) == 8 and list(items.clusters()) == ["one", "two", "new"]
    del items[5]
    del items["two"][6]
    del items["new"]
    assert len(items) == 5 and "new" not in items.clusters()
    assert items.pop(1).cluster == "one" and items.pop(404, "none") == "none"
    key, item = items.popitem()
    assert (key, item.id) == (2, 2)
    items.clear()
    with pytest.raises(KeyError):
        items.popitem()


def test_views_go_over_all_clusters() -> None:
    items = two_clusters()
    assert [item.id for item in items.values()] == [1, 2, 1, 9]
    assert list(items.keys().with_cluster()) == [("one", 1), ("one", 2), ("two", 1), ("two", 9)]
    assert [(c, k) for c, k, _ in items.items().with_cluster()][-1] == ("two", 9)
    assert [k for k, _ in items.items()] == [1, 2, 1, 9]
    assert len(items.keys()) == len(items.values()) == len(items.items()) == 4
    assert len(items.clusters()) == 2 and "two" in items.clusters()
    assert ("two", 9) in items.keys().with_cluster() and (9, items["two"][9]) in items.items()
    assert ("two", 9, items["two"][9]) in items.items().with_cluster()
    assert items["two"][9] in items.values() and Item(404) not in items.values()
    assert repr(items.clusters()) == "ClustersView(['one', 'two'])"


def test_collections_are_joined() -> None:
    items = two_clusters()
    other = Items({"one": {2: Item(2), 3: Item(3)}, "three": {30: Item(30, cluster="three")}})
    both = items | other
    assert isinstance(both, Items) and len(both) == 6 and len(items) == 4
    items |= {10: Item(10)}
    assert isinstance(items, Items) and len(items) == 5 and items[10].cluster == "one"
    assert len({11: Item(11)} | items) == 6
    assert copy.copy(items) == items and items.copy() is not items
    with pytest.raises(TypeError):
        items | 3  # type: ignore[operator]


def test_a_reload_keeps_or_follows() -> None:
    old = Items([Item(1, cpus=1), Item(2)])
    new = Items([Item(1, cpus=8), Item(3)])
    frozen = multi_reload(old.copy(), True, new)
    assert sorted(frozen) == [1, 2] and frozen[1].cpus == 8
    assert sorted(multi_reload(old.copy(), False, new)) == [1, 3]
    empty = Items()
    assert multi_reload(empty, False, new) is empty


def test_sums_leave_out_what_is_not_known() -> None:
    assert sum_property(Items([Item(1, cpus=3), Item(2), Item(3, cpus=4)]), Item.cpus) == 7


def test_a_collection_becomes_json() -> None:
    items = two_clusters()
    assert set(json.loads(items.to_json())) == {"1", "2"}
    assert set(json.loads(items.to_json(multi_cluster=True))) == {"one", "two"}
    assert items.to_dict()[1]["cluster"] == "one"


# -- records ------------------------------------------------------------------------------


def test_a_record_gives_what_it_knows() -> None:
    item = Item.of({"id": 4, "cpus": 2})
    assert (item.id, item.cpus, item.note, item.words) == (4, 2, None, [])
    item.words.append("x")
    assert item.words == ["x"] and Item(5).words == []
    assert Item.cpus.doc == "how many" and next(iter(Item._fields)) == "id"
    assert item.to_dict() == {
        "id": 4, "cpus": 2, "note": None, "words": ["x"], "cluster": "one"
    }  # fmt: skip
    assert item.as_dict() == item.to_dict()
    item.note = "mine"
    assert item.note == "mine"
    with pytest.raises(AttributeError):
        item.cpus = 3
    with pytest.raises(TypeError):
        Item.of({"nope": 1})


# -- errors -------------------------------------------------------------------------------


def test_errors_have_slurms_numbers_and_texts() -> None:
    error = pyslurm.error
    assert str(pyslurm.RPCError(2017)) == error.slurm_strerror(2017) == "Invalid job id specified"
    assert pyslurm.RPCError().errno == -1 and pyslurm.RPCError(msg="x").msg == "x"
    assert pyslurm.RPCError(2017).kind == "not-found"
    assert error.slurm_strerror(2) == "No such file or directory"
    assert error.slurm_strerror(987654) == "Unknown error 987654"
    assert issubclass(pyslurm.RPCError, pyslurm.PyslurmError) and error.RPCError is pyslurm.RPCError
    error.verify_rpc(0)
    with pytest.raises(pyslurm.RPCError, match="Job is pending execution"):
        error.verify_rpc(2024)


def test_a_commands_words_become_a_number_again() -> None:
    from labtui.slurm.errors import errno_of

    for text in (
        "Invalid job id specified",
        "Invalid job id specified for job 7",
        "Kill job error on job id 7: Invalid job id specified",
        "scontrol_print_step: slurm_get_job_steps(7.0) failed: Invalid job id specified",
    ):
        assert errno_of(text) == 2017
    assert errno_of("what is this") == -1


@pytest.mark.parametrize("wrong", [OSError, KeyError])
def test_the_last_error_is_remembered(wrong: type[Exception]) -> None:
    async def refused(client: Any) -> None:
        raise pyslurm.RPCError(2000)

    async def broken(client: Any) -> None:
        raise HostError("unreachable", "no route", "far")

    with pytest.raises(pyslurm.RPCError):
        bridge.call(refused)
    assert pyslurm.error.slurm_errno() == 2000
    assert pyslurm.error.get_last_slurm_error() == (2000, "Invalid partition name specified")
    with pytest.raises(pyslurm.RPCError, match="no route") as found:
        bridge.call(broken)
    assert found.value.kind == "unreachable"

    async def bug(client: Any) -> None:
        raise wrong("a bug stays what it is")

    with pytest.raises(wrong):
        bridge.call(bug)


# -- the bridge ---------------------------------------------------------------------------


def test_a_call_gives_up_in_the_end() -> None:
    async def forever(client: Any) -> None:
        await asyncio.sleep(60)

    with pytest.raises(pyslurm.RPCError, match="no answer") as found:
        bridge.call(forever, timeout=0.05)
    assert found.value.kind == "timeout"


async def test_a_call_works_in_a_notebook_but_not_on_its_own_loop() -> None:
    async def fine(client: Any) -> int:
        return 1

    async def tangled(client: Any) -> int:
        return bridge.call(fine)

    assert bridge.call(fine) == 1
    with pytest.raises(pyslurm.PyslurmError, match="wait for itself"):
        bridge.call(tangled)
    bridge.connect()
    assert bridge.cluster_name() is None and Job(1).cluster == "UNKNOWN"
    assert not bridge.current().named and pyslurm.settings.LOCAL_CLUSTER == "UNKNOWN"
    assert bridge.current().named


def test_this_machine_without_slurm_is_told_in_a_sentence() -> None:
    bridge.connect()
    with pytest.raises(pyslurm.RPCError) as found:
        pyslurm.Jobs.load()
    assert "\n" not in str(found.value)
    assert pyslurm.settings.LOCAL_CLUSTER == "UNKNOWN"
    with pytest.raises(AttributeError):
        pyslurm.settings.NOPE  # noqa: B018


def test_the_package_has_pyslurms_names() -> None:
    names = (
        "Job Jobs JobStep JobSteps JobSubmitDescription SchedulerType error PyslurmError RPCError "
        "db utils constants settings slurm_init slurm_fini xcollections parse connect aio"
    )
    for name in names.split():
        assert getattr(pyslurm, name) is not None and name in dir(pyslurm)
    with pytest.raises(AttributeError):
        pyslurm.nope  # noqa: B018
    pyslurm.slurm_init()
    pyslurm.slurm_fini()


def test_importing_the_package_is_cheap() -> None:
    import subprocess
    import sys

    code = (
        "import sys, labtui.slurm; print(any(m.startswith('labtui.slurm.') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- enumerations -------------------------------------------------------------------------


def test_enumerations_are_their_names() -> None:
    class Colour(SlurmEnum):
        RED = "RED", 1
        BLUE = "BLUE", 4
        NONE = "NONE"

    class Parts(SlurmFlag):
        LEFT = 1
        RIGHT = 2

    assert SchedulerType.MAIN == "MAIN" and str(SchedulerType("BACKFILL")) == "BACKFILL"
    assert Colour.from_flag(6, "NONE") is Colour.BLUE and Colour.from_flag(8, "RED") is Colour.RED
    assert Parts.from_list(["RIGHT", "UP"]) == Parts.RIGHT and not Parts.from_list([])


# -- numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_numbers_have_marks_for_unset_and_unlimited(bits: int) -> None:
    to, back = getattr(uint, f"u{bits}"), getattr(uint, f"u{bits}_parse")
    for nothing in (None, 0, 2**bits - 2, str(2**bits - 2)):
        assert back(to(nothing)) is None
    assert back(to(UNLIMITED, inf=True)) == UNLIMITED
    assert back(to(0, zero_is_noval=False), zero_is_noval=False) == 0
    assert back(to("7")) == 7 and back(5, on_noval=1) == 5 and back(0, on_noval=1) == 1
    with pytest.raises(TypeError):
        to("UNLIMITED")
    for wrong in (-1, 2**bits):
        with pytest.raises(OverflowError):
            to(wrong)
    assert uint.u8_bool(None) == 254 and uint.u16_bool("x") == 1 and uint.u16_bool(False) == 0


@fuzz
@given(st.integers(1, 2**32 - 3))
def test_a_number_comes_back(number: int) -> None:
    assert uint.u32_parse(uint.u32(str(number))) == number


# -- times --------------------------------------------------------------------------------


def test_lengths_of_time() -> None:
    assert ctime.timestr_to_mins("01:00:00") == 60 and ctime.timestr_to_secs("01:00:00") == 3600
    assert ctime.timestr_to_mins(30) == 30 and ctime.timestr_to_secs("90") == 90
    assert ctime.timestr_to_mins("1-0") == 1440 and ctime.timestr_to_mins("0:30") == 1
    for ask in (ctime.timestr_to_mins, ctime.timestr_to_secs):
        assert ask("unlimited") == INFINITE and ask(None) == NO_VAL
        for odd in ("soon", "-5", "1:2:3:4", "4294967294", ""):
            with pytest.raises(ValueError, match="Invalid Time Specification"):
                ask(odd)
    assert ctime.mins_to_timestr(60) == "01:00:00" and ctime.secs_to_timestr(90061) == "1-01:01:01"
    assert ctime.mins_to_timestr(INFINITE) == UNLIMITED and ctime.secs_to_timestr(0) is None
    assert ctime.mins_to_timestr(NO_VAL, "-") == "-" and ctime.secs_to_timestr(None) is None


@fuzz
@given(st.integers(1, 10**8))
def test_a_length_comes_back(seconds: int) -> None:
    assert ctime.timestr_to_secs(ctime.secs_to_timestr(seconds)) == seconds


def test_dates() -> None:
    date = datetime(2026, 11, 24, 7, 30, 5)
    stamp = int(date.timestamp())
    for form in (date, stamp, str(stamp), f"uts{stamp}", "2026-11-24T07:30:05"):
        assert ctime.date_to_timestamp(form) == stamp
    assert ctime.timestamp_to_date(stamp) == "2026-11-24T07:30:05"
    assert ctime.date_to_timestamp(None) == 0 and ctime.date_to_timestamp("", 7) == 7
    now = datetime.now().timestamp()
    assert abs(ctime.date_to_timestamp("now+2hours") - now - 7200) < 5
    assert now < ctime.date_to_timestamp("tomorrow") < now + 2 * 86400
    assert now < ctime.date_to_timestamp("noon") < now + 86401
    assert now < ctime.date_to_timestamp("03:15pm") < now + 86401
    assert ctime.date_to_timestamp("11/24/26-07:30") == int(
        datetime(2026, 11, 24, 7, 30).timestamp()
    )
    for nothing in (0, None, NO_VAL, INFINITE):
        assert ctime.timestamp_to_date(nothing) is None
    for odd in ("2026-11-24T07", "2026-02-30T00:00", "25:00", "now+5parsecs", "next week"):
        with pytest.raises(ValueError, match="Invalid Time Specification"):
            ctime.date_to_timestamp(odd)


@fuzz
@given(st.text(max_size=20))
def test_odd_times_are_refused_in_words(text: str) -> None:
    for ask in (ctime.timestr_to_mins, ctime.timestr_to_secs, ctime.date_to_timestamp):
        try:
            assert ask(text) >= 0
        except ValueError as error:
            assert str(error).startswith("Invalid Time Specification")


# -- texts that hold lists ----------------------------------------------------------------


def test_lists_and_dicts_in_a_text() -> None:
    assert cstr.to_list("a,b") == ["a", "b"] and cstr.to_list("") == cstr.to_list(None) == []
    assert cstr.to_list("/a:/b", None, ":") == ["/a", "/b"] and cstr.to_list("", "x") == "x"
    assert cstr.list_to_str(["a", "b"]) == "a,b" and cstr.list_to_str(None) is None
    assert cstr.to_dict("cpu=2,mem=1G,x") == {"cpu": 2, "mem": "1G"}
    assert cstr.to_dict("a,b:5", delim2=":", def_value=1) == {"a": 1, "b": 5}
    assert cstr.dict_to_str({"a": 1, "b": "c"}) == "a=1,b=c" == cstr.dict_to_str("a=1,b=c")
    assert cstr.dict_to_str({"a": 1}, "x/") == "x/a=1" and cstr.dict_to_str({}) is None
    with pytest.raises(ValueError, match="cannot contain"):
        cstr.dict_to_str({"a=": 1})
    with pytest.raises(ValueError, match="Expected = as separator"):
        cstr.dict_to_str("a")


def test_generic_resources_in_a_text() -> None:
    assert cstr.to_gres_dict("gpu:a100:2(IDX:0-1),gres:shard:8") == {
        "gpu:a100": {"count": 2, "indexes": "0-1"}, "shard": 8
    }  # fmt: skip
    assert cstr.to_gres_dict("gres:gpu") == {"gpu": 1}
    for nothing in (None, "", "(null)", "gpu:odd"):
        assert cstr.to_gres_dict(nothing) == {}
    assert cstr.from_gres_dict({"tesla": 3, "a100": 5}, "gpu") == "gres:gpu:tesla:3,gres:gpu:a100:5"
    assert cstr.from_gres_dict("tesla:3", "gpu") == "gres:gpu:tesla:3"
    assert cstr.from_gres_dict(4, "gpu") == "gres:gpu:4" and cstr.from_gres_dict(None) is None
    with pytest.raises(ValueError):
        cstr.from_gres_dict({"a:b:c": 1})


def test_names_of_users_and_groups() -> None:
    assert helpers.uid_to_name(0) == helpers.gid_to_name(0) == "root"
    assert helpers.uid_to_name(7, lookup={7: "me"}) == "me" and helpers.uid_to_name(NO_VAL) is None
    assert helpers.uid_to_name(4000000001) == "4000000001"
    assert helpers.user_to_uid("root") == helpers.group_to_gid("0") == 0
    assert helpers.user_to_uid(None) == NO_VAL
    for ask in (helpers.uid_to_name, helpers.gid_to_name):
        with pytest.raises(KeyError):
            ask(4000000001, True)
    for name in (helpers.user_to_uid, helpers.group_to_gid):
        with pytest.raises(KeyError):
            name("no such one")
        assert name("no such one", err_on_invalid=False) >= 0


def test_ranges() -> None:
    assert helpers.expand_range_str("1-3,7") == [1, 2, 3, 7]
    assert helpers.nodelist_from_range_str("n[001,007-009],x") == [
        "n001",
        "n007",
        "n008",
        "n009",
        "x",
    ]
    assert helpers.nodelist_from_range_str("n[001,007:009]") == []
    assert helpers.nodelist_to_range_str("n001,n009,n007,n008") == "n[001,007-009]"
    assert helpers.nodelist_to_range_str(["x", "n1"]) == "n1,x"
    assert helpers.nodelist_to_range_str([]) is None
    for odd in ("x", "1-", "0-99999999"):
        with pytest.raises(ValueError):
            helpers.expand_range_str(odd)


@fuzz
@given(st.sets(st.tuples(st.sampled_from(["a", "gpu-", "n1x"]), st.integers(0, 120)), min_size=1))
def test_a_node_list_comes_back(nodes: set[tuple[str, int]]) -> None:
    names = [f"{prefix}{number}" for prefix, number in nodes]
    ranged = helpers.nodelist_to_range_str(names)
    assert ranged is not None and sorted(helpers.nodelist_from_range_str(ranged)) == sorted(names)


def test_sizes_and_signals() -> None:
    assert helpers.humanize(1024) == "1.0G" and helpers.humanize(None) is None
    assert helpers.humanize(800) == "800.0M" and helpers.humanize(UNLIMITED) == UNLIMITED
    assert helpers.dehumanize("9.6G") == 9830 and helpers.dehumanize(7) == 7
    assert helpers.dehumanize("10T", "G") == 10240 and helpers.dehumanize("1536M", "G", 1) == 1.5
    assert helpers.dehumanize(None) is None
    for odd in ("10L", "inf", "naM", "infG"):
        with pytest.raises(ValueError):
            helpers.dehumanize(odd)
    assert helpers.signal_to_num("SIGKILL") == helpers.signal_to_num("9") == 9
    assert helpers.signal_to_num("usr1") == 10 and helpers.signal_to_num(None) is None
    with pytest.raises(ValueError, match="Invalid Signal"):
        helpers.signal_to_num("SIGNOPE")
    assert helpers.humanize_step_id(0xFFFFFFFB) == "batch" and helpers.humanize_step_id(3) == 3
    assert helpers.dehumanize_step_id("extern") == 0xFFFFFFFC
    assert helpers.cpubind_to_num("cores,verbose") == 5 and helpers.cpubind_to_num(None) == 0
    assert helpers._get_exit_code(768) == (3, 0) and helpers._get_exit_code(9) == (0, 9)
    assert helpers.cpu_freq_int_to_str(0x82000000) == "PERFORMANCE"
    assert helpers.cpu_freq_int_to_str(0) is None and helpers.cpu_freq_int_to_str(2000) == 2000


# -- resources ----------------------------------------------------------------------------


def test_resources_of_a_text() -> None:
    tres = TrackableResources.from_str("cpu=4,mem=10G,gres/gpu=3,gres/gpu:a100=2,fs/disk=2K,new=1")
    assert tres.cpu.count == 4 and tres.mem.count == 10240 and tres.energy is None
    assert isinstance(tres.gres["gpu:a100"], GPU) and tres.gres["gpu:a100"].type == "a100"
    assert tres.gres["gpu"].type_and_name == "gres/gpu" and tres.fs["disk"].count == 2048
    assert tres.other["new"].count == 1
    assert TrackableResources.from_str("", on_empty=7) == 7
    known = {1: TrackableResource("cpu", 0, tres_id=1), 4: TrackableResource("gres", 0, "gpu", 4)}
    by_number = TrackableResources.from_str("1=5,4=2,77=1", known)
    assert by_number.cpu.count == 5 and by_number.gres["gpu"].count == 2
    assert by_number._validate(known) == {1: 5, 4: 2}
    with pytest.raises(ValueError, match="Invalid TRES specified"):
        TrackableResources(nope=1)._validate(known)
    assert json.dumps(tres.to_dict(recursive=True))
    assert "gres/gpu" in tres.to_dict(flatten_limits=True)


@fuzz
@given(st.text("cpu=mem,:/0189GM.gs()(IDX", max_size=40))
def test_odd_resources_are_refused_or_read(text: str) -> None:
    GenericResourceLayout.from_str(text)
    cstr.to_gres_dict(text)
    try:
        found = TrackableResources.from_str(text)
    except (ValueError, OverflowError):
        return
    assert found is None or all(one.count >= 0 for one in found._all())


# -- JSON of every release ----------------------------------------------------------------


@fuzz
@given(st.integers(0, 2**31))
def test_a_number_of_any_release(number: int) -> None:
    shapes = (
        number,
        {"set": True, "infinite": False, "number": number},
        str(number),
        float(number),
    )
    assert {fields.num(shape) for shape in shapes} == {number}


def test_numbers_that_are_none() -> None:
    for nothing in (
        None,
        {"set": False, "infinite": False, "number": 0},
        NO_VAL,
        "",
        "x",
        [],
        True,
    ):
        assert fields.num(nothing) is None
    for endless in ({"set": False, "infinite": True, "number": 0}, INFINITE, "UNLIMITED"):
        assert fields.limit(endless) == UNLIMITED and fields.num(endless) is None
    assert fields.num(65534) == 65534 and fields.num(65534, short=True) is None
    assert fields.num({"set": True, "number": 65534}, short=True) == 65534
    assert fields.moment(0) is None and fields.moment({"set": True, "number": 5}) == 5
    assert fields.states("idle+drain") == ["IDLE", "DRAIN"] and fields.states(["running"]) == [
        "RUNNING"
    ]
    assert fields.exit_status(768) == (3, 0) and fields.exit_status("0:9") == (0, 9)
    assert fields.exit_status(
        {"status": ["FAILED"], "return_code": {"set": True, "number": 3}}
    ) == (3, 0)
    assert fields.flag("YES") is True and fields.flag(0) is False and fields.flag("odd") is None
    assert fields.real({"set": True, "number": 2.5}) == 2.5 and fields.real(True) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["set", "infinite", "number", "signal", "id", "x"]), inner
        )
    ),
    max_leaves=5,
)


@fuzz
@given(anything)
def test_odd_json_is_none_never_an_error(value: Any) -> None:
    for read in (
        fields.num, fields.limit, fields.moment, fields.states, fields.text, fields.written,
        fields.words, fields.flag, fields.exit_status, fields.real,
    ):  # fmt: skip
        read(value)
