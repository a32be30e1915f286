"""A library that is untyped, heavy or could be replaced is met in one module: the rest of the code does not know it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = {
    "kaldi_active_grammar": "nodes/speech/kag.py",
    "pocketsphinx": "nodes/speech/sphinx.py",
    "pynini": "grammars/fst.py",
    "pywrapfst": "grammars/fst.py",
    "mimic3_tts": "nodes/speech/mimic.py",
    "onnxruntime": "nodes/speech/mimic.py",
    "gruut": "grammars/lang/en/lexicon.py",
    "webrtcvad": "nodes/audio/vad.py",
    "argon2": "nodes/admin/hashing.py",
    "duckdb": "nodes/recorder/",
    "msgpack": "nodes/unpacking.py",
    "yaml": "grammars/script_tree.py",
    "phonenumbers": "nodes/central/contacts.py",
    "nats": "nodes/bus/",
    "opentelemetry": "nodes/telemetry/otlp.py",
    "pyroscope": "nodes/telemetry/profiler.py",
    "zmq": "nodes/mesh/",
    "boto3": "nodes/storage/store.py",
    "botocore": "nodes/storage/store.py",
    "cryptography": "nodes/storage/sealing.py",
    "mode": "nodes/bench/peers/services.py",
    "pykka": "nodes/bench/peers/threads.py",
}


@pytest.mark.parametrize(("library", "home"), HOMES.items())
def test_a_library_is_imported_by_its_adapter_only(library: str, home: str) -> None:
    importing = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
    modules = (
        path for room in ("supervisors", "protocols", "grammars", "nodes") for path in (ROOT / room).rglob("*.py")
    )
    found = [path.relative_to(ROOT).as_posix() for path in modules if importing.search(path.read_text())]
    assert found
    assert [name for name in found if not name.startswith(home)] == []
