"""The key of a conversation, and the order of replicas for it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from xlc_jobs.routing import conversation_key, ranked

SYSTEM = {"role": "system", "content": "Be brief."}


def key(**body: Any) -> str:
    return conversation_key(json.dumps(body).encode())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_all_turns_of_a_conversation_have_one_key() -> None:
    first = [SYSTEM, user("hi")]
    later = [*first, {"role": "assistant", "content": "yes?"}, user("why?")]
    assert key(model="m", messages=first) == key(model="m", messages=later, temperature=0) != ""
    assert key(model="m", input="hi") == key(model="m", input=[user("hi"), user("more")])


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n", "messages": [SYSTEM, user("hi")]},
        {"model": "m", "messages": [SYSTEM, user("ho")]},
        {"model": "m", "messages": [user("hi")]},
        {"model": "m", "messages": [SYSTEM, user("hi")], "system": "x"},
        {"model": "m", "messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    ],
)
def test_other_beginnings_have_other_keys(other: dict[str, Any]) -> None:
    assert key(**other) not in ("", key(model="m", messages=[SYSTEM, user("hi")]))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"input": ["a", "b"]}', b'{"messages": []}', b'{"prompt": 5}', b'"\xff"']
)
def test_other_requests_have_no_key(body: bytes) -> None:
    assert conversation_key(body) == ""


def test_keys_are_spread_and_few_move_when_a_replica_goes() -> None:
    names = [f"replica-{number}" for number in range(5)]
    keys = [str(number) for number in range(2000)]
    first = {key: names[ranked(key, names)[0]] for key in keys}
    assert all(300 < count < 500 for count in Counter(first.values()).values())
    left = names[:2] + names[3:]
    for key, name in first.items():
        now = left[ranked(key, left)[0]]
        assert now == name or name == names[2], "only the keys of the replica that has gone move"


def test_order_does_not_depend_on_the_order_of_names() -> None:
    names = ["a", "b", "c"]
    order = [names[place] for place in ranked("key", names)]
    assert [names[::-1][place] for place in ranked("key", names[::-1])] == order
