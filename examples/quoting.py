"""Quotes for the rag_ examples: an answer of sentences from the passages, and nothing else."""

import json
from collections.abc import Collection, Sequence
from itertools import pairwise

import xlc_core as xlc


def quotes(passages: Sequence[Sequence[str]], starts: Collection[str]) -> xlc.Lark:
    """Allow a sentence and perhaps the one behind it, then perhaps the same from another passage.

    Args:
        passages: the sentences of each passage.
        starts: the sentences with which a quote may begin.
    """
    rules = {}
    for number, sentences in enumerate(passages):
        texts = [json.dumps(text, ensure_ascii=False) for text in sentences]
        followed = [f'{first} (" " {second})?' for first, second in pairwise(texts)] + texts[-1:]
        if begun := [rule for text, rule in zip(sentences, followed, strict=True) if text in starts]:
            rules[f"quote_{number}"] = " | ".join(begun)
    answers = []
    for name in rules:
        others = " | ".join(other for other in rules if other != name)
        answers.append(f'{name} (" " ({others}))?' if others else name)
    return xlc.Lark("\n".join([f"start: {' | '.join(answers)}", *(f"{name}: {rule}" for name, rule in rules.items())]))
