"""The voices themselves, and how their samples become prompts."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars.tables import table
from nodes.audio import g711
from nodes.config import Config
from nodes.speech.errors import BrokenModel, EngineFailed
from nodes.speech.flite import FliteVoice
from nodes.speech.mimic import MimicVoice
from nodes.speech.process import start_voice
from nodes.speech.synthesiser import DRAFT_S, KEEP_S, Synthesiser, prompt_hash, spoken, sweep
from nodes.speech.telephone import at_8_khz, telephone
from nodes.speech.voices import start_other
from protocols.wire.messages import Part

VOICE = Config().models.voice


@pytest.fixture(scope="module")
def mimic() -> MimicVoice:
    return MimicVoice(VOICE)


def test_the_same_words_are_the_same_samples(mimic: MimicVoice) -> None:
    assert np.array_equal(mimic.speak("Good morning.", 1.0), mimic.speak("Good morning.", 1.0))


def test_a_request_leaves_nothing_to_the_next(mimic: MimicVoice) -> None:
    alone = mimic.speak("Goodbye.", 1.0)
    mimic.speak("One sentence. And another. And a third.", 1.0)
    assert np.array_equal(mimic.speak("Goodbye.", 1.0), alone)


def test_a_faster_rate_takes_less_time(mimic: MimicVoice) -> None:
    assert len(mimic.speak("Good morning.", 1.5)) < 0.8 * len(mimic.speak("Good morning.", 1.0))


@pytest.mark.parametrize("words", ["", " ", "...", "#", "\u4f60\u597d", "& < >"])
def test_words_that_are_none_do_not_end_the_voice(mimic: MimicVoice, words: str) -> None:
    mimic.speak(words, 1.0)
    assert len(mimic.speak("Yes.", 1.0)) > 4000


@pytest.mark.parametrize("name", ["generator.onnx", "config.json", "phonemes.txt"])
def test_a_missing_file_of_a_voice_is_named(tmp_path: Path, name: str) -> None:
    broken = shutil.copytree(VOICE, tmp_path / "en_US" / "broken")
    (broken / name).unlink()
    with pytest.raises(BrokenModel, match=name):
        MimicVoice(broken)


def test_a_network_that_is_cut_short_is_named(tmp_path: Path) -> None:
    broken = shutil.copytree(VOICE, tmp_path / "en_US" / "broken")
    (broken / "generator.onnx").write_bytes((VOICE / "generator.onnx").read_bytes()[:100_000])
    with pytest.raises(BrokenModel, match=r"generator\.onnx"):
        MimicVoice(broken)


def test_a_voice_that_does_not_start_is_replaced_and_that_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = start_voice(tmp_path / "no" / "voice")
    assert isinstance(voice, FliteVoice)
    assert "speech.voice_of_last_resort" in capsys.readouterr().out
    assert len(voice.speak("Good morning.", 1.0)) > 8000


@pytest.mark.parametrize("rate_hz", [16000, 22050])
@pytest.mark.parametrize("tone_hz", [300, 1000, 3000])
def test_what_the_telephone_carries_stays_as_it_is(rate_hz: int, tone_hz: int) -> None:
    tone = 8000 * np.sin(2 * np.pi * tone_hz * np.arange(rate_hz) / rate_hz)
    low = at_8_khz(tone.astype(np.int16), rate_hz)[100:-100].astype(float)
    expected = 8000 * np.sin(2 * np.pi * tone_hz * np.arange(8000) / 8000)[100:-100]
    assert np.abs(low - expected).max() < 320  # -28 dB, at the edge of the band


@pytest.mark.parametrize("rate_hz", [16000, 22050])
def test_what_it_does_not_carry_is_not_folded_into_it(rate_hz: int) -> None:
    tone = 8000 * np.sin(2 * np.pi * 5000 * np.arange(rate_hz) / rate_hz)
    assert np.abs(at_8_khz(tone.astype(np.int16), rate_hz)[100:-100]).max() < 16


def test_a_prompt_waits_ten_milliseconds_at_most() -> None:
    late = np.concatenate([np.zeros(16000, np.int16), np.full(16000, 8000, np.int16) * np.resize([1, -1], 16000)])
    tone = np.sin(2 * np.pi * 500 * np.arange(16000) / 16000) * 12000
    late[16000:] = tone.astype(np.int16)
    audio = g711.decode(telephone(late, 16000))
    assert 8000 <= len(audio) <= 8000 + 160
    assert telephone(np.zeros(8000, np.int16), 16000) == b""


@given(st.lists(st.tuples(st.text(max_size=20), st.sampled_from(["", "digits", "money", "date"])), max_size=4))
@settings(max_examples=50)
def test_any_parts_have_a_spoken_form(parts: list[tuple[str, str]]) -> None:
    words = spoken([Part(text, kind) for text, kind in parts])
    assert "  " not in words


def test_a_name_depends_on_voice_rate_and_words_and_on_nothing_else() -> None:
    assert prompt_hash("v", 1.0, "hello") == prompt_hash("v", 1, "hello")
    names = {prompt_hash(voice, rate, words) for voice in "ab" for rate in (1.0, 1.1) for words in ("x", "y")}
    assert len(names) == 8


def test_what_nobody_asked_for_in_a_month_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "p.ulaw").write_bytes(b"\xff")
    now = time.time()
    sweep(tmp_path, now + KEEP_S - 60)
    assert (tmp_path / "p.ulaw").exists()
    sweep(tmp_path, now + KEEP_S + 60)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_deleted_but_not_what_one_is_writing(tmp_path: Path) -> None:
    (tmp_path / ".p.ulaw.4711").write_bytes(b"\xff")
    sweep(tmp_path, time.time())
    assert list(tmp_path.iterdir())
    sweep(tmp_path, time.time() + 2 * DRAFT_S)
    assert not list(tmp_path.iterdir())


async def test_the_same_sentence_asked_for_at_once_is_rendered_once(tmp_path: Path) -> None:
    synthesiser = Synthesiser(tmp_path / "prompts", FliteVoice)
    await synthesiser.start()
    prompts = await asyncio.gather(*(synthesiser.render([Part("Good morning.")]) for _ in range(5)))
    assert len(set(prompts)) == 1
    assert synthesiser.n_rendered == 1
    assert synthesiser.path(prompts[0].prompt).stat().st_size == prompts[0].ms * 8
    assert prompts[0].ms % 20 == 0
    with pytest.raises(EngineFailed):
        await synthesiser.render([Part("")])
    synthesiser.close()


async def test_each_prompt_is_said_by_the_voice_of_its_language(tmp_path: Path) -> None:
    synthesiser = Synthesiser(tmp_path / "prompts", FliteVoice)
    try:
        await synthesiser.start()
        english = await synthesiser.render([Part("Due on"), Part("2026-10-03", "date")])
        chinese = await synthesiser.render([Part("还款日是", language="zh"), Part("2026-10-03", "date", "zh")])
        assert english.spoken == "Due on October third twenty twenty six"
        assert chinese.spoken == "还款日是二零二六年十月三号"
        assert 2000 < chinese.ms < 6000
        with pytest.raises(EngineFailed, match="no language 'tlh'"):
            await synthesiser.render([Part("nuqneH", language="tlh")])
    finally:
        synthesiser.close()


def test_mandarin_is_read_as_mandarin_and_the_tone_is_in_it() -> None:
    voice = start_other("zh")
    four = {tone: voice.speak(tone, 1.0) for tone in "妈麻马骂"}
    assert len({samples.tobytes() for samples in four.values()}) == 4
    assert len(voice.speak("三", 1.0)) < 0.8 * voice.rate_hz  # and not "san one", as its voice cmn has it
    assert np.array_equal(voice.speak("银行", 1.0), voice.speak("yin2 hang2", 1.0))
    assert not np.array_equal(voice.speak("银行", 1.0), voice.speak("yin2 xing2", 1.0))


@pytest.mark.parametrize("words", ["", "。", "-v en", "<b>", "王芳 Li Ming 🙂"])
def test_no_words_end_the_voice_of_another_language(words: str) -> None:
    voice = start_other("zh")
    voice.speak(words, 1.0)
    assert len(voice.speak("是。", 1.0)) > 2000


def test_characters_that_the_pack_calls_mute_are_those_that_the_voice_cannot_say() -> None:
    mute = "".join(row[0] for row in table("grammars.lang.zh", "mute"))
    given = "\n".join(f"{one}。" for one in mute + "您好康宁銀行囍").encode()
    said = subprocess.run(
        ["espeak-ng", "-v", "cmn-latn-pinyin", "-q", "-x", "--stdin"], input=given, capture_output=True, check=True
    )
    phonemes = said.stdout.decode().split()
    assert set(phonemes[: len(mute)]) == {"@:11_|"}
    assert "@:11_|" not in phonemes[len(mute) :]
