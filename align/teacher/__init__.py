"""The frozen language model whose report embeddings an audio encoder is aligned with."""

from align.teacher.config import TeacherConfig, TeacherError
from align.teacher.model import Embedded, Teacher
from align.teacher.table import TextTable, embed_texts

__all__ = ["Embedded", "Teacher", "TeacherConfig", "TeacherError", "TextTable", "embed_texts"]
