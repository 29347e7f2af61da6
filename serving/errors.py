"""What can be wrong with a model, or with the way it is asked to be served.

ServingError             every failure of this room; its text is safe to show to anybody
├── InvalidArgument      a setting or flag that vLLM would refuse; `key` names it
│   ├── InvalidArguments several of them at once, in `problems`
│   └── UnknownGpu       no card of that name is known
├── ModelError           what the Hub says about the model; seen before a GPU is taken
│   ├── ModelNotFound    no such repo, or private and not for this token
│   ├── RevisionNotFound the repo has no such branch, tag or commit
│   ├── GatedModel       `reason`: "no-token" or "not-approved"
│   ├── ModelDisabled    the Hub has closed the repo
│   ├── InvalidHubToken  the Hub doesn't know the token
│   ├── NotServable      nothing in the repo that vLLM could load
│   ├── QuantizationMismatch  what is asked for isn't what the weights carry
│   ├── ModelLenTooLong  max_model_len is more than the model was made for
│   └── ParallelSizeMismatch  the model can't be divided among so many GPUs
└── HubUnreachable       no usable answer from the Hub: says nothing about the model
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


class ServingError(Exception):
    """A failure with a code for programs, what happened, what cures it, and the setting it is about."""

    code = "serving"
    key = ""

    def __init__(self, what: str, cure: str = "", *, key: str | None = None) -> None:
        super().__init__(what, cure)
        self.what = what
        self.cure = cure
        if key is not None:
            self.key = key

    def __str__(self) -> str:
        return f"{self.what} Cure: {self.cure}" if self.cure else self.what

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.code, self.key, self.what))


class InvalidArgument(ServingError):
    code = "invalid-argument"


class InvalidArguments(InvalidArgument):
    """Several invalid arguments; its own text is all of theirs, one a line."""

    code = "invalid-arguments"

    def __init__(self, problems: Sequence[InvalidArgument]) -> None:
        super().__init__("\n".join(f"{p.key}: {p}" for p in problems), key=problems[0].key)
        self.problems = tuple(problems)


class UnknownGpu(InvalidArgument):
    code = "unknown-gpu"
    key = "gpu"


class ModelError(ServingError):
    code = "model"
    key = "model"


class ModelNotFound(ModelError):
    code = "model-not-found"


class RevisionNotFound(ModelError):
    code = "revision-not-found"
    key = "revision"


class GatedModel(ModelError):
    code = "gated-model"
    key = "hf_token"

    def __init__(self, what: str, cure: str = "", *, reason: Literal["no-token", "not-approved"]) -> None:
        super().__init__(what, cure)
        self.reason = reason


class ModelDisabled(ModelError):
    code = "model-disabled"


class InvalidHubToken(ModelError):
    code = "invalid-hub-token"
    key = "hf_token"


class NotServable(ModelError):
    code = "not-servable"


class QuantizationMismatch(ModelError):
    code = "quantization-mismatch"
    key = "quantization"


class ModelLenTooLong(ModelError):
    code = "max-model-len"
    key = "max_model_len"


class ParallelSizeMismatch(ModelError):
    code = "tensor-parallel-size"
    key = "tensor_parallel_size"


class HubUnreachable(ServingError):
    code = "hub-unreachable"
