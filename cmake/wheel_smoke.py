"""Use an installed xllama, as `make wheel-test` does on each system and processor (cmake/test_wheel.py).

    python wheel_smoke.py LIBRARY MODEL [--all | --beside]
    python wheel_smoke.py --without-model

LIBRARY is the CPU library that has to be chosen here, or "module" where the module holds the only one, as on Windows.
MODEL is a chat model. Without --all, only what takes a few seconds
of computing, for emulated processors. A wheel of one processor's arithmetic does not choose, and --without-model needs
only the embedder and the reranker of xllama-models.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import re
import time

import numpy as np

import xlc_core as xlc
from xlc_core.hardware import cpu_backend

TEXTS = ["The tower is in Paris.", "A tower of Paris", "Boil the eggs for ten minutes."]


def check_library(library: str) -> None:
    """The right library was chosen, out of all."""
    backend = cpu_backend()
    print(backend)
    if library == "module":
        assert backend.library is None
        return
    from wheel_targets import TARGETS  # beside this file; not beside a copy of it, which has nothing to choose

    assert backend.library == library, f"{backend.library} was chosen, not {library}"
    assert len(backend.scores) == TARGETS[platform.machine()].n_cpu_libraries, sorted(backend.scores)


def check_retrieval() -> None:
    """Vectors and scores tell what belongs together."""
    with xlc.Engine("all-minilm-l6-v2") as engine:
        vectors = engine.embed(TEXTS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > 0.6 > 0.3 > vectors[0] @ vectors[2], vectors @ vectors.T
    with xlc.Engine("xllama-rerank-mini") as engine:
        scores = engine.rerank("How long do eggs boil?", TEXTS)
    assert scores[0].index == 2, scores


def check_constraint(model: str, n_tokens: int) -> None:
    """Text is generated, and matches."""
    with xlc.Engine(model, n_ctx=256, n_parallel=1) as engine:
        constraint = xlc.Regex(r"(red|green|blue)")
        answer = engine.complete("My favourite colour is ", constraint=constraint, max_tokens=n_tokens, temperature=0)
    assert re.fullmatch("red|green|blue", answer.text), answer.text
    print("constrained:", answer.text)


def check_chat(model: str) -> None:
    """A chat that streams, and a vision of speed."""
    with xlc.Engine(model, n_ctx=1024) as engine:
        start = time.monotonic()
        parts = list(engine.stream_chat("Name three primary colours.", max_tokens=40).text())
        print(f"chat, {len(parts) / (time.monotonic() - start):.0f} parts/s:", "".join(parts))
        assert len(parts) > 3


def check_langchain(model: str) -> None:
    """LangChain's adapters."""
    from xlc_langchain import ChatXLlama, XLlamaEmbeddings

    print("LangChain:", ChatXLlama(model=model, n_ctx=1024, max_tokens=16).invoke("Say hello.").content)
    assert len(XLlamaEmbeddings(model="all-minilm-l6-v2").embed_query(TEXTS[0])) == 384


def check_llamaindex(model: str) -> None:
    """LlamaIndex's adapters."""
    from xlc_llamaindex import XLlama, XLlamaEmbedding

    print("LlamaIndex:", XLlama(model=model, n_ctx=1024, max_tokens=16).complete("Hello, my name is").text)
    assert len(XLlamaEmbedding(model="all-minilm-l6-v2").get_text_embedding(TEXTS[0])) == 384


async def check_server(model: str) -> None:
    """The HTTP face answers, and has the files of its page. The system that tests run in has no network."""
    import httpx

    from xlc_server import create_app

    asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    with xlc.EnginePool({"chat": model}, others="none", n_ctx=1024) as pool:
        transport = httpx.ASGITransport(create_app(pool, ui=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = (await client.post("/v1/chat/completions", json=asked, timeout=60)).raise_for_status().json()
            page = (await client.get("/")).raise_for_status().text
            for file in re.findall(r'(?:src|href)="/?(ui/[^"]+)"', page):
                (await client.get(f"/{file}")).raise_for_status()
    print("server:", answer["choices"][0]["message"]["content"])
    assert answer["usage"]["completion_tokens"] > 1


def check_beside_xllamacpp(model: str) -> None:
    """Another llama.cpp answers in the same process, after ours and before."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel = model, 512, 1
    request = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    theirs = xllamacpp.Server(params).handle_completions(request)["choices"][0]["text"]
    with xlc.Engine(model, n_ctx=512, n_parallel=1) as engine:
        ours = engine.complete("The capital of France is", max_tokens=8, temperature=0).text
    print("beside xllamacpp:", repr(ours), repr(theirs))
    assert ours
    assert theirs


def main() -> None:
    """Check one part after the other; the first failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--without-model", action="store_true", help="embed and rerank, and nothing else")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--beside", action="store_true", help="beside xllamacpp, and nothing else")
    arguments = parser.parse_args()
    if arguments.without_model:
        check_retrieval()
        return
    if arguments.beside:
        check_beside_xllamacpp(arguments.model)
        return
    check_library(arguments.library)
    check_retrieval()
    check_constraint(arguments.model, 4)
    if arguments.all:
        check_chat(arguments.model)
        check_langchain(arguments.model)
        check_llamaindex(arguments.model)
        asyncio.run(check_server(arguments.model))
    print("all is well")


if __name__ == "__main__":
    main()
