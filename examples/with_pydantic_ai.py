"""An agent of Pydantic AI whose answers are instances of a class, in this process.

pip install 'xllama[pydantic-ai]'
python examples/with_pydantic_ai.py
"""

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent

from xlc_pydantic_ai import XllamaModel


class Ticket(BaseModel):
    """A letter, filed."""

    about: Literal["billing", "bug", "question"]
    urgent: bool
    summary: str = Field(max_length=60)


def main() -> None:
    model = XllamaModel("smollm2-135m-instruct", n_ctx=1024, settings={"temperature": 0.0, "max_tokens": 80})
    agent = Agent(model, output_type=Ticket, instructions="You file the letters of customers.")
    result = agent.run_sync("I was charged twice in May. Please send the money back.")
    print(result.output.model_dump_json(indent=2))
    print(result.usage.output_tokens, "tokens")


if __name__ == "__main__":
    main()
