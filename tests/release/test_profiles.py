from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.profiles import PROFILES, Profile, find_profile


def test_the_challenges_lines_are_known() -> None:
    assert PROFILES["flare2025"].memory == "28g" and PROFILES["flare2025"].image_gb is None
    assert (PROFILES["flare2026"].memory, PROFILES["flare2026"].image_gb) == ("48g", 35)
    assert find_profile("flare2026") is PROFILES["flare2026"]


def test_a_profile_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"name": "mine", "memory": "64g", "cases": 10, "user": "1000:1000"}')
    found = find_profile(str(tmp_path / "p.json"))
    assert found == Profile(name="mine", memory="64g", cases=10, user="1000:1000") and found.uid == 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "p.json is not valid"),
        ('{"name": "x", "memory": "lots", "cases": 1}', "memory: String should match"),
        ('{"name": "x", "memory": "1g", "cases": 0}', "cases: Input should be greater than 0"),
        ('{"name": "x", "memory": "1g", "cases": 1, "color": 1}', "color: Extra inputs are not permitted"),
        ('{"memory": "1g", "cases": 1, "name": "x", "user": "root"}', "user: String should match"),
    ],
)
def test_a_file_that_is_none_names_its_field(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        find_profile(str(tmp_path / "p.json"))
    assert "name, memory and cases are required" in caught.value.remedy


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_is_a_profile_or_refused(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.mktemp("profile") / "p.json"
    path.write_text(json.dumps(content))
    with pytest.raises(EnvironmentProblem, match="is not valid"):
        find_profile(str(path))


def test_an_unknown_name_and_a_wrong_memory_are_named() -> None:
    with pytest.raises(EnvironmentProblem, match="Unknown profile 'flare2024'. Name flare2025, flare2026"):
        find_profile("flare2024")
    assert PROFILES["flare2025"].replace(memory="2g").memory == "2g"
    with pytest.raises(EnvironmentProblem, match="memory: String should match"):
        PROFILES["flare2025"].replace(memory="2 gigabytes")
