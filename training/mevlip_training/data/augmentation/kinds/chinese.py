"""Questions in Chinese about answers that stay as they are: what a router does with a language it never saw."""

from __future__ import annotations

import random

from mevlip.tasks import TaskType
from mevlip_training.data.augmentation.base import DataSet, Open, Original, kind, lettered

# ruff: noqa: RUF001 - Chinese has marks of its own
QUESTIONS: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: (
        "请看图，从下面选出一个正确的选项: {options}",
        "根据这张图像，下面哪一项是对的: {options}",
    ),
    TaskType.MULTI_LABEL: (
        "请看图，从下面选出所有相符的项目: {options}",
        "这张图像符合下面哪些项目？可以选一个或几个: {options}",
    ),
    TaskType.DETECTION: (
        "请用 [x_min, y_min, x_max, y_max] 标出图中目标的位置。",
        "图中的目标在哪里？请写出 [x_min, y_min, x_max, y_max]。",
    ),
    TaskType.INSTANCE_DETECTION: (
        '请逐个标出图中的目标，写成 {{"编号": [[x_min, y_min, x_max, y_max]]}}。',
        '图中每个目标在哪里？格式为 {{"编号": [[x_min, y_min, x_max, y_max]]}}。',
    ),
    TaskType.COUNTING: ("请数一数图中的目标，只写数字。", "这张图像里一共有多少个目标？"),
    TaskType.REGRESSION: ("请在图中测量，写出数值{unit}。", "这张图像的测量结果{unit}是多少？"),
    TaskType.REPORT: ("请写出这张图像的所见。", "请用一两句话报告图像内容。"),
}
"""What stands in braces is taken from the row's question."""


@kind("chinese", "the question in Chinese, its options and labels as they are; for a test of routing")
def chinese(row: Original, dataset: DataSet, draw: random.Random) -> Open | None:
    """Asks in Chinese, where the pictures have one question of the task, because what it is about is not translated."""
    wordings = QUESTIONS.get(row.example.task)
    if wordings is None or not dataset.is_alone(row):
        return None
    spec = row.spec
    options = lettered(spec.options.values()) if spec.options else spec.separator.join(spec.labels)
    text = draw.choice(wordings).format(options=options, unit=f" ({spec.unit})" if spec.unit else "")
    answer = row.example.answer
    if spec.options and row.example.task is TaskType.CLASSIFICATION:
        answer = chr(ord("A") + [*spec.options].index(row.target))
    return Open(row.example.task, text, answer, row.example.task)
