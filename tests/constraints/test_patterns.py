"""Patterns that look ahead or behind, ranges and exclusions, as expressions that llguidance reads."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from xlc_core.constraints.pattern_parts import between, integers, other_than
from xlc_core.constraints.patterns import translate


def found(pattern: str, text: str) -> bool:
    """Search as llguidance does: ``$`` is the end of the text only."""
    return re.search(pattern.replace("$", r"\Z").replace(r"\z", r"\Z"), text) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?=.*b)(?=.*c).{2,3}$",
        r"^(?!\s*$).+",
        r"^(?!-)[a-c-]+(?<!-)$",
        r"^(?!.*-)[a-c-]+$",
        r"^(?!ab|c)[abc]+$",
        r"^(?!(?:ab|a|cc)$)[abc]+$",
        r"^(?!.*\.\.)[a.]*$",
        r"^(?!.*ab)[abc]*\Z",
        r"^(?!a\.b).*$",
        r"(?i)^(?=.*A)[a-c]+$",
        r"^(?=a|b)[abc]*$",
        r"[(?=]a",
        r"^\(?=?a",
    ],
)
def test_translated_patterns_match_same_texts(pattern: str) -> None:
    translated = translate(pattern)
    assert translated is not None
    for size in range(5):
        for letters in itertools.product("abc.- ", repeat=size):
            text = "".join(letters)
            assert found(pattern, text) == all(found(part, text) for part in translated), (text, translated)


@pytest.mark.parametrize(
    "pattern", [r"\bfoo\b", r"(a)\1", r"^(?=a)b|c", r"a++", r"^a(?!b)c", r"(?P<x>a)(?P=x)", "(?>a)"]
)
def test_other_patterns_are_not_translated(pattern: str) -> None:
    assert translate(pattern) is None


def test_integers_of_range() -> None:
    random_ = random.Random(1)
    for _ in range(40):
        low = random_.randint(-300, 1500)
        high = low + random_.randint(0, random_.choice([3, 50, 2000]))
        for least, most in ((low, high), (None, high), (low, None)):
            pattern = re.compile(integers(least, most))
            for value in range(-600, 4000, 7):
                inside = (least is None or value >= least) and (most is None or value <= most)
                assert (pattern.fullmatch(str(value)) is not None) == inside, (least, most, value)
    assert not re.fullmatch(integers(None, None), "01")
    assert not re.fullmatch(integers(None, None), "-0")


def test_dates_of_range() -> None:
    days = [f"{year}-{month:02}-{day:02}" for year in (1999, 2020, 2021) for month in (1, 9, 12) for day in (1, 10, 28)]
    for low, high in itertools.combinations_with_replacement(days, 2):
        assert [day for day in days if re.fullmatch(between(low, high), day)] == [d for d in days if low <= d <= high]


def test_words_that_are_excluded() -> None:
    pattern = re.compile(other_than(["ab", "abc", "a", "ba"], "abc"))
    for size in range(6):
        for letters in itertools.product("abc", repeat=size):
            text = "".join(letters)
            assert (pattern.fullmatch(text) is not None) == (text not in {"", "ab", "abc", "a", "ba"})
