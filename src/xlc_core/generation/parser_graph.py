"""The nodes of llama.cpp's parser of a chat template's answers: what is inside of what, and which parts are calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["ROLE", "ParserGraph"]

ROLE = "<|start|>assistant"
"""Begins a message behind another one, such as the thinking."""


class ParserGraph:
    """The nodes of a parser.

    Args:
        root: the number of the first node.
        nodes: each is its kind and what belongs to it; tags say which nodes are names and arguments of tools.
    """

    def __init__(self, root: int, nodes: tuple[tuple[Any, ...], ...]) -> None:
        self.root = root
        self.nodes = nodes
        self.by_name = {node[2]: i for i, node in enumerate(nodes) if node[0] == "rule"}
        self._tagged: dict[tuple[int, str], frozenset[str]] = {}

    def inner(self, node: int) -> Sequence[int]:
        """Return the nodes of which a node consists."""
        kind, *rest = self.nodes[node]
        if kind in ("sequence", "choice"):
            return tuple(rest[0])
        if kind in ("repetition", "schema", "rule", "same", "tag", "gbnf"):
            return (rest[0],)
        return (self.by_name[rest[0]],) if kind == "ref" else ()

    def names(self, node: int, tag: str) -> frozenset[str]:
        """Return the texts inside a node that have a tag, such as the names of tools."""
        key = (node, tag)
        if key not in self._tagged:
            self._tagged[key] = frozenset()  # while a node is inside itself
            kind = self.nodes[node]
            if kind[0] == "tag" and kind[2] == tag:
                self._tagged[key] = frozenset([self.first_literal(node)])
            else:
                self._tagged[key] = frozenset().union(*(self.names(one, tag) for one in self.inner(node)))
        return self._tagged[key]

    def first_literal(self, node: int) -> str:
        """Return the first text inside a node that is written as it is; empty without."""
        if self.nodes[node][0] == "literal":
            return str(self.nodes[node][1])
        return next(filter(None, map(self.first_literal, self.inner(node))), "")

    def tool_names(self, node: int) -> frozenset[str]:
        """Return the names of tools inside a node."""
        return self.names(node, "tool-name")

    def argument_names(self, node: int) -> frozenset[str]:
        """Return the names of arguments inside a node."""
        return self.names(node, "tool-arg-name")

    def call_starts(self) -> list[int]:
        """Return the rules that calls begin with, without those inside of others."""
        found: list[int] = []
        seen = set()

        def visit(node: int) -> None:
            if node in seen:
                return
            seen.add(node)
            if self.nodes[node][0] == "rule" and self.nodes[node][3] and self.tool_names(node):
                found.append(node)
                return
            for one in self.inner(node):
                visit(one)

        visit(self.root)
        inside = {one for start in found for one in self.all_inside(start)}
        return [start for start in found if start not in inside]

    def all_inside(self, node: int) -> set[int]:
        """Return all nodes inside a node."""
        seen: set[int] = set()
        waiting = list(self.inner(node))
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += self.inner(one)
        return seen

    @property
    def reads_thinking(self) -> bool:
        """Whether the parser finds thinking in an answer."""
        return any(kind[0] == "tag" and kind[2] == "reasoning" for kind in self.nodes)

    def ends_of_thinking(self, starts: list[int]) -> tuple[str, ...]:
        """Return the beginnings of calls at which the parser ends the thinking."""
        tagged = [i for i, kind in enumerate(self.nodes) if kind[0] == "tag" and kind[2] == "reasoning"]
        ends = dict.fromkeys(text for node in tagged for text in self.delimiters(node))
        begins = tuple(self.first_literal(start).strip() for start in starts)
        return tuple(text for text in ends if any(begin.startswith(text.strip()) for begin in begins))

    def until_calls(self, node: int) -> list[int]:
        """Return the nodes of a sequence up to the calls, which are not taken apart."""
        kind = self.nodes[node]
        is_call = kind[0] == "rule" and kind[3]
        if kind[0] in ("sequence", "same", "ref", "rule") and not is_call:
            return [one for inner in self.inner(node) for one in self.until_calls(inner)]
        return [node]

    def holds(self, node: int, tag: str) -> bool:
        """Whether a node or one inside it has a tag."""
        inside = [node, *self.all_inside(node)]
        return any(self.nodes[one][0] == "tag" and self.nodes[one][2] == tag for one in inside)

    def begins_messages(self) -> bool:
        """Whether a call is a message of its own, which begins with a role, as in gpt-oss's format."""
        start = self.by_name.get("start")
        return start is not None and self.first_literal(start) == ROLE

    def delimiters(self, node: int) -> tuple[str, ...]:
        """Return the texts at which a text inside a node ends."""
        inside = [self.nodes[one] for one in self.all_inside(node)]
        return tuple(text for kind in inside if kind[0] == "until" for text in kind[1])
