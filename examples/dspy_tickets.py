"""Sorts support tickets with DSPy: typed answers, few-shot examples found by an optimiser, and a saved program.

    python examples/dspy_tickets.py
    python examples/dspy_tickets.py --model qwen3-4b "I was charged twice." "It crashes on start."

Answers are constrained to the output fields, so that even a model of 135 million parameters never fails to parse.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

import dspy

import xlc_dspy

TRAINING = [
    dspy.Example(ticket=ticket, team=team).with_inputs("ticket")
    for ticket, team in (
        ("My invoice is wrong.", "billing"),
        ("The app does not start.", "technical"),
        ("Please refund the last payment.", "billing"),
        ("The download stops at 90 %.", "technical"),
    )
]
TICKETS = ("I was charged twice this month.", "The screen stays black after the update.")


class Sort(dspy.Signature):
    """Choose the team that handles a support ticket."""

    ticket: str = dspy.InputField()
    team: Literal["billing", "technical"] = dspy.OutputField()
    urgency: int = dspy.OutputField(ge=1, le=5)


def is_right(example: dspy.Example, prediction: Any, trace: object = None) -> bool:
    return bool(example.team == prediction.team)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tickets", nargs="*", default=TICKETS)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a path or a name; default: %(default)s")
    parser.add_argument("--save", type=Path, help="write the optimised program to this JSON file")
    asked = parser.parse_args()

    lm = xlc_dspy.lm(asked.model, n_ctx=4096, temperature=0)
    with lm.engine, dspy.context(lm=lm, adapter=xlc_dspy.TypedAdapter()):
        optimizer = dspy.BootstrapFewShot(metric=is_right, max_bootstrapped_demos=2, max_labeled_demos=4)
        program = optimizer.compile(dspy.Predict(Sort), trainset=TRAINING)
        for ticket in asked.tickets:
            sorted_ticket = program(ticket=ticket)
            print(f"{sorted_ticket.team} (urgency {sorted_ticket.urgency}): {ticket}")
        if asked.save:
            program.save(asked.save)


if __name__ == "__main__":
    main()
