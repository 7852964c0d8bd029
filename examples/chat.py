"""Talk to a model in the terminal: the answer is streamed, the chat is remembered, Ctrl+C stops an answer.

    python examples/chat.py --model smollm2-135m-instruct --system "You are brief."

An empty line or the end of the input ends the chat.
"""

import sys
from typing import Annotated

import typer
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, trim_messages

import xlc_core as xlc
from xlc_langchain import ChatXLlama


def answer(llm: ChatXLlama, chat: list[BaseMessage]) -> AIMessageChunk:
    """Print an answer as it is generated, and return it, perhaps incomplete."""
    whole = AIMessageChunk("")
    try:
        for chunk in llm.stream(chat):
            print(chunk.text, end="", flush=True)
            whole += chunk
    except KeyboardInterrupt:  # the slot is free again; the incomplete answer stays in the chat
        print(" …", end="")
    print()
    return whole


def main(
    model: Annotated[str, typer.Option(help="A path, a name or hf:owner/repo.")] = "smollm2-135m-instruct",
    system: Annotated[str, typer.Option(help="The system message.")] = "You are a helpful assistant.",
    max_tokens: Annotated[int, typer.Option(help="Tokens of one answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.7,
) -> None:
    """Talk to a model."""
    chat: list[BaseMessage] = [SystemMessage(system)]
    with ChatXLlama(
        model=model, temperature=temperature, max_tokens=max_tokens, engine_options={"n_parallel": 1}
    ) as llm:
        room = (llm.profile or {}).get("max_input_tokens", 2048) - max_tokens
        while True:
            print("> ", end="", flush=True)
            if not (line := sys.stdin.readline().strip()):
                break
            chat.append(HumanMessage(line))
            # The counts are exact: this model's tokens, with its template.
            chat = trim_messages(
                chat, max_tokens=room, token_counter=llm, strategy="last", include_system=True, start_on="human"
            )
            said = answer(llm, chat)
            chat.append(said)
            if said.usage_metadata:
                used = said.usage_metadata
                cached = used["input_token_details"]["cache_read"]
                print(f"  [{used['input_tokens']} read, {cached} of them cached, {used['output_tokens']} written]")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
