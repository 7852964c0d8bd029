"""The grammar of tool calls: llama.cpp's format of a chat template, with the arguments as our constraints.

llama.cpp makes a parser of calls for each template. Its nodes say what stands around names and arguments, and tags say
which nodes are names and arguments. This module writes the calls as a Lark grammar, in which the arguments have the
rules that a constraint of the same schema would have. What llama.cpp's own grammar would be does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xlc_core.constraints import lark_text
from xlc_core.constraints.tool_arguments import Argument, ToolArguments
from xlc_core.errors import UnsupportedFeatureError
from xlc_core.generation.braces_format import braces_rules
from xlc_core.generation.call_items import (
    Item,
    Rule,
    Space,
    Text,
    Tight,
    Word,
    times,
    without_last_space,
)
from xlc_core.generation.call_text import ANY_ATTRIBUTE, CallText, Cut, UnknownFormatError
from xlc_core.generation.parser_graph import ROLE, ParserGraph

__all__ = ["CallGrammar", "call_grammar"]

_SPACE = r"XLC_SPACE: / |\n{1,2}[ \t]{0,20}/"
_PERMUTATION = re.compile(r"-args-\d+\Z")
_BRACES = "gemma4-dict"  # Gemma 4's format of objects
_ANY_SPACE = r"\s*"
_MOST_CHARS = 32  # of a call's number, or a name that nobody reads
_DROPPED = frozenset({"content", "reasoning", "reasoning-block"})


@dataclass(frozen=True)
class CallGrammar:
    """The grammar of tool calls in an answer.

    Attributes:
        text: in llguidance's variant of Lark, from the beginning of the first call; empty if the parser reads no calls.
        opening: a regular expression for how the first call begins, up to a tool's name; for templates that do not
            mark calls.
        thinks: whether the template's parser finds thinking before a call.
        bridge: stands between thinking and a call, as Lark.
        text_ends: texts that end an argument that is plain text.
        ends_thinking: texts that end the thinking as its end tag does, because a call begins with them.
    """

    text: str
    opening: str
    thinks: bool
    bridge: str
    text_ends: tuple[str, ...] = ()
    ends_thinking: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where a node stands."""

    tool: ToolArguments | None = None
    argument: Argument | None = None


_Leaf = tuple[int, _Place]


def call_grammar(
    parser: tuple[int, tuple[tuple[Any, ...], ...]], tools: Iterable[ToolArguments], cut: Cut, *, parallel: bool
) -> CallGrammar:
    """Write the grammar of calls.

    Args:
        parser: the nodes of llama.cpp's parser.
        tools: the tools that may be called.
        cut: cuts a text at control tokens and returns the pieces with the tokens' numbers, or -1 for text.
        parallel: whether there may be several calls.

    Raises:
        ConstraintError: the template's format cannot enforce a keyword of a tool.
        UnsupportedFeatureError: the template's format of calls is not known.
    """
    try:
        return _Writer(parser, {tool.name: tool for tool in tools}, cut, parallel=parallel).write()
    except UnknownFormatError as error:
        raise UnsupportedFeatureError(
            f"tool calls in the format of this model's chat template cannot be enforced ({error}); open the engine "
            "with another chat_template"
        ) from None


