"""The LLM writer: JSON first, verified, retried with another seed, else the template.

1. Recordings with equal facts share one prompt, which is asked once.
2. An answer comes from the cache or the backend; the cache keeps it raw, so a better verifier
   judges old answers anew without asking again.
3. An answer that is no JSON, uses values that the record has not, or fails the verifier is asked
   for again with the next seed; after `attempts` the template is used, with the last verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from align.corpora.recording import Recording
from align.reports import template
from align.reports.answer_cache import AnswerCache, answer_key
from align.reports.backends import Backend, Refusal
from align.reports.facts import facts_of
from align.reports.prompt import AnswerError, Prompt, may_omit, prompt_for, read_answer
from align.reports.report import Report, ReportError
from align.reports.roles import Fact, Labels
from align.reports.verify import verify

REFUSALS_ALLOWED = 20  # in a row, before the endpoint counts as down


@dataclass
class WriteCounts:
    """What happened to the prompts of a run; `prompts` are unique, `recordings` are not."""

    recordings: int = 0
    prompts: int = 0
    from_cache: int = 0
    asked: int = 0
    refused: int = 0
    not_json: int = 0
    failed_check: int = 0
    fallbacks: int = 0


@dataclass
class _Task:
    prompt: Prompt
    corpus: str
    facts: tuple[Fact, ...]
    rows: list[int] = field(default_factory=list)
    report: Report | None = None
    verdict: dict[str, str] = field(default_factory=dict)


def write_all(
    rows: Sequence[Recording],
    backend: Backend,
    cache: AnswerCache,
    *,
    labels: Labels = "include",
    seed: int = 0,
    attempts: int = 3,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Report], WriteCounts]:
    """One verified report per recording, or the template's where the model fails.

    `on_progress(done, total)` is called after every batch, in unique prompts.

    Raises:
        ReportError: the backend gave no answer `REFUSALS_ALLOWED` times in a row or none at all, or
            refuses the model. What it answered is in the cache: the same call goes on from there.
    """
    tasks = _tasks(rows, labels)
    writer = _Writer(backend, cache, WriteCounts(len(rows), len(tasks)))
    for attempt in range(attempts):
        open_tasks = [task for task in tasks if task.report is None]
        for batch in _batches(open_tasks, backend.batch):
            writer.settle(batch, seed + attempt)
            if on_progress is not None:
                on_progress(writer.passed, len(tasks))
    if writer.counts.refused and not len(cache):  # few prompts, and none was ever answered
        writer.give_up()
    reports: list[Report] = [Report("", "template")] * len(rows)
    for task in tasks:
        report = task.report or writer.fall_back(task, seed)
        for row in task.rows:
            reports[row] = report
    return reports, writer.counts


class _Writer:
    def __init__(self, backend: Backend, cache: AnswerCache, counts: WriteCounts) -> None:
        self.backend, self.cache, self.counts = backend, cache, counts
        self.passed = 0
        self._refused_in_a_row = 0
        self._last_refusal = ""

    def settle(self, tasks: Sequence[_Task], seed: int) -> None:
        """Answer each task, from the cache if possible, and keep the reports that pass."""
        answers = [self.cache.get(self._key(task, seed)) for task in tasks]
        missing = [i for i, answer in enumerate(answers) if answer is None]
        self.counts.from_cache += len(tasks) - len(missing)
        if missing:
            self.counts.asked += len(missing)
            asked = self.backend.answers([tasks[i].prompt for i in missing], seed)
            for index, given in zip(missing, asked, strict=True):
                answers[index] = self._keep(given, self._key(tasks[index], seed))
        for task, answer in zip(tasks, answers, strict=True):
            if answer is not None:
                self._judge(task, answer, seed)
        if self._refused_in_a_row >= REFUSALS_ALLOWED:
            self.give_up()

    def give_up(self) -> NoReturn:
        """Stop the run for an endpoint that is down.

        Raises:
            ReportError: always.
        """
        raise ReportError(
            f"the endpoint gave no answer {self._refused_in_a_row} times in a row "
            f"({self._last_refusal}); {len(self.cache)} answers are cached: "
            "see that it runs, then start the same command again"
        )

    def fall_back(self, task: _Task, seed: int) -> Report:
        """The template's report, marked with the prompt and the verdict that it stands in for."""
        self.counts.fallbacks += 1
        report = template.write_facts(task.corpus, task.facts)
        return replace(self._signed(report, task, seed), verdict=task.verdict)

    def _keep(self, answer: str | Refusal, key: str) -> str | None:
        if isinstance(answer, Refusal):
            self.counts.refused += 1
            if not (answer.of_prompt and len(self.cache)):  # an endpoint that answers is not down
                self._refused_in_a_row += 1
            self._last_refusal = answer.reason
            return None
        self._refused_in_a_row = 0
        self.cache.put(key, answer)
        return answer

    def _judge(self, task: _Task, text: str, seed: int) -> None:
        try:
            answer = read_answer(text, task.facts)
        except AnswerError as error:
            self.counts.not_json += 1
            task.verdict = {"answer": str(error)}
            return
        verdict = verify(answer.report, task.facts)
        task.verdict = verdict.as_mapping()
        if not verdict.passed(may_omit(task.facts, answer)):
            self.counts.failed_check += 1
            return
        omitted = tuple(name for name, status in verdict.fields.items() if status == "omitted")
        report = Report(answer.report, "llm", verdict=task.verdict, omitted=omitted)
        task.report = self._signed(report, task, seed)
        self.passed += 1

    def _signed(self, report: Report, task: _Task, seed: int) -> Report:
        return replace(
            report,
            prompt_sha256=task.prompt.sha256,
            model=self.backend.model,
            revision=self.backend.revision,
            seed=seed,
        )

    def _key(self, task: _Task, seed: int) -> str:
        return answer_key(task.prompt.sha256, self.backend.model, self.backend.revision, seed)


def _tasks(rows: Sequence[Recording], labels: Labels) -> list[_Task]:
    """One task per prompt and corpus (two corpora may share a prompt, not a template)."""
    tasks: dict[tuple[str, str], _Task] = {}
    for index, row in enumerate(rows):
        facts = facts_of(row, labels)
        prompt = prompt_for(facts)
        task = tasks.setdefault((row.corpus, prompt.sha256), _Task(prompt, row.corpus, facts))
        task.rows.append(index)
    return list(tasks.values())


def _batches(tasks: Sequence[_Task], size: int) -> Iterator[Sequence[_Task]]:
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]
