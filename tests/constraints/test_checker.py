"""The native checker with the real llguidance and real vocabularies, and no model."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from xlc_core import _native
from xlc_core.constraints.checking import llguidance_library, native_module
from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.text_constraints import Choice, Gbnf, Lark, Regex
from xlc_core.errors import ConstraintError, ModelLoadError, UnsupportedFeatureError

ROOT = Path(__file__).parents[2]
VOCABULARIES = ROOT / "vendor" / "llama.cpp" / "models"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 3},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}

# Each rule names the next, twice or once: 2^60 ways to a first character, or 50,000 levels deep.
AMBIGUOUS = Gbnf("root ::= a0\n" + "".join(f"a{i} ::= a{i + 1} | a{i + 1}\n" for i in range(60)) + 'a60 ::= "x"')
LONG_CHAIN = Gbnf("root ::= a0\n" + "".join(f"a{i} ::= a{i + 1}\n" for i in range(50_000)) + 'a50000 ::= "x"')


@pytest.fixture(autouse=True, scope="module")
def _library() -> None:
    _native.set_llguidance_path(llguidance_library())


@pytest.fixture(params=["smollm2", "llama-spm", "qwen2"])
def vocab(request: pytest.FixtureRequest) -> _native.VocabFile:
    if request.param == "smollm2":
        return _native.VocabFile.open(str(request.getfixturevalue("smollm2_path")))
    return _native.VocabFile.open(str(VOCABULARIES / f"ggml-vocab-{request.param}.gguf"))


@pytest.mark.parametrize(
    ("constraint", "accepted", "refused"),
    [
        (Regex(r"\d{4}-\d{2}"), ["2024-05"], ["2024-5", " 2024-05", "2024-05\n", ""]),
        (Regex(r"a/b|c\/d|[/]"), ["a/b", "c/d", "/"], ["a", "b"]),
        (Regex("a\nb\0"), ["a\nb\0"], ["anb"]),
        (Regex("^(yes|no)$"), ["yes", "no"], ["yes no"]),
        (Regex("(?i)straße"), ["STRAße"], ["strasse"]),
        (
            Choice("yes", "yes, please", 'a "b"\\\n\x7f\x01/é😀'),
            ["yes", "yes, please", 'a "b"\\\n\x7f\x01/é😀'],
            ["ye"],
        ),
        (JsonObject(), ["{}", '{"a": [1, {"b": null}]}'], ["[]", "{", "1"]),
        (Lark('start: "a" b\nb: "b" b | "c"'), ["ac", "abbc"], ["ab", "bc"]),
        (Lark("%llguidance {}\nstart: /a+/"), ["aa"], ["b"]),
        (Gbnf('root ::= "a" ("é" | [0-9])+ # end\n'), ["aé", "a1é"], ["a", "ab"]),
        (Gbnf('root ::= ("a"? "b"?)* "."'), [".", "abab."], ["c"]),
    ],
)
def test_accepts_exactly_the_language(constraint: Constraint, accepted: list[str], refused: list[str]) -> None:
    constraint.check()
    for text in accepted:
        assert constraint.accepts(text), text
    for text in refused:
        assert not constraint.accepts(text), text


def test_generated_json_is_compact_but_any_white_space_is_accepted() -> None:
    constraint = JsonSchema(PERSON)
    pretty = json.dumps({"name": "Ada", "age": 36}, indent=4)
    assert constraint.accepts(f"\n {pretty}\n")
    for text, generated in [
        ('{"name":"A","age":1}', False),
        ('{"name": "A", "age": 1}', True),
        (pretty, False),
    ]:
        assert _native.accepts(*constraint.grammar(), text) is generated


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"not": {"pattern": "a"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"if": {"pattern": "a"}, "then": {"minLength": 1}}, "if"),
        ({"type": "array", "contains": {"type": "null"}}, "contains"),
        ({"type": "object", "propertyNames": {"not": {"maxLength": 3}}}, "propertyNames"),
        ({"type": "string", "format": "shoe-size"}, "Unknown format: shoe-size"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"$ref": "#/$defs/missing"}, "does not exist"),
        ({"$ref": "#"}, "no text satisfies it"),
        ({"enum": []}, "Unsatisfiable"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "Unsatisfiable"),
        ({"type": "shoe"}, "Invalid type: shoe"),
    ],
)
def test_unsupported_schema_is_refused_with_reason(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason) as caught:
        JsonSchema({"description": "x" * 100_000, **schema}).check()
    assert len(str(caught.value)) < 2200


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Regex(r"\bfoo"), "lookarounds"),
        (Regex("(a"), "unclosed group"),
        (Lark("start: foo"), r'1\(22\): unknown name: "foo"'),
        (Lark('begin: "a"'), "no start rule"),
        (Lark("start: <|im_end|>"), "unknown special token"),
        (Gbnf('root ::= "a" b'), "rule 'b' is used but not defined"),
        (Gbnf('answer ::= "a"'), "does not define the rule 'root'"),
        (Gbnf('root ::= "a"\nb = "c"'), "expecting ::= at line 2, column 3"),
        (Gbnf('root ::= root "a" | "b"'), "'root' returns to itself"),
        (Gbnf('root ::= b root "x" | "y"\nb ::= c\nc ::= ""'), "'root' returns to itself"),
        (Gbnf('root ::= ("" | "a")*'), "left recursion"),
        (Gbnf("root ::= " + "(" * 100_000), "nested more than 64 deep at line 1, column 74"),
        (Gbnf('root ::= "' + "a" * 1000 + '"{2000}'), "1000000 elements"),
        # llama.cpp wrote out the difference as a number without a sign, until the memory was used up.
        (Gbnf('root ::= "a"{3,1}'), "minimum 3 and the maximum 1 at line 1, column 13"),
        (Gbnf('root ::= ("a"{ 2 # 9}\n, 0})'), "minimum 2 and the maximum 0"),
        (AMBIGUOUS, "too ambiguous"),
        (LONG_CHAIN, "begin with one another"),
        (Gbnf("root ::= <think>"), "no vocab to parse token"),
    ],
)
def test_malformed_grammar_is_refused_with_place(constraint: Constraint, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        constraint.check()


@pytest.mark.parametrize(
    "text",
    [
        "start: a0\n" + "".join(f"a{i}: a{i + 1}\n" for i in range(20_000)) + 'a20000: "x"',
        "start: A0\n" + "".join(f'A{i}: ("b" A{i + 1} "c")*\n' for i in range(20_000)) + 'A20000: "x"',
    ],
)
def test_long_chains_do_not_overflow_small_stack(text: str) -> None:
    failures: list[Exception] = []

    def check() -> None:
        try:
            Lark(text).check()
        except Exception as error:
            failures.append(error)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert not failures


def test_explain_returns_position_and_expected_tokens() -> None:
    found = Regex("ab+").explain("abx")
    assert (found.accepted, found.complete, found.n_bytes, found.expected) == (
        False,
        True,
        2,
        [b"b"],
    )
    found = Regex("é+").explain("éa")
    assert (found.complete, found.n_bytes, found.expected) == (True, 2, [b"\xc3"])
    found = Gbnf('root ::= "é" [xy]').explain("é")
    assert (found.accepted, found.n_bytes, found.expected) == (False, 2, [b"x", b"y"])
    assert Regex("ab+").explain("ab").accepted


def test_model_tokens_and_bytes_judge_alike(vocab: _native.VocabFile) -> None:
    schema = JsonSchema(PERSON)
    texts = [
        '{"name": "Ada", "age": 36}',
        '{"name":"","age":7,"tags":["red", "green"]}',
        '{"name": 1}',
        " {",
    ]
    for text in texts:
        assert _native.accepts(*schema.grammar(), text, vocab) == _native.accepts(*schema.grammar(), text)
    found = _native.explain(*Regex("(ab)+c").grammar(), "abab", vocab)
    assert (found.complete, found.n_bytes) == (False, 4)
    assert b"c" in found.expected


def test_accepted_json_is_valid(vocab: _native.VocabFile) -> None:
    for value in ({"name": 'é😀"\\', "age": 150, "tags": []}, {"name": "a", "age": 0}):
        text = json.dumps(value, ensure_ascii=False)
        jsonschema.validate(value, PERSON)
        assert _native.accepts(*JsonSchema(PERSON).checking_grammar(), text, vocab)


def test_tokenizer_that_changes_text_is_refused() -> None:
    bert = _native.VocabFile.open(str(VOCABULARIES / "ggml-vocab-bert-bge.gguf"))
    with pytest.raises(UnsupportedFeatureError, match="check it without a model"):
        _native.accepts(*Regex("a +B").grammar(), "a  B", bert)


def test_control_tokens_are_not_text(smollm2_path: Path) -> None:
    vocab = _native.VocabFile.open(str(smollm2_path))
    number = vocab.control_token("<|im_start|>")
    assert number >= 0
    assert vocab.control_token("<think>") == -1
    assert _native.accepts("lark", f"%llguidance {{}} start: <[{number}]> /a/", "<|im_start|>a", vocab)
    assert not _native.accepts(*Regex(r".*").grammar(), "<|im_start|>", vocab)


@pytest.mark.parametrize(
    ("start_tag", "accepted", "refused"),
    [
        (
            None,
            ["hm\n</think>yes", "a < b </thin</think>\n\nno"],
            ["yes", "hm", "hm</think>", "hm</think>maybe"],
        ),
        (
            "<think>",
            ["<think>hm</think>\nyes", "<think></think>no", "yes"],
            ["hm</think>yes", "<think>yes"],
        ),
    ],
)
def test_thinking_comes_before_the_answer(start_tag: str | None, accepted: list[str], refused: list[str]) -> None:
    _, answer = Choice("yes", "no").grammar()
    lark = Lark(with_thinking(answer, start_tag, ["</think>", "[/THINK]"]))
    for text in accepted:
        assert lark.accepts(text), text
        assert lark.accepts(text.replace("</think>", "[/THINK]")), text
    for text in refused:
        assert not lark.accepts(text), text


def test_thinking_in_control_tokens(smollm2_path: Path) -> None:
    vocab = _native.VocabFile.open(str(smollm2_path))
    ids = {tag: vocab.control_token(tag) for tag in ("<|im_start|>", "<file_sep>")}
    assert min(ids.values()) >= 0
    _, answer = Choice("yes").grammar()
    text = with_thinking(answer, "<|im_start|>", ["<file_sep>", "</think>"], token_ids=ids)
    for thoughts in ("<|im_start|>hm<file_sep>\nyes", "<|im_start|>hm</think>yes", "yes"):
        assert _native.accepts("lark", text, thoughts, vocab), thoughts
    assert not _native.accepts("lark", text, "<|im_start|>hm yes", vocab)


def test_checks_run_in_parallel(smollm2_path: Path) -> None:
    vocab = _native.VocabFile.open(str(smollm2_path))
    results: list[bool] = []

    def check(i: int) -> None:
        results.append(_native.accepts(*Regex(rf"a{{{i}}}").grammar(), "a" * i, vocab))

    threads = [threading.Thread(target=check, args=(i,)) for i in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 16


def test_file_that_is_not_a_model_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="is it a GGUF file"):
        _native.VocabFile.open(__file__)


@pytest.mark.parametrize("path", ["", os.devnull, "/nowhere/_lib.so"])
def test_missing_library_names_remedy(path: str) -> None:
    code = f"""if True:
        from xlc_core import _native
        from xlc_core.errors import UnsupportedFeatureError
        _native.set_llguidance_path({path!r})
        try:
            _native.check_constraint("lark", "start: /a/")
        except UnsupportedFeatureError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'llguidance>=1.7.5,<2'" in result.stdout


def test_wheel_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    native_module.cache_clear()
    with pytest.raises(UnsupportedFeatureError, match="pip install"):
        Regex("never checked before").check()
