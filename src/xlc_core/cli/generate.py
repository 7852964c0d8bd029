"""``xllama chat`` and ``xllama complete``: answers of a model, streamed to stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlc_core.cli.output import AnswerWriter, note
from xlc_core.errors import InvalidRequestError
from xlc_core.terminal import is_terminal

if TYPE_CHECKING:
    from xlc_core.results import Completion

__all__ = ["chat", "complete"]

Model = Annotated[
    str | None,
    typer.Argument(help="A name of the catalog, hf:owner/repo[:quant-or-file], or a path; default: XLLAMA_MODEL."),
]
Prompt = Annotated[str | None, typer.Argument(help="What to answer; piped input is added below it.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Tokens of an answer; default: what the context holds.")]
Temperature = Annotated[float | None, typer.Option(min=0, help="0 takes the likeliest token.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same answer.")]
ContextSize = Annotated[int | None, typer.Option("--n-ctx", min=1, help="Tokens of the chat, with its answers.")]
Schema = Annotated[
    Path | None, typer.Option(help="A file with a JSON schema that the answer follows.", exists=True, dir_okay=False)
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, vulkan, vulkan:1 …")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object with the answer and its figures.")]


def chat(
    model: Model = None,
    prompt: Prompt = None,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="An image for the first message.", exists=True, dir_okay=False)
    ] = None,
    thinking: Annotated[bool | None, typer.Option("--thinking/--no-thinking", help="Whether the model thinks.")] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    n_ctx: ContextSize = None,
    schema: Schema = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Talk to a model. With a prompt or piped input it answers once.

    In a chat, Ctrl+C stops an answer, and /help lists the commands.

    Try:

        xllama chat qwen3-4b

        xllama chat qwen3-4b "Why is the sky blue?"

        git diff | xllama chat qwen3-4b "Write a commit message for this."
    """
    from xlc_core.cli.conversation import Conversation

    given = _given(prompt)
    if given is None and as_json:
        raise InvalidRequestError("--json needs a prompt, as an argument or piped")
    options = _request(max_tokens, temperature, seed, schema)
    if thinking is not None:
        options["thinking"] = thinking
    with _engine(model, n_ctx, device) as engine:
        conversation = Conversation(engine, options, system=system, images=image or [])
        if given is None:
            conversation.run()
            return
        _end(conversation.ask(given, AnswerWriter(silent=as_json)), as_json)


def complete(
    model: Model = None,
    prompt: Prompt = None,
    max_tokens: MaxTokens = 128,
    temperature: Temperature = None,
    seed: Seed = None,
    n_ctx: ContextSize = None,
    schema: Schema = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Continue a text, without a chat template.

    Try:

        xllama complete smollm2-135m-instruct "Once upon a time"

        xllama complete qwen3-4b --max-tokens 64 < draft.txt
    """
    given = _given(prompt)
    if given is None:
        raise InvalidRequestError("a text to continue is missing: give it as an argument, or pipe it")
    options = _request(max_tokens, temperature, seed, schema)
    with _engine(model, n_ctx, device) as engine, engine.stream_complete(given, **options) as stream:
        _end(AnswerWriter(silent=as_json).write(stream), as_json)


def _given(prompt: str | None) -> str | None:
    """Return the prompt of the command line, with piped input below it; None if there is neither."""
    if is_terminal(sys.stdin):
        return prompt
    piped = sys.stdin.read().strip("\n") if sys.stdin is not None else ""
    return "\n\n".join(part for part in (prompt, piped) if part) or None


def _request(
    max_tokens: int | None, temperature: float | None, seed: int | None, schema: Path | None
) -> dict[str, Any]:
    from xlc_core.constraints.json_constraints import JsonSchema

    options = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    found: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if schema is not None:
        found["constraint"] = JsonSchema(schema.read_text("utf-8"))
    return found


def _engine(model: str | None, n_ctx: int | None, device: str | None) -> Any:
    from xlc_core.engine.engine import Engine  # loads llama.cpp

    options: dict[str, Any] = {"n_ctx": n_ctx, "device": device}
    chosen = {name: value for name, value in options.items() if value is not None}
    return Engine(model, n_parallel=1, **chosen)


def _end(answer: Completion | None, as_json: bool) -> None:
    if answer is None:
        note("stopped")
        raise typer.Exit(130)  # as a shell shows a program that Ctrl+C ended
    if as_json:
        _print_json(answer)


def _print_json(answer: Completion) -> None:
    usage = answer.usage
    shown = {
        "text": answer.text,
        "reasoning": answer.reasoning or None,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens_per_second": round(answer.timings.prompt_tokens_per_second, 2),
        "tokens_per_second": round(answer.timings.generation_tokens_per_second, 2),
    }
    typer.echo(json.dumps(shown, ensure_ascii=False))
