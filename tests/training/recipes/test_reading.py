from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import InputError
from mevlip.tasks import adapter_names
from mevlip_training.recipes.reading import parse_recipe, read_recipe, shipped_recipes

REFUSED = [
    ("adapters: {counting: {rnak: 8}}", "adapter 'counting', field rnak: there is no such field. Did you mean rank?"),
    ("default: {images: {pixels: 8}}", "default section, field images.pixels: there is no such field. Did you mean"),
    ("adapters: {counting: {zzz: 8}}", "field zzz: there is no such field. Fields here are prompt, images"),
    ("adapter: {}", "r.yaml, field adapter: there is no such field. Did you mean adapters?"),
    ("adapters: {count: {rank: 8}}", "adapter 'count': 'count' is not an adapter; adapters are generalist, class"),
    ("adapters: {counting: {rank: eight}}", "adapter 'counting', field rank: Input should be a valid integer, not 'ei"),
    ("adapters: {counting: {rank: true}}", "adapter 'counting', field rank: Input should be a valid integer"),
    ("adapters: {counting: {rank: 0}}", "field rank: Input should be greater than or equal to 1, not 0"),
    ("adapters: {counting: {images: {max_pixels: -1}}}", "adapter 'counting', field images.max_pixels: Input should"),
    ("adapters: {counting: 8}", "adapter 'counting': Input should be"),
    ("default: {prompt: {template: Hello}}", "default section, field prompt: template holds {question} exactly once"),
    ("default: {balance: {by: answer}}", "default section, field balance.rows: Field required"),
    ("default: {balance: {rows: most}}", "default section, field balance.rows"),
    ("adapters: {counting: {donors: [{task: regression}]}}", "field donors.0: a donor has either rows or share"),
    ("adapters: {counting: {donors: [{task: regression, rows: 1, share: 0.1}]}}", "a donor has either rows or share"),
    ("adapters: {counting: {donors: [{task: sums, rows: 1}]}}", "adapter 'counting', field donors.0.task"),
    ("adapters: {counting: {donors: [{task: counting, rows: 1}]}}", "field donors: its own task is its donor. Set don"),
    ("default: {donors: [{task: counting, rows: 1}]}", "adapter 'generalist', field donors: it is trained on the rows"),
    ("adapters: {counting: {show: first, images: {max_count: 4}}}", "images.max_count: 4 images, but show is first"),
    ("adapters: {counting: {images: {min_pixels: 9, max_pixels: 8}}}", "field images.min_pixels: 9 is more than max"),
    (
        "default: {images: {crop_to_patches: true, max_patches: 6}}",
        "field images.max_patches: 6 tiles, but LLaMA-Factory always cuts into 12 at most. Remove it",
    ),
    ("adapters: {counting: {start_from: multi}}", "adapter 'counting', field start_from: 'multi' is not an adapter"),
    ("adapters: {counting: {start_from: counting}}", "field start_from: adapters start from each other in a circle: c"),
    (
        "adapters: {counting: {start_from: detection}, detection: {start_from: regression}, "
        "regression: {start_from: counting}}",
        "adapters start from each other in a circle: detection, regression, counting. Let one of them",
    ),
    ("adapters: {counting: {start_from: generalist, rank: 16}}", "'counting', field rank: it starts from 'generalist'"),
    ("adapters: {counting: {compose: [counting]}}", "'counting', field compose: it names itself or one adapter twice"),
    ("adapters: {counting: {compose: [multi]}}", "'counting', field compose.0: 'multi' is not an adapter"),
    (
        "adapters: {counting: {compose: [generalist], start_from: generalist}}",
        "'counting', field compose: it starts from 'generalist', so what that learned would be added twice",
    ),
    ("adapters: {counting: {mix: {adapter: multi}}}", "'counting', field mix.adapter: 'multi' is not an adapter"),
    (
        "adapters: {counting: {mix: {adapter: counting}}}",
        "'counting', field mix.adapter: it names itself. Name another",
    ),
    ("adapters: {counting: {mix: {least: 2}}}", "'counting', field mix.least: Input should be less than or equal to 1"),
    (
        "adapters: {counting: {mix: {least: 1, most: 0.5}}}",
        "field mix: least must not be greater than most",
    ),
    (
        "adapters: {counting: {mix: {gama: 1}}}",
        "'counting', field mix.gama: there is no such field. Did you mean gamma",
    ),
    (
        "default: {prompt: {thinking: {token: 9}}}",
        "default section, field prompt.thinking.token: there is no such field. Did you mean tokens",
    ),
    ("default: {prompt: {thinking: {tokens: 0}}}", "default section, field prompt.thinking.tokens: Input should be"),
    (
        "{default: {compose: [generalist]}, adapters: {counting: {mix: {}}}}",
        "'counting', field mix: an adapter is composed with others or mixed with one, not both. Set compose to []",
    ),
    ("adapters: {counting: {rank: 8}, counting: {rank: 9}}", "r.yaml is not YAML ('counting' stands twice"),
    ("adapters: [", "r.yaml is not YAML"),
    ("- rank", "r.yaml: Input should be a valid dictionary"),
    ("[" * 5000, "r.yaml is not YAML"),
    ("a: !!python/object/apply:os.system [ls]", "r.yaml is not YAML"),
    ("\x00", "r.yaml is not YAML"),
]

KEYS = ["adapters", "default", "counting", "rank", "images", "donors", "balance", "x"]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=lambda value: value[:40])
def test_what_is_wrong_is_named_with_file_adapter_field_and_remedy(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(text.encode(), "r.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("r.yaml")
    assert caught.value.remedy and str(caught.value).isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    )
)
def test_any_yaml_is_a_recipe_or_refused_in_one_line(content: object) -> None:
    import yaml

    try:
        recipe = parse_recipe(yaml.safe_dump(content).encode(), "r.yaml")
    except InputError as error:
        assert str(error).startswith("r.yaml") and str(error).isprintable()
    else:
        assert all(recipe.of(name) for name in adapter_names())


@given(st.binary(max_size=40))
def test_any_bytes_are_a_recipe_or_refused_in_one_line(content: bytes) -> None:
    try:
        parse_recipe(content, "r.yaml")
    except InputError as error:
        assert str(error).isprintable()


def test_a_recipe_is_found_by_name_or_file(tmp_path: Path) -> None:
    own = tmp_path / "ours.yaml"
    own.write_text("default: {rank: 16}", "utf-8")
    assert read_recipe(str(own)).name == "ours"
    assert read_recipe(str(own)).recipe.of("counting").rank == 16
    assert read_recipe("paper").name == "paper"
    with pytest.raises(InputError, match="papre is not a recipe that can be read.*one of as-released, hexapus-2026"):
        read_recipe("papre")


def test_the_hash_is_of_the_file(tmp_path: Path) -> None:
    own = tmp_path / "ours.yaml"
    own.write_text("default: {rank: 16}", "utf-8")
    first = read_recipe(str(own)).sha256
    own.write_text("default: {rank: 17}", "utf-8")
    assert read_recipe(str(own)).sha256 != first


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    own = tmp_path / "huge.yaml"
    with own.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than"):
        read_recipe(str(own))


def test_the_shipped_recipes_are_four() -> None:
    assert shipped_recipes() == ("as-released", "hexapus-2026", "list-seu-2026", "paper")