class _Writer:
    def __init__(
        self,
        parser: tuple[int, tuple[tuple[Any, ...], ...]],
        tools: dict[str, ToolArguments],
        cut: Cut,
        *,
        parallel: bool,
    ) -> None:
        self._graph = ParserGraph(*parser)
        self._tools = tools
        self._parallel = parallel
        self._text = CallText(cut)

    def write(self) -> CallGrammar:
        starts = self._graph.call_starts()
        if not starts:
            return CallGrammar("", "", thinks=False, bridge="")
        ways = [self._text.render(without_last_space(self._items([(start, _Place())]))) for start in starts]
        lines = [f"start: {' | '.join(ways)}", _SPACE, *(f"{name}: {text}" for name, text in self._text.rules.items())]
        text = lark_text.with_rules("\n".join(lines))
        return CallGrammar(
            text,
            self._opening_of(starts[0]),
            self._graph.reads_thinking,
            self._bridge(),
            tuple(self._text.text_ends),
            self._graph.ends_of_thinking(starts),
        )

    def _opening_of(self, start: int) -> str:
        """Return a pattern for the text up to the first tool's name."""
        pattern = ""
        for node, _ in self._leaves([(start, _Place())], first=True):
            kind = self._graph.nodes[node]
            if kind[0] == "literal":
                pattern += re.sub(r"([^A-Za-z0-9_\"<>/:,= -])", r"\\\1", kind[1])
            elif kind[0] == "space":
                pattern += _ANY_SPACE
            elif kind[0] == "tag" and kind[2] == "tool-name":
                break
        return rf"^\s*({pattern.removeprefix(_ANY_SPACE)})"

    def _bridge(self) -> str:
        """Return what the parser reads between thinking and a call, as Lark."""
        if self._graph.begins_messages():
            return self._text.literal(ROLE)
        leaves = self._graph.until_calls(self._graph.root)
        thinking = [i for i, node in enumerate(leaves) if self._graph.holds(node, "reasoning")]
        between = leaves[thinking[-1] + 1 :] if thinking else leaves
        for node in between:
            if self._graph.tool_names(node):
                break
            kind = self._graph.nodes[node]
            inside = [self._graph.nodes[one][0] for one in self._graph.all_inside(node)]
            if kind[0] == "space" or (self._graph.holds(node, "content") and "literal" not in inside):
                return "XLC_GAP?"
        else:
            return "XLC_GAP?"
        return ""

    # From nodes to items.

    def _leaves(self, waiting: list[_Leaf], *, first: bool = False) -> list[_Leaf]:
        """Return the nodes of a sequence, without those that only hold other nodes."""
        found: list[_Leaf] = []
        stack = list(reversed(waiting))
        n_steps = 0
        while stack:
            n_steps += 1
            if n_steps > len(self._graph.nodes) * 100:
                raise UnknownFormatError("a rule within itself")
            node, place = stack.pop()
            place = self._placed(node, place)
            kind = self._graph.nodes[node]
            if self._is_leaf(kind, place) and not (first and self._is_opened(kind)):
                found.append((node, place))
                continue
            inner = self._graph.inner(node)
            if (kind[0] == "rule" and _PERMUTATION.search(kind[2])) or (first and kind[0] == "choice"):
                # All orders of the arguments: the first is the schema's.
                while self._graph.nodes[inner[0]][0] in ("rule", "ref", "same"):
                    inner = self._graph.inner(inner[0])
                inner = self._graph.inner(inner[0])[:1] if self._graph.nodes[inner[0]][0] == "choice" else inner[:1]
            stack += [(one, place) for one in reversed(inner)]
        return found

    def _looks_ahead(self, kind: tuple[Any, ...]) -> bool:
        return bool(kind[0] == "tag" and kind[2] == "tool-close" and self._graph.nodes[kind[1]][0] == "empty")

    def _is_opened(self, kind: tuple[Any, ...]) -> bool:
        return bool(kind[0] == "choice" or (kind[0] == "repetition" and kind[2] > 0))

    def _is_leaf(self, kind: tuple[Any, ...], place: _Place) -> bool:
        if kind[0] == "tag":
            return self._looks_ahead(kind) or kind[2] in _DROPPED or kind[2] in (
                "tool-name", "tool-arg-name", "tool-arg-value", "tool-arg-string-value"
            )  # fmt: skip
        if kind[0] == "repetition":
            is_number = kind[2:] == (0, 1) and bool(self._graph.names(kind[1], "tool-id"))
            return not is_number  # the model shall write it
        if kind[0] in ("rule", "ref"):
            name = kind[2] if kind[0] == "rule" else kind[1]
            return bool(name == _BRACES and place.tool)
        return kind[0] not in ("sequence", "same")

    def _placed(self, node: int, place: _Place) -> _Place:
        tools = self._graph.tool_names(node)
        if len(tools) == 1:
            name = next(iter(tools))
            if name not in self._tools:
                raise UnknownFormatError(f"a tool {name!r}")
            place = replace(place, tool=self._tools[name])
        kind = self._graph.nodes[node]
        if kind[0] == "tag" and kind[2] == "tool-arg" and place.tool:
            names = self._graph.argument_names(node)
            place = replace(place, argument=next((one for one in place.tool.one_by_one() if one.name in names), None))
        return place

    def _items(self, waiting: list[_Leaf]) -> list[Item]:
        leaves = self._leaves(waiting)
        items: list[Item] = []
        i = 0
        while i < len(leaves):
            node, place = leaves[i]
            listed = self._separated(leaves, i)
            if listed is not None:
                items.append(listed)
                i += 2
                continue
            items += self._item(node, place)
            i += 1
        return items

    def _item(self, node: int, place: _Place) -> list[Item]:
        kind, *rest = self._graph.nodes[node]
        if kind == "literal":
            return [Word(rest[0])] if rest[0] else []
        if kind == "space":
            return [Space()]
        if kind == "until":
            return [Text(ANY_ATTRIBUTE, rest[0])]
        if kind == "schema":
            return [self._schema(place)]
        if kind in ("rule", "ref"):
            return [self._braces(place)]
        if kind == "tag":
            return self._tag(node, rest[1], place)
        if kind == "choice":
            return self._choice(rest[0], place)
        if kind == "repetition":
            return self._repetition(node, place)
        if kind == "chars":
            most = rest[2] if rest[2] >= 0 else _MOST_CHARS
            return [Rule(f"/{_escaped_slash(rest[0])}{times(rest[1], most)}/")]
        if kind == "string":
            return [Rule(rf"/([^{rest[0]}\\\x00-\x1F]|\\([{rest[0]}\\\/bfnrt]|u[0-9a-fA-F]{{4}}))*/")]
        if kind == "any":
            return [Rule("/(?s:.)/")]
        if kind == "empty":
            return []
        raise UnknownFormatError(f"a part {kind}")

    def _schema(self, place: _Place) -> Item:
        if place.argument is not None and place.tool is not None:
            return self._json(place.argument.json)
        if place.tool is None:
            raise UnknownFormatError("arguments without a tool")
        return self._json(place.tool.json)

    def _json(self, rule: str) -> Item:
        return Rule(self._text.name_of(rule, "xlc_json_"))

    def _braces(self, place: _Place) -> Item:
        assert place.tool is not None
        mark = '<|"|>'
        quote = self._text.literal(mark)
        self._text.text_ends[mark] = None
        n_before = len(self._text.rules)
        name, rules = braces_rules(place.tool, quote, is_token="<[" in quote, prefix=f"xlc_braces_{n_before}")
        self._text.rules.update(rules)
        return Rule(name)

    def _tag(self, node: int, tag: str, place: _Place) -> list[Item]:
        if tag in _DROPPED:
            return []
        if tag == "tool-close":
            return [Tight()]
        if tag == "tool-name":
            assert place.tool is not None
            return [Word(place.tool.name)]
        if tag == "tool-arg-name":
            return [Word(self._graph.first_literal(node))]
        if place.argument is None:
            raise UnknownFormatError("a value without an argument")
        if tag == "tool-arg-value":
            return [self._json(place.argument.json)]
        if place.argument.text is None:
            raise UnknownFormatError("a text for an argument that is not a text")
        return [Text(place.argument.text, self._graph.delimiters(node))]

    def _choice(self, nodes: Sequence[int], place: _Place) -> list[Item]:
        ways = [self._items([(node, place)]) for node in nodes]
        texts = [way for way in ways if any(isinstance(item, Text) and place.argument for item in way)]
        if len(texts) > 1:  # ways to write one text: the plain one, which does not look like another
            marks = tuple(way[0].text for way in texts[:-1] if isinstance(way[0], Word))
            return [replace(item, not_first=marks) if isinstance(item, Text) else item for item in texts[-1]]
        if len(ways) == 1:
            return ways[0]
        rendered = list(dict.fromkeys(self._text.render(way) for way in ways))
        some = [way for way in rendered if way]
        if not some:
            return []
        rule = Rule(f"({' | '.join(some)}){'' if len(some) == len(rendered) else '?'}")
        return [rule, Tight()] if any(way and isinstance(way[-1], Tight) for way in ways) else [rule]

    def _repetition(self, node: int, place: _Place) -> list[Item]:
        _, inner, least, most = self._graph.nodes[node]
        if most < 0 and self._graph.argument_names(inner) and not self._graph.tool_names(inner):
            return [Rule(way) for way in self._listed(inner, place)]
        if most != 1 and not self._parallel and self._graph.tool_names(inner):
            most = 1
        if most == 1 and self._graph.tool_names(inner):
            least = 1  # the grammar begins when there is a call
        try:
            items = self._items([(inner, place)])
            if least == 1 == most:
                return items
            body = self._text.render(items)
        except UnknownFormatError:
            if least > 0 or self._graph.tool_names(inner):
                raise
            return []
        return [Rule(f"({body}){times(least, most)}")] if body else []

    # Arguments that llama.cpp allows in any order and number: each at most once, in the schema's order.

    def _ways(self, inner: int, place: _Place) -> list[tuple[Argument, list[_Leaf]]]:
        leaves = self._leaves([(inner, place)])
        at = next((i for i, (node, _) in enumerate(leaves) if self._is_choice_of_arguments(node)), None)
        ways = []
        if at is None:
            ways.append([(inner, place)])
        else:
            node, where = leaves[at]
            ways = [[*leaves[:at], (one, where), *leaves[at + 1 :]] for one in self._graph.inner(node)]
        tool = next((where.tool for _, where in leaves if where.tool), place.tool)
        if tool is None:
            raise UnknownFormatError("arguments without a tool")
        order = {one.name: i for i, one in enumerate(tool.one_by_one())}
        named = []
        for way in ways:
            names = frozenset().union(*(self._graph.argument_names(node) for node, _ in way))
            if len(names) != 1 or not names <= order.keys():
                raise UnknownFormatError("a list of arguments")
            named.append((tool.one_by_one()[order[next(iter(names))]], way))
        return sorted(named, key=lambda one: order[one[0].name])

    def _is_choice_of_arguments(self, node: int) -> bool:
        is_choice = self._graph.nodes[node][0] == "choice"
        return is_choice and bool(self._graph.argument_names(node)) and not self._graph.tool_names(node)

    def _listed(self, inner: int, place: _Place) -> list[str]:
        return [
            f"({self._text.render(self._items(way))}){'' if argument.required else '?'}"
            for argument, way in self._ways(inner, place)
        ]

    def _separated(self, leaves: list[_Leaf], i: int) -> Item | None:
        """Return arguments with separators: one of them, and then a repetition of a separator and one of them."""
        if i + 1 == len(leaves) or not self._is_choice_of_arguments(leaves[i][0]):
            return None
        (node, place), (more, _) = leaves[i], leaves[i + 1]
        kind = self._graph.nodes[more]
        if kind[0] != "repetition" or self._graph.argument_names(more) != self._graph.argument_names(node):
            return None
        heads = [(argument, self._text.render(self._items(way))) for argument, way in self._ways(node, place)]
        tails = self._listed(kind[1], place)
        ways = []
        for k, (argument, head) in enumerate(heads):
            ways.append(" ".join([head, *tails[k + 1 :]]))
            if argument.required:
                break
        return Rule(f"({' | '.join(ways)})")


def _escaped_slash(pattern: str) -> str:
    return pattern.replace("/", r"\/").replace("\n", r"\n")
