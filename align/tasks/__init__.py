"""What embeddings are probed for, as a declarative registry."""

from align.tasks.registry import (
    REGISTRY,
    Metric,
    ProbeSettings,
    SplitRule,
    Task,
    TaskError,
    load_tasks,
    select,
)

__all__ = [
    "REGISTRY",
    "Metric",
    "ProbeSettings",
    "SplitRule",
    "Task",
    "TaskError",
    "load_tasks",
    "select",
]
