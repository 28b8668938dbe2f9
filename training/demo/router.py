"""The demo's router: a GLiClass uni-encoder on a small DeBERTa, trained from scratch."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from submission.tasks import TASKS
from training.demo.pairs import held_out_pairs, training_pairs
from training.router import RouterTraining, default_settings, save_router, train_router

logger = logging.getLogger(__name__)

PAIRS = 21000
VOCABULARY = 450  # rarer words are spelt, so that spelling is learned too
SEED = 20250
TRAINING = RouterTraining(epochs=3, batch_size=32, learning_rate=1e-3, seed=SEED)


def build_router(folder: Path) -> None:
    """Trains the demo router and writes its folder; raises RuntimeError where it did not learn."""
    pairs = training_pairs(PAIRS, SEED)
    tokenizer = _tokenizer([question for question, _ in pairs])
    model = _model(tokenizer)
    settings = default_settings()
    losses = train_router(model, tokenizer, pairs, settings, TRAINING)
    logger.info("router loss by epoch: %s", ", ".join(f"{loss:.4f}" for loss in losses))
    save_router(model, tokenizer, folder, settings)
    accuracy = _held_out_accuracy(folder)
    logger.info("router accuracy on held-out wordings: %.3f", accuracy)
    if accuracy < 0.9:
        raise RuntimeError(f"the router reached only {accuracy:.3f} on held-out wordings")


def _held_out_accuracy(folder: Path) -> float:
    from submission.router import Router

    pairs = held_out_pairs()
    verdicts = Router.load(folder).classify(question for question, _ in pairs)
    return sum(verdicts[question].task == task for question, task in pairs) / len(pairs)


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "<<LABEL>>", "<<SEP>>"]
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word
        for text in (*texts, *default_settings().labels.values())
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    # Written out rather than learned: the library's WordPiece trainer breaks ties at random.
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))[:VOCABULARY]
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *frequent])
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        additional_special_tokens=["<<LABEL>>", "<<SEP>>"],
        model_max_length=512,
    )


def _model(tokenizer: Any) -> Any:
    from gliclass import GLiClassModel, GLiClassModelConfig
    from transformers import DebertaV2Config

    torch.manual_seed(SEED)
    encoder = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=32,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        type_vocab_size=0,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        initializer_range=0.1,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = GLiClassModelConfig(
        encoder_config=encoder,
        encoder_model="deberta-v2",
        architecture_type="uni-encoder",
        prompt_first=True,
        # 'avg' ignores the attention mask, so a question's score would depend on its batch.
        pooling_strategy="first",
        class_token_index=tokenizer.convert_tokens_to_ids("<<LABEL>>"),
        text_token_index=tokenizer.convert_tokens_to_ids("<<SEP>>"),
        vocab_size=len(tokenizer),
        problem_type="multi_label_classification",
        # The paper's alpha of 1 gives every wrong label weight 0; -1 turns the weighting off.
        focal_loss_alpha=-1,
        focal_loss_gamma=1,
        initializer_range=0.125,
        max_num_classes=len(TASKS),
    )
    return GLiClassModel(config)
