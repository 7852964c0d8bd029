"""Turn letters of customers into pydantic objects, all of them at once.

    python examples/structured_output.py

The schema is enforced while tokens are sampled, so every answer is an instance of the class, even from a small model.
Whether the content is right depends on the model.
"""

import sys
from typing import Annotated, Literal

import typer
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

import xlc_core as xlc
from xlc_langchain import ChatXLlama

LETTERS = [
    "I was charged twice for my subscription in May. Please send the money back. Ann Berg",
    "The app crashes when I open the settings on my phone. No hurry. Carlos Diaz",
    "Do you also ship to Norway? We would need 40 lamps by Friday. Eva Holm",
]

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "You file the letters of customers."), ("user", "{letter}\n\nFile this letter as JSON.")]
)


class Ticket(BaseModel):
    """A letter, filed."""

    customer: str = Field(description="who wrote it")
    about: Literal["billing", "bug", "question"]
    urgent: bool
    summary: str = Field(description="one sentence", max_length=90)


def main(
    model: Annotated[str, typer.Option(help="A path, a name or hf:owner/repo.")] = "smollm2-135m-instruct",
    show_schema: Annotated[
        bool, typer.Option("--show-schema", help="Describe the fields in the prompt too; for larger models.")
    ] = False,
) -> None:
    """File letters."""
    console = Console()
    with ChatXLlama(model=model, n_ctx=1024, temperature=0, max_tokens=128) as llm:
        chain = PROMPT | llm.with_structured_output(Ticket, show_schema=show_schema)
        tickets = chain.batch([{"letter": letter} for letter in LETTERS])  # decoded together

    table = Table("customer", "about", "urgent", "summary")
    for ticket in tickets:
        assert isinstance(ticket, Ticket)
        table.add_row(ticket.customer, ticket.about, "yes" if ticket.urgent else "no", ticket.summary)
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except xlc.XllamaError as error:
        sys.exit(f"error: {error}")
