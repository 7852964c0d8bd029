"""Checks schemas with instances in a worker process, and restarts it when it crashes or hangs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMIT = 2.0  # seconds for a schema and all its instances
START_LIMIT = 60.0  # for a process to import everything, and for a vocabulary to be read


@dataclass(frozen=True)
class Case:
    """A schema, and texts that are valid or not.

    Attributes:
        name: its source.
        schema: a dict, or True or False.
        texts: the instances as JSON texts.
        valid: whether each is valid.
        what: a description of each.
    """

    name: str
    schema: Any
    texts: list[str]
    valid: list[bool]
    what: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """The result of a case.

    Attributes:
        case: the case.
        accepted: whether each instance is accepted; None if that is unknown.
        refused: why the schema is refused.
        failure: "hang", or how the process ended.
        seconds: for the schema and all instances.
        compile_seconds: for the schema alone.
    """

    case: Case
    accepted: list[bool] | None = None
    refused: str = ""
    failure: str = ""
    seconds: float = 0.0
    compile_seconds: float = 0.0

    @property
    def wrong(self) -> list[int]:
        """The indices of the instances that are judged wrongly."""
        return [i for i, valid in enumerate(self.case.valid) if self.accepted and self.accepted[i] != valid]

    @property
    def right(self) -> bool:
        """Whether the schema is accepted, and every instance is judged correctly."""
        return self.accepted is not None and not self.wrong

    def has_wrong(self, valid: bool) -> bool:
        """Return whether a valid (or an invalid) instance is judged wrongly."""
        return any(self.case.valid[i] is valid for i in self.wrong)


def maskbench(path: Path) -> list[Case]:
    """Read rows of ``id``, ``schema`` and ``tests`` (``valid``, ``data``)."""
    cases = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            tests = row["tests"]
            texts = [json.dumps(test["data"], ensure_ascii=False) for test in tests]
            cases.append(Case(row["id"], row["schema"], texts, [test["valid"] for test in tests]))
    return cases


def suite(path: Path, draft: str) -> Iterator[Case]:
    """Read a draft's groups from JSON-Schema-Test-Suite's archive, also those under optional/."""
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            inside = member.name.partition(f"tests/{draft}/")[2]
            if not member.isfile() or not inside.endswith(".json"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            for group in json.load(file):
                tests = group["tests"]
                yield Case(
                    f"{inside.removesuffix('.json')}: {group['description']}",
                    group["schema"],
                    [json.dumps(test["data"], ensure_ascii=False) for test in tests],
                    [test["valid"] for test in tests],
                    [test["description"] for test in tests],
                )


class Judge:
    """A worker process, which is restarted when it has ended.

    Args:
        engine: ``llguidance`` or ``gbnf``.
        vocab: the GGUF file with the vocabulary for masks.
    """

    def __init__(self, engine: str, vocab: Path | str = "") -> None:
        self._arguments = [engine, str(vocab)]
        self._process: subprocess.Popen[str] | None = None

    def judge(self, case: Case) -> Verdict:
        """Judge a schema's instances."""
        if isinstance(case.schema, bool):
            return Verdict(case, refused="true and false are not constraints")
        task = {"what": "judge", "schema": case.schema, "texts": case.texts}
        answer, failure = self._ask(task, LIMIT)
        return Verdict(
            case, answer.get("accepted"), answer.get("refused", ""), failure, answer.get("seconds", LIMIT),
            answer.get("compile", 0.0),
        )  # fmt: skip

    def masks(self, case: Case, every: int) -> list[float]:
        """Return the seconds for masks along a schema's valid instances, for every nth token."""
        texts = [text for text, valid in zip(case.texts, case.valid, strict=True) if valid]
        answer, _ = self._ask({"what": "time", "schema": case.schema, "texts": texts, "every": every}, START_LIMIT)
        masks: list[float] = answer.get("masks", [])
        return masks

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            self._process = None

    def _ask(self, task: dict[str, Any], limit: float) -> tuple[dict[str, Any], str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "constraint_worker.py"), *self._arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            )  # fmt: skip
            self._read(START_LIMIT)
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        answer, hung = self._read(limit)
        if answer is not None:
            return answer, ""
        code = self._process.wait()
        self.close()
        return {}, "hang" if hung else f"the process ended with code {code}"

    def _read(self, limit: float) -> tuple[dict[str, Any] | None, bool]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(limit, give_up)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        return (json.loads(line) if line.endswith("\n") else None), hung.is_set()
