"""A further language is a directory: nothing else has to know of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import grammars

ROOT = Path(grammars.__file__).parents[1]
ASKED = """
from datetime import date
from pathlib import Path
import grammars
from grammars import load
from grammars.lang import LANGUAGES
from grammars.rules import RuleSpec
from grammars.rules.compile import compile_rule

text = (Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()
script = load(text.replace("version: 1", "version: 1\\nlanguage: qq"))
day = compile_rule(RuleSpec("date", language="qq"), date(2026, 3, 4)).parse("um tomorrow please")
print(LANGUAGES, script.language, script.prompts[0][0].language, day.slots["value"], script.confirm["stop"].sentences)
"""


def test_a_directory_is_all_that_a_further_language_needs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "grammars", tmp_path / "grammars", ignore=shutil.ignore_patterns("__pycache__", "zh"))
    qq = shutil.copytree(tmp_path / "grammars/lang/en", tmp_path / "grammars/lang/qq")
    for module in qq.glob("*.py"):
        module.write_text(module.read_text().replace("grammars.lang.en", "grammars.lang.qq"))
    (qq / "usual_words.tsv").write_text("stop\tStop, you?\nwrong_number\tWrong, you?\nanswer\t{}, you?\nwait\tYes.\n")
    done = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.strip() == "('en', 'qq') qq qq 2026-03-05 (('Stop, you?',),)"
