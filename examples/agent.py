"""An agent with two tools, whose final answer is an object of a schema.

    pip install langchain
    python examples/agent.py --question "How is the weather in Bergen, and when does a train go there?"

The model's profile tells LangChain that it can give structured answers, so LangChain binds the tools and the schema of
``Advice`` together. One grammar then allows each answer to be either a call of a tool, with valid arguments, or the
object.

A model with 135 million parameters would give advice without looking anything up. So by default middleware makes it
call one tool after the other first. With --free larger models decide for themselves.
"""

import sys
from typing import Annotated, Any, Literal

import typer
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from rich.console import Console

import xlc_core as xlc
from xlc_langchain import ChatXLlama

City = Literal["Bergen", "Oslo", "Tromsø"]


@tool
def get_weather(city: City) -> str:
    """Return today's weather in a city."""
    return {"Bergen": "rain, 9 °C", "Oslo": "sun, 17 °C", "Tromsø": "snow, -2 °C"}[city]


@tool
def next_train(to: City) -> str:
    """Return when the next train to a city leaves."""
    return {"Bergen": "at 12:03 from track 4", "Oslo": "at 11:30 from track 1", "Tromsø": "none goes there"}[to]


class Advice(BaseModel):
    """Advice for the traveller."""

    wear: Literal["a raincoat", "a shirt", "a warm coat"]
    advice: str = Field(max_length=160)


@wrap_model_call
def look_first(request: Any, handler: Any) -> Any:
    """Require a call of a tool that has not been called yet; after all tools, the answer."""
    called = {message.name for message in request.messages if isinstance(message, ToolMessage)}
    if left := [tool for tool in request.tools if tool.name not in called]:
        return handler(request.override(tools=left, tool_choice="any", response_format=None))
    return handler(request.override(tools=[]))


def main(
    question: Annotated[str, typer.Option(help="What to ask.")] = (
        "How is the weather in Bergen, and when does the next train go there?"
    ),
    model: Annotated[str, typer.Option(help="A path, a name or hf:owner/repo.")] = "smollm2-135m-instruct",
    free: Annotated[bool, typer.Option("--free", help="Let the model decide when to call a tool.")] = False,
) -> None:
    """Ask the agent."""
    console = Console(highlight=False, soft_wrap=True)
    with ChatXLlama(model=model, n_ctx=4096, temperature=0, max_tokens=128, engine_options={"n_parallel": 1}) as llm:
        agent = create_agent(
            llm,
            [get_weather, next_train],
            system_prompt="You advise travellers. Call the tools to find out, then give the Advice.",
            response_format=Advice,
            middleware=[] if free else [look_first],
        )
        console.print(question, style="bold")
        for state in agent.stream({"messages": [HumanMessage(question)]}, stream_mode="values"):
            message = state["messages"][-1]
            if isinstance(message, AIMessage):
                for call in message.tool_calls:
                    console.print(f"calls {call['name']}({call['args']})", markup=False)
            elif isinstance(message, ToolMessage):
                console.print(f"  {message.content}", markup=False)
        advice = state["structured_response"]
        console.print(f"Wear {advice.wear}. {advice.advice}", style="bold", markup=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
