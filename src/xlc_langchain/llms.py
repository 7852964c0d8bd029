"""XLlama: a GGUF model inside this process, as a LangChain text model."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from xlc_core import Completion, Event, Finished, TextDelta
from xlc_core.frameworks import require_single_answer
from xlc_langchain.errors import langchain_errors
from xlc_langchain.generation import GeneratorMethods
from xlc_langchain.results import PROVIDER, logprobs_of, response_metadata_of, usage_of
from xlc_langchain.tools import response_constraint

__all__ = ["XLlama"]


class XLlama(GeneratorMethods, BaseLLM):
    """A text model that llama.cpp runs inside this process: it continues a text as it stands.

    No chat template is applied, so this is for base models, and for prompts that are written out. The prompts of one
    ``generate`` or ``batch`` are decoded together. Everything else is as with ``ChatXLlama``: nothing is loaded before
    the first use, a call may override every sampling field, and ``constraint``, ``response_format``, ``timeout`` and
    ``model`` may be given to it.

    Examples:
        >>> llm = XLlama(model="smollm2-135m-instruct", temperature=0, max_tokens=8)
        >>> llm.invoke("The capital of France is")
        ' Paris.'
    """

    @property
    def _llm_type(self) -> str:
        return "xllama"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._configuration()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        return params

    def _request(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        request = self._join_options(stop, kwargs)
        if (wanted := request.pop("response_format", None)) is not None:
            request["constraint"] = response_constraint(wanted)
        return request

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with langchain_errors(), ExitStack() as streams:
            request = self._request(stop, kwargs)
            engine = self._get_engine(kwargs.get("model"))
            # A stream runs as soon as it is opened, so all prompts are decoded together.
            opened = [streams.enter_context(engine.stream_complete(prompt, **request)) for prompt in prompts]
            return _to_result([stream.result() for stream in opened])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with langchain_errors():
            request = self._request(stop, kwargs)
            engine = await self._aget_engine(kwargs.get("model"))
            tasks = [asyncio.ensure_future(engine.acomplete(prompt, **request)) for prompt in prompts]
            try:
                return _to_result(await asyncio.gather(*tasks))
            finally:
                for task in tasks:  # nobody wants the others when one has failed or the caller was cancelled
                    task.cancel()

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with langchain_errors():
            request = require_single_answer(self._request(stop, kwargs))
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_complete(prompt, **request) as events:
                for event in events:
                    if (chunk := _to_chunk(event)) is not None:
                        if run_manager:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with langchain_errors():
            request = require_single_answer(self._request(stop, kwargs))
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_complete(prompt, **request) as events:
                async for event in events:
                    if (chunk := _to_chunk(event)) is not None:
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, by this model's own tokenizer; loads the model if it is not loaded yet.

        Args:
            text: the text. Names of control tokens in it are text.

        Raises:
            InvalidRequestError: it is not a text, or holds a lone surrogate.
        """
        with langchain_errors():
            return self._get_engine().tokenize(text)


def _to_result(completions: list[Completion]) -> LLMResult:
    """Convert finished answers: a list of generations for each prompt, and the tokens of all of them."""
    generations: list[list[Any]] = []
    usage: dict[str, int] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    for completion in completions:
        generations.append(
            [
                Generation(text=choice.text, generation_info=_info(completion, place))
                for place, choice in enumerate(completion.choices)
            ]
        )
        used = usage_of(completion.usage)
        usage = {
            "input_tokens": usage["input_tokens"] + used["input_tokens"],
            "output_tokens": usage["output_tokens"] + used["output_tokens"],
            "total_tokens": usage["total_tokens"] + used["total_tokens"],
        }
    model = completions[0].model if completions else ""
    return LLMResult(generations=generations, llm_output={"token_usage": usage, "model_name": model})


def _info(completion: Completion, place: int) -> dict[str, Any]:
    choice = completion.choices[place]
    info = response_metadata_of(choice, completion)
    if choice.logprobs:
        info["logprobs"] = logprobs_of(choice.logprobs)
    return info


def _to_chunk(event: Event) -> GenerationChunk | None:
    if isinstance(event, TextDelta):
        info = {"logprobs": logprobs_of(event.logprobs)} if event.logprobs else None
        return GenerationChunk(text=event.text, generation_info=info)
    if isinstance(event, Finished):
        completion = event.completion
        info = response_metadata_of(completion.choices[0], completion)
        return GenerationChunk(text="", generation_info={**info, "usage_metadata": usage_of(completion.usage)})
    return None
