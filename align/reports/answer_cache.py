"""Raw model answers in an append-only JSONL file that survives a kill."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType

from align.reports.report import ReportError


def answer_key(prompt_sha256: str, model: str, revision: str, seed: int) -> str:
    """What an answer depends on, as one hash."""
    return hashlib.sha256(json.dumps([prompt_sha256, model, revision, seed]).encode()).hexdigest()


class AnswerCache:
    """Answers by key; every `put` is on disk when it returns, so a killed run loses one at most.

    Opening cuts off a last line that was not written to its end.

    Raises:
        ReportError: the file is unreadable, or a line before the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._answers: dict[str, str] = {}
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._load()
            self._handle = path.open("ab")
        except OSError as error:
            raise ReportError(f"cannot open the answer cache {path}: {error}") from None

    def _load(self) -> None:
        if not self._path.exists():
            return
        whole = 0
        with self._path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                    self._answers[entry["key"]] = entry["answer"]
                except (ValueError, KeyError, TypeError):
                    raise ReportError(
                        f"{self._path} line {number} is damaged; delete that line to go on"
                    ) from None
                whole = handle.tell()
        with self._path.open("rb+") as handle:
            handle.truncate(whole)

    def get(self, key: str) -> str | None:
        """The answer, if it was given before."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        line = json.dumps({"key": key, "answer": answer}, ensure_ascii=False)
        self._handle.write(line.encode("utf-8", errors="replace") + b"\n")
        self._handle.flush()
        self._answers[key] = answer

    def __len__(self) -> int:
        return len(self._answers)

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._handle.close()
