"""Every xllama error reaches LangChain as one of its own, with its fields."""

from __future__ import annotations

import pickle

import pytest
from langchain_core import exceptions as langchain

from xlc_core import errors as core
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama, errors
from xlc_langchain.errors import langchain_errors

RAISED = [
    (core.ModelNotFoundError("x"), langchain.ModelNotFoundError),
    (core.ModelLoadError("x"), langchain.ModelError),
    (core.InsufficientMemoryError("x"), langchain.ModelError),
    (core.InvalidRequestError("x"), langchain.ModelInvalidRequestError),
    (core.ContextOverflowError("x", 9000, 8192), langchain.ContextOverflowError),
    (core.ConstraintError("x"), langchain.ModelInvalidRequestError),
    (core.UnsupportedFeatureError("x"), langchain.ModelInvalidRequestError),
    (core.InputTooLongError("x", 3, 600, 512), langchain.ModelInvalidRequestError),
    (core.EngineClosedError("x"), langchain.ModelError),
    (core.EngineFailedError("x"), langchain.ModelAPIError),
    (core.RequestCancelledError("x"), langchain.ModelError),
    (core.RequestTimeoutError("x"), langchain.ModelTimeoutError),
    (core.XllamaError("x"), langchain.ModelError),
]


@pytest.mark.parametrize(("error", "counterpart"), RAISED, ids=lambda value: type(value).__name__)
def test_each_is_both(error: core.XllamaError, counterpart: type[Exception]) -> None:
    with pytest.raises(counterpart) as caught, langchain_errors():
        raise error
    assert isinstance(caught.value, type(error))
    assert isinstance(caught.value, getattr(errors, type(error).__name__))
    assert vars(caught.value) == vars(error)
    assert str(caught.value) == "x"
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (type(copied), vars(copied)) == (type(caught.value), vars(error))


def test_every_error_of_core_has_counterpart() -> None:
    assert {type(error).__name__ for error, _ in RAISED} == set(core.__all__)
    assert {*core.__all__, "LangChainErrors", "langchain_errors"} == set(errors.__all__)


def test_subclass_takes_nearest_counterpart() -> None:
    class OddSchemaError(core.ConstraintError):
        pass

    with pytest.raises(errors.ConstraintError), langchain_errors():
        raise OddSchemaError("x")


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyboardInterrupt), langchain_errors():
        raise KeyboardInterrupt


async def test_all_four_paths_translate() -> None:
    llm = ChatXLlama(engine=ScriptedEngine([core.ContextOverflowError("x", 9000, 8192)]))
    with pytest.raises(langchain.ContextOverflowError) as caught:
        llm.invoke("Hi")
    assert caught.value.n_ctx == 8192
    with pytest.raises(langchain.ContextOverflowError):
        await llm.ainvoke("Hi")
    with pytest.raises(langchain.ContextOverflowError):
        list(llm.stream("Hi"))
    with pytest.raises(langchain.ContextOverflowError):
        async for _ in llm.astream("Hi"):
            pass
