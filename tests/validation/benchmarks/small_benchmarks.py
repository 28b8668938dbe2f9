"""Benchmarks of a few invented questions on drawn pictures, in the published layouts."""

# ruff: noqa: RUF001 - Chinese has marks of its own
from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def draw(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number))
    return path


def picture(number: int) -> bytes:
    """The bytes of a small PNG picture; other numbers look different."""
    gray = np.random.default_rng(number).integers(0, 256, (40, 48), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_parquet(path: Path, rows: Sequence[tuple[bytes, str, str]]) -> None:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {"image": {"bytes": content, "path": None}, "question": question, "answer": answer}
        for content, question, answer in rows
    ]
    parquet.write_table(pyarrow.Table.from_pylist(records), path)


def vqa_rad(root: Path) -> None:
    common = {"image_organ": "CHEST", "question_type": "PRES", "qid": 1}
    rows = [
        ("a.jpg", "Is a drain in place?", "Yes", "CLOSED ", "test_freeform"),
        ("a.jpg", "Is the shadow left or right?", "right", "CLOSED", "test_para"),
        ("b.jpg", "Which plane is it?", "axial", "OPEN", "test_freeform"),
        ("b.jpg", "Is it blurred?", "no", "CLOSED", "freeform"),
    ]
    write_json(
        root / "VQA_RAD Dataset Public.json",
        [
            {
                **common,
                "image_name": image,
                "question": question,
                "answer": answer,
                "answer_type": kind,
                "phrase_type": phrase,
            }
            for image, question, answer, kind, phrase in rows
        ],
    )
    for number, name in enumerate(("a.jpg", "b.jpg")):
        draw(root / "VQA_RAD Image Folder" / name, number)


def slake(root: Path) -> None:
    rows = [
        ("xm0/source.jpg", "Does it show a stent?", "No", "en", "CLOSED"),
        ("xm1/source.jpg", "Which organ is bright?", "Spleen", "en", "OPEN"),
        ("xm1/source.jpg", "图中有支架吗？", "没有", "zh", "CLOSED"),
        ("xm1/source.jpg", "哪个器官最亮？", "脾脏", "zh", "OPEN"),
    ]
    for name in ("train.json", "validate.json", "test.json"):
        write_json(
            root / name,
            [
                {
                    "img_name": image,
                    "question": question,
                    "answer": answer,
                    "q_lang": language,
                    "answer_type": kind,
                    "modality": "CT",
                }
                for image, question, answer, language, kind in rows
            ],
        )
    for number, name in enumerate(("xm0", "xm1")):
        draw(root / "imgs" / name / "source.jpg", number)


def path_vqa(root: Path) -> None:
    write_parquet(
        root / "data/test-00000-of-00001.parquet",
        [(picture(1), "Are the nuclei dark?", "yes"), (picture(1), "What lies in the middle?", "a vessel")],
    )


def omnimedvqa(root: Path) -> None:
    options = {"option_A": "Scan one.", "option_B": "No, it's normal.", "option_C": "Scan three"}
    rows = [
        {
            "image_path": "Images/Set A/1.png",
            "question": "What is shown?",
            "gt_answer": "No, it's normal.",
            "modality_type": "CT",
            **options,
        },
        {
            "image_path": "Images/Set A/2.png",
            "question": "What is shown?",
            "gt_answer": "scan one",
            "modality": "MRI",
            **options,
        },
        {
            "image_path": "Images/Set A/2.png",
            "question": "What else?",
            "gt_answer": "Scan nine",
            "modality_type": "MRI",
            **options,
        },
    ]
    write_json(root / "QA_information/Open-access/Set A.json", rows)
    write_json(root / "QA_information/Restricted-access/Set B.json", [{"image_path": "Images/none.png"}])
    for number in (1, 2):
        draw(root / f"Images/Set A/{number}.png", number)


def pmc_vqa(root: Path) -> None:
    header = (
        "index",
        "Figure_path",
        "Caption",
        "Question",
        "Choice A",
        "Choice B",
        "Choice C",
        "Choice D",
        "Answer",
        "split",
    )
    write_csv(
        root / "test_2.csv",
        header,
        [
            ("0", "F1.jpg", "c", 'Is the "arrow" red?', " A:Red ", "B: Green, dark", "C:Blue", "D:None", "B", "test"),
            ("1", "F2.jpg", "c", "What is plotted?", "Mass", "Time", "Heat", "Dose", "D", "test"),
        ],
    )  # fmt: skip
    for number, name in enumerate(("F1.jpg", "F2.jpg")):
        draw(root / "figures" / name, number)


def iu_xray(root: Path) -> None:
    rows = {
        key: [
            {
                "id": f"X{n}",
                "report": f"The heart is of size {n} .\nNo effusion .",
                "image_path": [f"X{n}/0.png", f"X{n}/1.png"],
                "split": key,
            }
            for n in (first, first + 1)
        ]
        for first, key in ((0, "train"), (2, "val"), (4, "test"))
    }
    write_json(root / "annotation.json", rows)
    for number in range(6):
        for view in range(2):
            draw(root / f"images/X{number}/{view}.png", 10 * number + view)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "iu-xray": iu_xray,
    "omnimedvqa": omnimedvqa,
    "path-vqa": path_vqa,
    "pmc-vqa": pmc_vqa,
    "slake": slake,
    "vqa-rad": vqa_rad,
}
"""Writes a small benchmark of each name into a folder."""
