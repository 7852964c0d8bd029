"""Speculative decoding: a cheap method drafts tokens, and the model verifies several of them in one step.

    Engine("model", speculation=DraftModel("small-model"))
    Engine("model", speculation=[Ngram("simple"), DraftModel("small-model")])

The model still decides every token; a draft only saves steps where it guessed right. Names and defaults come from
llama.cpp (``common/arg.cpp``, ``common_params_speculative``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import Self

from xlc_core.errors import InvalidRequestError
from xlc_core.options.base import GpuLayers, NativeOptions

__all__ = ["DFlash", "DSpark", "DraftModel", "Eagle3", "Mtp", "Ngram", "Speculation", "to_speculation"]


class _Kind(NativeOptions):
    """Base of the kinds: written as a dictionary they keep their type."""

    @property
    def type_name(self) -> str:
        """llama.cpp's name of this type."""
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def _add_type(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": self.type_name, **fields(self)}


class Ngram(_Kind):
    """Drafts the tokens that followed the last tokens when they occurred before: for answers that copy the prompt.

    Drafting costs no step of a model. A field that the kind does not have is refused when the engine opens; for
    ``cache`` these are all.

    Attributes:
        kind: ``simple`` searches the last ``n_match`` tokens in the request's text; ``map-k`` and ``map-k4v`` keep a
            table of continuations, ``map-k4v`` four for each entry; ``mod`` keeps one hash table for all requests;
            ``cache`` keeps statistics of short n-grams ["simple"].
        n_match: tokens that must match, at most 1024 [12; 24 for ``mod``].
        n_max: tokens to draft at most, up to 1024 [48; 64 for ``mod``].
        n_min: tokens of the shortest draft of ``mod`` [48].
        min_hits: how often tokens must have been seen, except for ``mod`` and ``cache`` [1].
    """

    kind: Literal["simple", "map-k", "map-k4v", "mod", "cache"] = "simple"
    n_match: int | None = Field(None, ge=1, le=1024)
    n_max: int | None = Field(None, ge=1, le=1024)
    n_min: int | None = Field(None, ge=0, le=1024)
    min_hits: int | None = Field(None, ge=1)

    def __init__(self, kind: str = "simple", **values: object) -> None:
        BaseModel.__init__(self, kind=kind, **values)

    @property
    def type_name(self) -> str:  # noqa: D102
        return f"ngram-{self.kind}"

    def arguments(self) -> list[str]:
        """Return the options as arguments of llama.cpp's command line.

        Raises:
            InvalidRequestError: a field is set that this kind does not have.
        """
        names = {
            "simple": {"n_match": "size-n", "n_max": "size-m", "min_hits": "min-hits"},
            "mod": {"n_match": "n-match", "n_max": "n-max", "n_min": "n-min"},
            "cache": {},
        }
        known = names.get(self.kind, names["simple"])
        given = {name: value for name in ("n_match", "n_max", "n_min", "min_hits") if (value := getattr(self, name))}
        unknown = given.keys() - known.keys()
        if unknown:
            raise InvalidRequestError(f"Ngram({self.kind!r}) has no {', '.join(sorted(unknown))}; leave it out")
        prefix = f"--spec-{self.type_name}"
        return [part for name, value in given.items() for part in (f"{prefix}-{known[name]}", str(value))]


class DraftModel(_Kind):
    """A smaller model with the same vocabulary drafts (Leviathan and others 2023).

    It is loaded beside the model, with a KV cache of its own, which ``Engine.estimate`` counts.

    Attributes:
        model: path, catalog name or ``hf:`` name of the smaller model.
        n_max: tokens to draft at most, up to 1024 [3].
        n_min: drafts of fewer tokens than this are not verified [0].
        p_min: drafting ends at a token less likely than this, 0 to 1 [0.0].
        sampling: how the draft chooses its tokens: ``greedy`` takes the likeliest; ``probabilistic`` draws them at the
            request's temperature, and the model accepts each by rejection sampling. That accepts more drafts at a
            temperature above 0. Answers have the model's own distribution either way. Heads are always greedy
            ["greedy"].
        n_gpu_layers: layers on the GPU, as for the engine ["auto"].
    """

    model: str | Path
    n_max: int = Field(3, ge=1, le=1024)
    n_min: int = Field(0, ge=0, le=1024)
    p_min: float = Field(0.0, ge=0, le=1)
    sampling: Literal["greedy", "probabilistic"] = "greedy"
    n_gpu_layers: GpuLayers = "auto"

    def __init__(self, model: str | Path | None = None, **values: object) -> None:
        BaseModel.__init__(self, model=model, **values)

    @model_validator(mode="after")
    def _refuse_sampling_head(self) -> Self:
        if self.sampling != "greedy" and self.type_name != "draft-simple":
            raise ValueError(f"a head drafts greedily, so {type(self).__name__} takes no sampling={self.sampling!r}")
        return self

    @property
    def type_name(self) -> str:  # noqa: D102
        return "draft-simple"

    def arguments(self) -> list[str]:
        """Return the options, except the model's file, as arguments of llama.cpp's command line."""
        # Without a GPU llama.cpp's parser prints to stderr when it reads this option, so the default is left out.
        layers = [] if self.n_gpu_layers == "auto" else ["--spec-draft-ngl", str(self.n_gpu_layers)]
        return [
            *("--spec-draft-n-max", str(self.n_max), "--spec-draft-n-min", str(self.n_min)),
            *("--spec-draft-p-min", str(self.p_min)),
            *_sampling_arguments(self.sampling),
            *layers,
        ]


class Eagle3(DraftModel):
    """An EAGLE-3 head that was trained for this model drafts."""

    @property
    def type_name(self) -> str:  # noqa: D102
        return "draft-eagle3"


class DFlash(DraftModel):
    """A DFlash block-diffusion head that was trained for this model drafts."""

    @property
    def type_name(self) -> str:  # noqa: D102
        return "draft-dflash"


class DSpark(DraftModel):
    """A DSpark head that was trained for this model drafts."""

    @property
    def type_name(self) -> str:  # noqa: D102
        return "draft-dspark"


class Mtp(_Kind):
    """The model's own multi-token prediction layers draft; only some model files have them.

    Attributes:
        model: path, catalog name or ``hf:`` name of the file with these layers; None: the model's file has them.
        n_max: tokens to draft at most, up to 1024 [3].
        p_min: drafting ends at a token less likely than this, 0 to 1 [0.0].
        sampling: as for DraftModel ["greedy"].
    """

    model: str | Path | None = None
    n_max: int = Field(3, ge=1, le=1024)
    p_min: float = Field(0.0, ge=0, le=1)
    sampling: Literal["greedy", "probabilistic"] = "greedy"

    def __init__(self, model: str | Path | None = None, **values: object) -> None:
        BaseModel.__init__(self, model=model, **values)

    @property
    def type_name(self) -> str:  # noqa: D102
        return "draft-mtp"

    def arguments(self) -> list[str]:
        """Return the options, except the file, as arguments of llama.cpp's command line."""
        return [
            *("--spec-draft-n-max", str(self.n_max), "--spec-draft-p-min", str(self.p_min)),
            *_sampling_arguments(self.sampling),
        ]


def _sampling_arguments(sampling: str) -> list[str]:
    return ["--spec-draft-sampling", sampling] if sampling != "greedy" else []


Speculation = Ngram | DraftModel | Eagle3 | DFlash | DSpark | Mtp
"""A source of drafts for speculative decoding."""

_CLASSES: dict[str, type[_Kind]] = {
    "simple": DraftModel,
    "eagle3": Eagle3,
    "dflash": DFlash,
    "dspark": DSpark,
    "mtp": Mtp,
}


def to_speculation(value: Any) -> Any:
    """Read a kind that was written as a dictionary; return everything else as it is.

    Args:
        value: such as ``{"type": "draft-simple", "model": "small"}``, which ``model_dump`` writes.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return value
    fields = {name: field for name, field in value.items() if name != "type"}
    family, _, kind = value["type"].partition("-")
    if family == "ngram":
        return Ngram.checked(**{**fields, "kind": kind})
    return _CLASSES[kind].checked(**fields) if family == "draft" and kind in _CLASSES else value
