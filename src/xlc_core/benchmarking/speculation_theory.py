"""The theoretical speedup of speculative decoding, from how often drafts are right and the costs of each step.

The theory assumes that each drafted token is right with the same probability α, regardless of earlier tokens. Times are
multiples of one step of the model for one token: c for drafting a token, v(k) for one step over k tokens. With drafts
of γ tokens, a step yields E = (1 − α^(γ+1)) / (1 − α) tokens and takes γc + v(γ+1). The formula is that of Leviathan
and others (2023, "Fast Inference from Transformers via Speculative Decoding"), where v is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "VerifyCosts",
    "acceptance",
    "best_draft_length",
    "expected_tokens",
    "overall_speedup",
    "theoretical_speedup",
]


def expected_tokens(alpha: float, gamma: float) -> float:
    """Return the tokens that one step yields: the right ones of the draft, and the one after them.

    Args:
        alpha: probability that a drafted token is right, 0 to 1.
        gamma: tokens drafted; a mean value may be a fraction.
    """
    if alpha >= 1:
        return gamma + 1
    return float((1 - alpha ** (gamma + 1)) / (1 - alpha))


def acceptance(tokens_per_step: float, gamma: float) -> float:
    """Return α for the number of tokens that a step yielded: the inverse of expected_tokens.

    The share of accepted tokens among the drafted ones is less than α, because all tokens after the first wrong one
    count as drafted but are never accepted.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if expected_tokens(middle, gamma) < tokens_per_step:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def theoretical_speedup(alpha: float, gamma: float, draft_cost: float, verify_cost: float) -> float:
    """Return how many times faster steps with a draft are: E / (γc + v(γ+1))."""
    return expected_tokens(alpha, gamma) / (gamma * draft_cost + verify_cost)


def overall_speedup(alpha: float, gamma: float, draft_cost: float, verify_cost: float, coverage: float) -> float:
    """Return the speedup over all steps, if only some have a draft and the others yield one token.

    Args:
        alpha: probability that a drafted token is right.
        gamma: tokens of a draft.
        draft_cost: c.
        verify_cost: v(γ+1).
        coverage: share of the steps that have a draft.
    """
    tokens = coverage * expected_tokens(alpha, gamma) + 1 - coverage
    return tokens / (coverage * (gamma * draft_cost + verify_cost) + 1 - coverage)


@dataclass(frozen=True)
class VerifyCosts:
    """v(k), measured at some numbers of tokens.

    Attributes:
        measured: pairs of k and v(k), by k; v(1) is 1 and need not be among them.
    """

    measured: tuple[tuple[float, float], ...]

    def at(self, k: float) -> float:
        """Return v at any k, by linear interpolation; beyond the last measured point the last line is extended.

        Args:
            k: tokens that one step computes.
        """
        points = [(1.0, 1.0), *(point for point in self.measured if point[0] > 1)]
        if len(points) == 1:
            return 1.0
        right = next((i for i in range(1, len(points)) if points[i][0] >= k), len(points) - 1)
        (k0, v0), (k1, v1) = points[right - 1], points[right]
        return max(v0 + (v1 - v0) * (k - k0) / (k1 - k0), 0.0)


def best_draft_length(alpha: float, draft_cost: float, verify: VerifyCosts, longest: int) -> int:
    """Return the γ at which steps with a draft gain most, from 1 to ``longest``."""
    return max(
        range(1, longest + 1),
        key=lambda gamma: theoretical_speedup(alpha, gamma, draft_cost, verify.at(gamma + 1)),
    )
