"""The speech process: hears callers with grammars, renders prompts with a voice, both on this machine's processors.

Inside, each module is one idea:

- `process`: serves the messages of `protocols.wire.messages` and warms the engines before it says that it is ready;
- `listening`, `channel`: a caller's utterance, from its first frame to what was meant; `turn` decides when to answer;
- `ears`, `recogniser`: an ear per script; `filler`, `confidence`, `model_dir` and `kag` (the library) below it;
- `compiling`: rules, in a process of their own (`compiler`), because pynini and the recogniser cannot share one;
- `synthesiser`: words to prompt files; `mimic` and `flite` (the voices) and `telephone` below it.

Heavy imports (Kaldi, gruut, onnxruntime) happen in this process only, and never here at the front door.
"""

from __future__ import annotations

__all__: list[str] = []
