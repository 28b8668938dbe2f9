"""The demo's router: a GLiClass uni-encoder on a small DeBERTa, trained from scratch."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from mevlip.tasks import TASKS
from mevlip_training.acceptance import check_recall
from mevlip_training.calibration import calibrate, router_logits, write_calibration
from mevlip_training.demo.pairs import held_out_pairs, training_pairs
from mevlip_training.off_topic import held_out_off_topic, off_topic_for
from mevlip_training.router import (
    LABEL_TOKEN,
    TEXT_TOKEN,
    RouterTraining,
    default_settings,
    new_router,
    save_router,
    train_router,
)
from mevlip_training.router_data import Pair

logger = logging.getLogger(__name__)

PAIRS = 63000  # templates give new ones without end, so one epoch of many teaches more than three of a third
VOCABULARY = 900  # rarer words are spelled, so that spelling is learned too
SEED = 20250
TRAINING = RouterTraining(
    steps=4725,  # each pair twice
    batch_size=32,
    learning_rate=1e-3,
    head_learning_rate=None,
    seed=SEED,
)


def build_router(folder: Path) -> None:
    """Trains and calibrates the demo router and writes its folder.

    Raises:
        TrainingFailed: It does not tell the tasks apart; it is not written.
    """
    pairs: list[Pair] = [*training_pairs(PAIRS, SEED), *((text, None) for text in off_topic_for(PAIRS, SEED))]
    tokenizer = _tokenizer([question for question, _ in pairs])
    model = new_router(_encoder(tokenizer), tokenizer, TRAINING)
    settings = default_settings()
    losses = train_router(model, tokenizer, pairs, settings, TRAINING, quiet=False)
    logger.info("router loss at first and at the end: %.4f, %.4f", losses[0], losses[-1])
    held_out: list[Pair] = [*held_out_pairs(), *((text, None) for text in held_out_off_topic())]
    logits = router_logits(model, tokenizer, settings, [text for text, _ in held_out])
    calibration = calibrate(logits, [task for _, task in held_out])
    logger.info("router on held-out wordings: %s", calibration.summary)
    check_recall(calibration, {list(TASKS)[best] for best in logits.argmax(axis=1)}, len(TASKS), TRAINING)
    save_router(model, tokenizer, folder, calibration.apply(settings))
    write_calibration(calibration, folder)


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", LABEL_TOKEN, TEXT_TOKEN]
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
        additional_special_tokens=[LABEL_TOKEN, TEXT_TOKEN],
        model_max_length=512,
    )


def _encoder(tokenizer: Any) -> Any:
    from transformers import DebertaV2Config, DebertaV2Model

    torch.manual_seed(SEED)
    return DebertaV2Model(
        DebertaV2Config(
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
            attention_probs_dropout_prob=0.0,  # a seventh of the time, for nothing here
            initializer_range=0.1,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
