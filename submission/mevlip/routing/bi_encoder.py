"""The inputs of a bi-encoder: questions and label words, each for an encoder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABEL_TOKENIZER_NAME = "label_tokenizer.json"


@dataclass(frozen=True)
class TwoTokenizers:
    """A bi-encoder's tokenizers.

    Attributes:
        questions: A tokenizer of transformers.
        labels: A `tokenizers.Tokenizer` that pads.
    """

    questions: Any
    labels: Any

    @classmethod
    def load(cls, folder: Path, questions: Any) -> TwoTokenizers:
        """Reads the labels' tokenizer beside that of the questions."""
        from tokenizers import Tokenizer

        return cls(questions, Tokenizer.from_file(str(folder / LABEL_TOKENIZER_NAME)))

    def save_pretrained(self, folder: Path) -> None:
        """Writes both tokenizers to a router's folder."""
        self.questions.save_pretrained(folder)
        self.labels.save(str(folder / LABEL_TOKENIZER_NAME))


class BiEncoderPipeline:
    """Writes a batch for GLiClass's bi-encoder, in place of GLiClass's own pipeline.

    That one fetches the labels' tokenizer by a name on the hub, and encodes all labels again for every question. Here
    they are encoded once for a batch: one row of labels stands for all questions.

    Attributes:
        model: The GLiClassModel.
        device: Where the inputs are put.
    """

    def __init__(self, model: Any, tokenizers: TwoTokenizers, max_length: int, device: str) -> None:
        import torch

        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self._tokenizers = tokenizers
        self._max_length = max_length

    def prepare_inputs(self, texts: Sequence[str], labels: Sequence[str], same_labels: bool) -> dict[str, Any]:
        """Encodes questions and labels.

        Args:
            texts: Questions.
            labels: Label words; the columns of the scores.
            same_labels: Always true; GLiClass's pipelines also take labels for each question.

        Returns:
            Token ids and attention masks, of shape (texts, tokens) and (1, labels, tokens).
        """
        import torch

        if not same_labels:
            raise ValueError("a bi-encoder's labels are the same for all questions of a batch")
        questions = self._tokenizers.questions(
            list(texts), truncation=True, max_length=self._max_length, padding="longest", return_tensors="pt"
        )
        words = self._tokenizers.labels.encode_batch(list(labels))
        inputs = {
            "input_ids": questions["input_ids"],
            "attention_mask": questions["attention_mask"],
            "class_input_ids": torch.tensor([[one.ids for one in words]]),
            "class_attention_mask": torch.tensor([[one.attention_mask for one in words]]),
        }
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}
