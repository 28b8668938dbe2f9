from __future__ import annotations

import pytest

from tests.mevlip.inference.families.answers import AnswersAreTheReferences

pytestmark = pytest.mark.model


class TestAnswers(AnswersAreTheReferences):
    name = "qwen2_5_vl"
