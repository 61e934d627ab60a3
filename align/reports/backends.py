"""Where the LLM writer's answers come from: a local transformers model or a chat endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import openai

from align.reports.prompt import Prompt
from align.reports.report import ReportError

CLIENT_ERRORS = (
    openai.AuthenticationError,
    openai.PermissionDeniedError,
    openai.NotFoundError,
)


@dataclass(frozen=True)
class Refusal:
    """No answer came, and why; `of_prompt` where this prompt is at fault and not the endpoint."""

    reason: str
    of_prompt: bool = False


class Backend(Protocol):
    """Answers prompts a batch at a time."""

    model: str
    revision: str
    batch: int

    def answers(self, prompts: Sequence[Prompt], seed: int) -> list[str | Refusal]:
        """One answer or refusal per prompt, in order."""
        ...


class EndpointBackend:
    """Any OpenAI-compatible endpoint (vLLM, llama.cpp, ...), `concurrency` requests at a time.

    Answers are asked for with a JSON schema; an endpoint that refuses `response_format` is asked
    without from then on.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str = "none",
        revision: str = "",
        concurrency: int = 32,
        temperature: float = 0.7,
        max_tokens: int = 700,
        timeout: float = 120.0,
    ) -> None:
        self.model, self.revision, self.base_url = model, revision, base_url
        self.batch = 8 * concurrency  # long enough that one slow answer idles few slots
        self._concurrency, self._temperature = concurrency, temperature
        self._max_tokens, self._with_schema = max_tokens, True
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, timeout=timeout, max_retries=0
        )
        self._runner = asyncio.Runner()  # one event loop for the client's whole life

    def answers(self, prompts: Sequence[Prompt], seed: int) -> list[str | Refusal]:
        """One answer or refusal per prompt, in order.

        Raises:
            ReportError: the endpoint knows neither the model nor the key; no retry can help.
        """
        return self._runner.run(self._all(prompts, seed))

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    async def _all(self, prompts: Sequence[Prompt], seed: int) -> list[str | Refusal]:
        slots = asyncio.Semaphore(self._concurrency)

        async def one(prompt: Prompt) -> str | Refusal:
            async with slots:
                return await self._one(prompt, seed)

        return await asyncio.gather(*map(one, prompts))

    async def _one(self, prompt: Prompt, seed: int) -> str | Refusal:
        try:
            return await self._ask(prompt, seed, with_schema=self._with_schema)
        except openai.BadRequestError:
            return await self._without_schema(prompt, seed)
        except CLIENT_ERRORS as error:
            raise ReportError(
                f"{self.base_url} refuses model {self.model!r}: {error.message}"
            ) from None
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            return Refusal(str(error) or type(error).__name__)

    async def _without_schema(self, prompt: Prompt, seed: int) -> str | Refusal:
        try:
            answer = await self._ask(prompt, seed, with_schema=False)
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            return Refusal(str(error), of_prompt=isinstance(error, openai.BadRequestError))
        self._with_schema = False
        return answer

    async def _ask(self, prompt: Prompt, seed: int, *, with_schema: bool) -> str | Refusal:
        extra: dict[str, Any] = {}
        if with_schema:
            schema = {"name": "report", "schema": prompt.schema(), "strict": True}
            extra = {"response_format": {"type": "json_schema", "json_schema": schema}}
        messages: Any = prompt.chat()
        reply: Any = await self._client.chat.completions.create(
            model=self.model,
            messages=messages,
            seed=seed,
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            **extra,
        )
        choices = getattr(reply, "choices", None)  # a proxy's HTML page comes as a string
        if not choices or choices[0].message is None:
            return Refusal(f"{self.base_url} answered with something else than a chat completion")
        return choices[0].message.content or ""


class LocalBackend:
    """A transformers causal model on this machine, prompts batched and padded on the left.

    The seed is set per batch, so an answer is reproducible with the same batches.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str = "",
        batch: int = 8,
        temperature: float = 0.7,
        max_tokens: int = 700,
        device_map: str = "auto",
    ) -> None:
        """Load model and tokenizer.

        Raises:
            ReportError: the model cannot be loaded (no such model, gated, or no network).
        """
        import torch  # noqa: PLC0415
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

        self.model, self.revision, self.batch = model, revision, batch
        self._temperature, self._max_tokens = temperature, max_tokens
        chosen = {"revision": revision} if revision else {}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model, **chosen)
            self._network: Any = AutoModelForCausalLM.from_pretrained(
                model,
                dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
                device_map=device_map if torch.cuda.is_available() else None,
                **chosen,
            )
        except (OSError, ValueError) as error:
            raise ReportError(
                f"cannot load the model {model!r}: {str(error).splitlines()[0]} "
                "(a gated model needs an accepted licence and HF_TOKEN)"
            ) from None
        self._network.train(mode=False)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def answers(self, prompts: Sequence[Prompt], seed: int) -> list[str | Refusal]:
        """One answer per prompt, in order.

        Raises:
            ReportError: the accelerator has too little memory for the batch.
        """
        import torch  # noqa: PLC0415
        from transformers import set_seed  # noqa: PLC0415

        texts = [self._render(prompt) for prompt in prompts]
        inputs = self._tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=not self._chats()
        ).to(self._network.device)
        set_seed(seed)
        try:
            with torch.inference_mode():
                output = self._network.generate(
                    **inputs,
                    max_new_tokens=self._max_tokens,
                    do_sample=self._temperature > 0,
                    **({"temperature": self._temperature} if self._temperature > 0 else {}),
                    pad_token_id=self._tokenizer.pad_token_id,
                )
        except torch.OutOfMemoryError:
            raise ReportError(
                f"not enough memory for {len(prompts)} prompts at once; lower --batch"
            ) from None
        written = output[:, inputs["input_ids"].shape[1] :]
        return list(self._tokenizer.batch_decode(written, skip_special_tokens=True))

    def close(self) -> None:
        """Nothing to close."""

    def _chats(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def _render(self, prompt: Prompt) -> str:
        if not self._chats():
            return "\n\n".join(content for _, content in prompt.messages) + "\n\nAnswer:\n"
        text: str = self._tokenizer.apply_chat_template(
            prompt.chat(), tokenize=False, add_generation_prompt=True
        )
        return text
