"""A script in a language: what it may say, what it must say first, and who can hear what it asks."""

import re
from pathlib import Path

import msgspec
import pytest

import grammars
from grammars import Conversation, ConversationState, Reason, Script, ScriptError, load
from grammars.conversation_state import Begin, Say
from grammars.script_check import unheard
from grammars.script_pack import pack, unpack
from protocols.wire.messages import Part

SCRIPTS = Path(grammars.__file__).parent / "scripts"
HELLO, CHINESE = ((SCRIPTS / f"{name}.yaml").read_text() for name in ("hello", "appointment_reminder_zh"))
CONTACT = {"name": "王芳", "clinic": "康宁医院", "date": "2026-12-05", "time": "15:30"}


def reasons_of(text: str) -> list[str]:
    """Why a text is refused, with the words of the line that each reason names."""
    try:
        load(text)
    except ScriptError as refused:
        lines = text.splitlines()
        return [f"{lines[each.line - 1].split(':')[0].strip()}: {each.reason}" for each in refused.reasons]
    return []


def test_what_the_voice_of_the_language_cannot_say_is_refused_at_its_line() -> None:
    assert reasons_of(HELLO.replace("Can you hear me well?", "你听得清楚吗？")) == [
        "say: say: no voice here can say '你听得清楚吗'"
    ]
    assert reasons_of(CHINESE.replace("请问几点方便？", "请问几点方便，Олег？")) == [
        "say: say: no voice here can say 'Олег'"
    ]
    assert reasons_of(CHINESE.replace("请问几点方便？", "请问几点方便，VIP 客户 Li Ming？")) == []


def test_what_is_listened_for_is_in_the_language_too() -> None:
    assert reasons_of(CHINESE.replace('"改[一下|个]期"', '"改[一下|个]期 до свидания"')) == [
        "rule: phrase: '改[一下|个]期 до свидания': 'досвидания' is not said in Mandarin"
    ]


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ("您好，我是{clinic}的智能语音助手。不想再接到来电请按九。", []),
        ("您好，这里是{clinic}。这是自动语音来电，如需退订请按数字键9。", []),
        ("您好，我是{clinic}的機器人。不想再接到來電請按数字键九。", []),
        ("您好，我是{clinic}的小王。不想再接到来电请按九。", ["machine calls, for example: 智能语音"]),
        (
            "您好，我是您的智能语音助手。不想再接到来电请按九。",
            ["behalf the machine calls, for example: 我是{company}的"],
        ),
        ("您好，我是{clinic}的智能语音助手。", ["no more calls, for example: 按九"]),
        ("This is an automated call from {clinic}. Press nine to stop.", ["智能语音", "我是{company}的", "按九"]),
    ],
)
def test_the_callee_is_told_first_in_the_language_of_the_script(said: str, reasons: list[str]) -> None:
    text = re.sub(r"identify: .*", f"identify: {said}", CHINESE)
    found = reasons_of(text)
    assert len(found) == len(reasons)
    assert all(each.endswith(reason) for each, reason in zip(found, reasons, strict=True))


def test_a_question_in_a_language_that_nobody_hears_needs_a_key() -> None:
    script = load(CHINESE)
    assert [*unheard(script, ("en",))] == []
    text = CHINESE.replace("      dtmf: {0: human}\n\n  which_time", "\n  which_time")
    line = next(n for n, each in enumerate(text.splitlines(), start=1) if each.startswith("  which_day"))
    why = (
        "no recogniser here hears Mandarin (speech.hears): give it keys (`dtmf`), for it can only be answered by voice"
    )
    assert [*unheard(load(text), ("en",))] == [Reason(line, why)]
    assert [*unheard(load(text), ("en", "zh"))] == []


def test_every_sentence_of_a_script_is_in_its_language_and_nothing_is_said_of_english() -> None:
    def languages(script: Script) -> set[str]:
        return {part.language for prompt in script.speakable(CONTACT) for part in prompt}

    assert (languages(load(CHINESE)), languages(load(HELLO))) == ({"zh"}, {""})
    script = load(CHINESE)
    talk = Conversation(script, ConversationState.new(script, CONTACT))
    said = next(effect for effect in talk.step(Begin()) if isinstance(effect, Say))
    assert said.prompts[1][0] == Part("我是", "", "zh")
    assert said.prompts[1][1] == Part("康宁医院", "text", "zh")
    assert talk.state.prompt == said.prompts  # who goes on with the call says it in the same language


def test_a_packed_script_has_its_language_and_one_of_before_is_english() -> None:
    chinese = unpack(pack(load(CHINESE)))
    assert (chinese.language, {spec.language for spec in chinese.rules.values()}) == ("zh", {"zh"})
    before = msgspec.msgpack.decode(pack(load(HELLO)))
    del before["language"]
    for spec in before["rules"].values():
        del spec["language"]
    english = unpack(msgspec.msgpack.encode(before))
    assert (english.language, {spec.language for spec in english.rules.values()}) == ("en", {"en"})


def test_a_packed_script_in_a_language_that_is_not_there_is_refused() -> None:
    later = msgspec.msgpack.decode(pack(load(HELLO)))
    for spec in later["rules"].values():
        spec["language"] = "tlh"
    with pytest.raises(ScriptError, match="no language 'tlh'; there are en, zh"):
        unpack(msgspec.msgpack.encode(later))
