"""Probabilities of labels from the candidates for a token."""

from __future__ import annotations

import math

import pytest

from xlc_core import TokenLogprob
from xlc_core.generation.label_probabilities import label_logprobs, label_probabilities


def token(text: str, probability: float, others: dict[str, float]) -> TokenLogprob:
    top = tuple(TokenLogprob(other, n, math.log(p)) for n, (other, p) in enumerate(others.items(), start=1))
    return TokenLogprob(text, 0, math.log(probability), top)


def test_spellings_of_label_add_up() -> None:
    answer = token("A", 0.2, {" A": 0.1, "B": 0.1, "C": 0.5})
    assert label_probabilities(answer, ["A", "B"]) == pytest.approx([0.75, 0.25])


def test_token_itself_counts_once() -> None:
    answer = TokenLogprob(
        "A", 7, math.log(0.5), (TokenLogprob("A", 7, math.log(0.5)), TokenLogprob("B", 8, math.log(0.25)))
    )
    assert label_probabilities(answer, ["A", "B"]) == pytest.approx([2 / 3, 1 / 3])


def test_label_that_is_not_there_has_no_probability() -> None:
    assert label_probabilities(token("A", 0.5, {}), ["A", "B"]) == [1.0, 0.0]
    assert label_logprobs(token("A", 0.5, {}), ["B"]) == [-math.inf]


def test_tiny_probabilities_keep_their_ratio() -> None:
    answer = TokenLogprob("A", 0, -2000.0, (TokenLogprob("B", 1, -2000.0 - math.log(3)),))
    assert label_probabilities(answer, ["A", "B"]) == pytest.approx([0.75, 0.25])


def test_case_counts_unless_it_is_ignored() -> None:
    answer = token("Yes", 0.5, {"yes": 0.25, "no": 0.25})
    assert label_logprobs(answer, ["yes"]) == pytest.approx([math.log(0.25)])
    assert label_logprobs(answer, ["yes"], ignore_case=True) == pytest.approx([math.log(0.75)])


def test_token_that_is_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="'maybe' is not one of the labels"):
        label_probabilities(token("maybe", 1.0, {}), ["yes", "no"])
