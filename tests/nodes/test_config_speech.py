"""Which recogniser hears whom: what may be said of it, and what is made of that."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import Config, parse
from nodes.config_running import check, over, read, with_use, written
from nodes.config_speech import KALDI, Engine, Speech, Use
from nodes.launcher import roles
from nodes.tables import ConfigError

NODE = '[speech]\nprocesses = 2\n[[speech.engines]]\nname = "pocketsphinx"\n[[speech.engines]]\nname = "theirs"\n'
NAMES = st.sampled_from(["kaldi", "pocketsphinx", "theirs", "gone", ""])
USES = st.builds(Use, NAMES, st.integers(0, 100), st.sampled_from(["", "spring", "autumn"]))


def node(more: str = "") -> Config:
    return parse(NODE + more, "ringmaster.toml", Path("/srv"))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('[[speech.engines]]\nprocesses = 1', "speech.engines[0].name", "is missing"),
        ('[[speech.engines]]\nname = "a"\nprocesses = 0', "speech.engines[0].processes", "0 is not between 1 and 256"),
        ('[[speech.engines]]\nname = "kaldi"', "speech", "engines: kaldi, kaldi: one is named twice"),
        ('[[speech.engines]]\nname = ""', "speech", "engines: one has an empty name"),
        ('[[speech.use]]\nengine = "a"', "speech.use", "a is none of speech.engines; there are kaldi"),
        ('[[speech.use]]\nengine = "kaldi"\npercent = 101', "speech.use[0].percent", "101.0 is not between 0 and 100"),
        ('[speech]\nuse = [{engine = "kaldi"}, {engine = "kaldi"}]', "speech", "use: one row for each campaign"),
        ('[[speech.use]]\nengine = "kaldi"\ncampain = "x"', "speech.use[0].campain", "did you mean campaign"),
    ],
)  # fmt: skip
def test_an_error_names_file_and_field(text: str, key: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, "ringmaster.toml", Path("/srv"))
    assert (refused.value.file, refused.value.key) == ("ringmaster.toml", key)
    assert reason in refused.value.reason


def test_each_recogniser_has_processes_of_its_own_and_none_shares_one() -> None:
    config = node()
    names = [name for name, role in roles(config).items() if role == "speech"]
    assert names == ["speech-0", "speech-1", "speech-2", "speech-3"]
    heard_with = [config.speech.of_process(name).name for name in names]
    assert heard_with == ["kaldi", "kaldi", "pocketsphinx", "theirs"]
    assert Config().speech.n_processes == 2


@given(st.lists(USES, max_size=3, unique_by=lambda use: use.campaign), st.text(max_size=8), NAMES)
def test_whatever_is_said_a_call_is_heard_by_somebody_who_is_there(uses: list[Use], call: str, script: str) -> None:
    speech = Speech(2, engines=(Engine("pocketsphinx"), Engine("theirs")), use=tuple(uses))
    assert speech.chosen(call, "spring", script) in speech.names


@given(st.integers(0, 100), st.integers(0, 100), st.uuids().map(str))
def test_a_call_that_is_among_the_per_cent_stays_so_when_they_become_more(less: int, more: int, call: str) -> None:
    few, many = (
        Speech(2, engines=(Engine("theirs"),), use=(Use("theirs", percent),)).chosen(call, "", "")
        for percent in sorted((less, more))
    )
    assert (few, many) != ("theirs", KALDI)
    assert less or more or many == KALDI


def test_so_many_of_a_hundred_calls_are_heard_by_it() -> None:
    speech = Speech(2, engines=(Engine("theirs"),), use=(Use("theirs", 30),))
    assert 250 < sum(speech.chosen(f"{n:032x}", "", "") == "theirs" for n in range(1000)) < 350


def test_a_campaign_goes_before_the_script_and_the_script_before_all_others() -> None:
    speech = node().speech
    assert speech.chosen("c", "spring", "theirs") == "theirs"
    speech = over(node(), with_use(node(), {}, Use("pocketsphinx"))).speech
    assert speech.chosen("c", "spring", "") == "pocketsphinx"
    assert speech.chosen("c", "spring", "theirs") == "theirs"
    assert speech.chosen("c", "spring", "not here") == "pocketsphinx"
    body = with_use(node(), with_use(node(), {}, Use("pocketsphinx")), Use(KALDI, campaign="spring"))
    speech = over(node(), body).speech
    assert speech.chosen("c", "spring", "theirs") == KALDI
    assert speech.chosen("c", "autumn", "") == "pocketsphinx"


def test_what_is_changed_is_a_version_that_people_can_read_and_go_back_from() -> None:
    config = node('[[speech.use]]\nengine = "theirs"\npercent = 5\n')
    body = with_use(config, {"central": {"base": 4.0}}, Use("pocketsphinx", 10, "spring"))
    assert read(written(body, 3), "new.toml") == (3, body)
    assert over(config, body).speech.use == (Use("theirs", 5.0), Use("pocketsphinx", 10.0, "spring"))
    body = with_use(config, body, Use(KALDI))
    assert over(config, body).speech.use == (Use("pocketsphinx", 10.0, "spring"),)
    assert over(config, {}).speech.use == (Use("theirs", 5.0),)


def test_a_version_that_names_a_recogniser_of_another_node_holds_where_it_is() -> None:
    body = with_use(node(), {}, Use("pocketsphinx"))
    check(body)
    alone = over(Config(), body)
    assert alone.speech.strangers == ["pocketsphinx"]
    assert alone.speech.chosen("c", "", "") == KALDI
