"""The diagrams of docs/how-it-works.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from svg import arrow, box, label, picture, width_of

__all__ = ["drawn"]

WIDTH = 760
ROW = 44  # height of a box with two lines

Step = tuple[Sequence[str], str]


def chain(y: float, steps: Sequence[Step], left: float = 0, right: float = WIDTH) -> list[str]:
    """Return boxes from left to right with arrows between them, as wide as their texts need.

    Args:
        y: top of the boxes.
        steps: lines and kind of each box.
        left: where the first begins.
        right: where the last ends; the arrows share what the boxes leave.
    """
    widths = [max(width_of(line, code=line.startswith("`")) for line in lines) + 16 for lines, _ in steps]
    gap = (right - left - sum(widths)) / (len(steps) - 1)
    parts, x = [], left
    for i, ((lines, kind), width) in enumerate(zip(steps, widths, strict=True)):
        parts.append(box(x, y, width, ROW, lines, kind))
        if i + 1 < len(steps):
            parts.append(arrow((x + width, y + ROW / 2), (x + width + gap - 2, y + ROW / 2)))
        x += width + gap
    return parts


def layers() -> str:
    """Return what is above what: programs, adapters, the engine, its threads, llama.cpp."""
    above = ("LangChain", "LlamaIndex", "OpenAI's API", "your code", "the command line")
    width, parts = 144, []
    for i, name in enumerate(above):
        x = i * (width + 10)
        parts.append(box(x, 0, width, 32, [name]))
        parts.append(arrow((x + width / 2, 32), (x + width / 2, 58 if i < 3 else 118)))
    parts += [
        box(0, 60, 3 * width + 20, 32, ["adapters: they only convert"]),
        arrow((226, 92), (226, 118)),
        box(0, 120, WIDTH, 32, ["Engine: chat, complete, infill, embed, rerank, sessions"], "accent"),
        arrow((185, 152), (185, 178)),
        arrow((575, 152), (575, 178)),
        box(
            0, 180, 370, ROW, ["generation loop, on a thread of its own", "slots, token masks, prompt cache"], "accent"
        ),
        box(390, 180, 370, ROW, ["retrieval worker, on a thread of its own", "micro-batches of texts"], "accent"),
        arrow((185, 224), (185, 250)),
        arrow((475, 224), (475, 250)),
        arrow((675, 224), (675, 250)),
        box(0, 252, 570, 32, ["llama.cpp"]),
        arrow((570, 268), (588, 268)),
        box(590, 252, 170, 32, ["our kernels, on x86"], "accent"),
    ]
    return picture(WIDTH, 286, "Layers: programs, adapters, Engine, two threads, llama.cpp and our kernels", parts)


def pool() -> str:
    """Return the pool of context, with requests of different sizes."""
    shares = (
        (["request 1"], 170, "accent"), (["request 2"], 90, "accent"), (["request 3"], 80, "accent"),
        (["a prefix that 4, 5 and 6 share:", "stored once"], 250, "accent"), (["free"], 170, "box"),
    )  # fmt: skip
    parts = [label(0, 13, "n_ctx_total tokens", "muted"), '<path class="line" d="M0 22 V18 H760 V22"/>']
    x = 0
    for lines, width, kind in shares:
        parts.append(box(x, 26, width, ROW, lines, kind))
        x += width
    parts += [
        arrow((285, 70), (285, 112)),
        arrow((315, 114), (315, 72)),
        label(274, 96, "full: the youngest request pauses", anchor="end"),
        label(326, 96, "later: it goes on, with the same text"),
        box(210, 114, 180, 32, ["its state, in RAM"]),
    ]
    return picture(WIDTH, 148, "One pool of context that requests share", parts)


def masks() -> str:
    """Return how a constraint becomes a mask, and when it is computed."""
    steps: list[Step] = [
        (["type"], "box"), (["JSON schema"], "box"), (["grammar"], "accent"),
        (['`after {"age": 7', "only digits , } are allowed"], "accent"),
    ]  # fmt: skip
    parts = chain(0, steps, 60, 700)
    parts += [
        box(60, 100, 200, ROW, ["the model's token:", "does the grammar allow it?"], "accent"),
        arrow((260, 112), (300, 112), (300, 92), (418, 92)),
        label(306, 86, "yes"),
        box(420, 70, 280, ROW, ["take it: the mask is not computed"]),
        arrow((260, 132), (300, 132), (300, 152), (418, 152)),
        label(306, 168, "no"),
        box(420, 130, 280, ROW, ["compute the mask (0.05 to 0.5 ms),", "and sample again"]),
    ]
    return picture(WIDTH, 176, "From a type to a mask, which is computed only if a token does not fit", parts)


def forced() -> str:
    """Return an object's text: the parts that are forced, and those that the model decides."""
    texts = (('{"name": ', True), ('"Ann"', False), (', "age": ', True), ("7}", False))
    parts, x = [], 170.0
    for text, is_forced in texts:
        width = width_of(text, code=True) + 24
        parts.append(box(x, 0, width, 34, [f"`{text}"], "accent" if is_forced else "box"))
        middle = x + width / 2
        parts.append(arrow((middle, 60), (middle, 36)) if is_forced else arrow((middle, 90), (middle, 36)))
        parts.append(label(middle, 76 if is_forced else 106, "forced" if is_forced else "the model", "", "middle"))
        x += width
    parts += [
        label(x + 40, 76, "read together in one step", "muted"),
        label(x + 40, 106, "decided, a step for each token", "muted"),
    ]
    return picture(WIDTH, 114, "Forced parts of an answer, and parts that the model decides", parts)


def kernels() -> str:
    """Return the way of a text to its vector."""
    steps: list[Step] = [
        (["texts"], "box"), (["tokens"], "box"), (["sorted by length, packed", "into micro-batches"], "box"),
        (["one pass of", "our kernels"], "accent"), (["vectors", "(float32)"], "box"),
    ]  # fmt: skip
    return picture(WIDTH, ROW + 2, "From texts to vectors", chain(1, steps))


def threads() -> str:
    """Return the two threads that work, and what goes to them and comes back."""
    loop = ["generation loop: all running", "requests, one step at a time"]
    worker = ["retrieval worker: a micro-batch", "of each job in turn"]
    parts = [
        box(0, 22, 150, 70, ["your threads", "and tasks"]),
        arrow((150, 40), (200, 40), (200, 22), (228, 22)),
        arrow((150, 74), (200, 74), (200, 92), (228, 92)),
        *chain(0, [(["requests"], "box"), (loop, "accent"), (["events"], "box")], 230),
        *chain(70, [(["jobs"], "box"), (worker, "accent"), (["arrays"], "box")], 230),
    ]
    return picture(WIDTH, 116, "Requests go to the generation loop, jobs to the retrieval worker", parts)


_DIAGRAMS: tuple[Callable[[], str], ...] = (layers, pool, masks, forced, kernels, threads)


def drawn() -> dict[str, str]:
    """Return all diagrams, by the name of the file in docs/pictures."""
    return {f"{diagram.__name__}.svg": diagram() for diagram in _DIAGRAMS}
