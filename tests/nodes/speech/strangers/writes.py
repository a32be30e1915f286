"""A recogniser as somebody else's package brings it, that only writes text."""

from collections.abc import Mapping
from pathlib import Path

import pocketsphinx

from grammars.rules.spec import RuleSpec
from nodes.audio import g711
from nodes.audio.resample import Upsampler
from nodes.speech.recogniser import Capabilities
from nodes.speech.rules import Rules
from nodes.speech.sphinx import confidence
from nodes.speech.text_ear import TextEar

SENTENCES = """yes please|no thank you|i want to speak to an agent|the children are playing in the garden
|my dog likes to swim in the lake""".replace("\n", "")
CHANNEL = "39.3,7.0,-10.1,10.1,-8.3,3.3,-3.6,-1.9,1.3,-3.3,1.8,-2.7,1.2"
MODEL = Path(pocketsphinx.get_model_path()) / "en-us"


class Text:
    """pocketsphinx without a grammar of ours: it writes down one of some sentences."""

    def __init__(self, words: Path) -> None:
        self._decoder = pocketsphinx.Decoder(
            hmm=str(MODEL / "en-us"), dict=str(words), lm=None, lw=1.0, bestpath=False, loglevel="FATAL"
        )
        self._decoder.add_jsgf_string("any", f"#JSGF V1.0; grammar any; public <any> = {SENTENCES};")
        self._decoder.activate_search("any")
        self._is_open = False
        self.again()

    def feed(self, audio: bytes) -> None:
        if audio:
            self._decoder.process_raw(self._raised(g711.decode(audio)).tobytes(), False, False)

    def text(self) -> tuple[str, float]:
        best = self._decoder.hyp()
        heard = [(one.word, one.start_frame, one.end_frame, one.ascore) for one in self._decoder.seg() or ()]
        return (f"Uh, {best.hypstr}." if best else ""), confidence(heard, 0)

    def finish(self) -> tuple[str, float]:
        self._decoder.end_utt()
        self._is_open = False
        return self.text()

    def again(self) -> None:
        if self._is_open:
            self._decoder.end_utt()
        self._raised = Upsampler()
        self._decoder.start_stream()
        self._decoder.set_cmn(CHANNEL)
        self._decoder.start_utt()
        self._is_open = True


class Writes:
    capabilities = Capabilities("text", ("en",), (16000,))

    def __init__(self, model: Path | None) -> None:
        pass

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> TextEar:
        into.mkdir()
        known = set(SENTENCES.replace("|", " ").split())
        lines = (MODEL / "cmudict-en-us.dict").read_text().splitlines(keepends=True)
        (into / "words").write_text(
            "".join(line for line in lines if line.partition(" ")[0].partition("(")[0] in known)
        )
        return TextEar(Rules(rules), lambda: Text(into / "words"))
