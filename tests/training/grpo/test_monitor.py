"""The monitor ends runs that collapse, says why, and lets healthy ones go on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest
from pydantic import ValidationError

from mevlip.core.errors import ExitCode
from mevlip_training.grpo.monitor import Limits, Monitor, RewardCollapse
from mevlip_training.grpo.steps import Group, Step
from tests.training.grpo.series import CAP, group, learning, step

WINDOW = Limits().window


def watch(steps: Iterable[Step], limits: Limits | None = None) -> int:
    """Shows a run to a monitor; returns the last step's number."""
    monitor, last = Monitor(limits), 0
    for one in steps:
        monitor.observe(one)
        last = one.step
    return last


def repeated(groups: list[Group], count: int = 3 * WINDOW) -> Iterable[Step]:
    return (step(number, groups) for number in range(1, count + 1))


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_run_that_gets_better_goes_on(seed: int) -> None:
    rng = random.Random(seed)
    skills = [0.3 + 0.6 * number / 300 for number in range(300)]
    assert watch(step(n, learning(rng, skill), kl=rng.uniform(0, 0.4)) for n, skill in enumerate(skills, 1)) == 300


def test_a_run_that_gets_no_better_goes_on() -> None:
    rng = random.Random(1)
    assert watch(step(number, learning(rng, 0.5)) for number in range(1, 201)) == 200


def test_an_almost_solved_task_goes_on_although_most_groups_have_no_variance() -> None:
    rng = random.Random(2)
    steps = [step(number, learning(rng, 1.3)) for number in range(1, 201)]
    assert sum(one.flat for one in steps) / len(steps) > 0.9
    assert watch(steps) == 200


def test_a_solved_task_with_one_true_answer_goes_on() -> None:
    assert watch(repeated([group([1.0] * 8, ["A"] * 8)])) == 3 * WINDOW


def test_single_questions_that_are_never_right_do_not_end_a_run() -> None:
    rng = random.Random(3)
    lost = group([0.2] * 8, ["D"] * 8)
    assert watch(step(number, [*learning(rng, 0.5), lost, lost]) for number in range(1, 101)) == 100


@pytest.mark.parametrize("reward", [0.0, 0.5, 1.0])
def test_a_constant_reward_ends_the_run_even_where_it_is_the_greatest(reward: float) -> None:
    with pytest.raises(RewardCollapse, match=r"steps 1 to 20: in 100% of the groups all completions earn the same"):
        watch(repeated([group([reward] * 8) for _ in range(4)]))


def test_groups_without_variance_end_the_run_though_their_rewards_differ() -> None:
    rng = random.Random(4)
    steps = (step(n, [group([rng.choice([0.2, 0.6])] * 8) for _ in range(4)]) for n in range(1, 100))
    with pytest.raises(RewardCollapse, match=r"Raise temperature or num_generations"):
        watch(steps)


def test_a_reward_of_the_place_in_the_group_ends_the_run() -> None:
    with pytest.raises(RewardCollapse, match=r"the mean reward is 0.350 at every step. Check the rewards"):
        watch(repeated([group([number / 10 for number in range(8)])]))


def test_a_reward_for_length_ends_the_run() -> None:
    rng = random.Random(5)

    def hacking(number: int) -> list[Group]:
        longer = 1 + number / 10
        return [group([min(longer / 10 + rng.uniform(0, 0.1), 1.0) for _ in range(8)], times_truth=longer, tokens=8)]

    with pytest.raises(RewardCollapse, match=r"times as long as the true answers, and were 2.\d times at first"):
        watch(step(number, hacking(number)) for number in range(1, 200))


def test_answers_that_grow_up_to_the_true_length_go_on() -> None:
    rng = random.Random(6)

    def growing(number: int) -> list[Group]:
        done = min(number / 100, 1.0)
        return [group([done * rng.uniform(0.8, 1) for _ in range(8)], times_truth=max(done, 0.01))]

    assert watch(step(number, growing(number)) for number in range(1, 200)) == 199


def test_completions_that_are_cut_end_the_run() -> None:
    rng = random.Random(7)
    steps = (step(n, [group([rng.random() for _ in range(8)], tokens=CAP)]) for n in range(1, 100))
    with pytest.raises(RewardCollapse, match=r"100% of the completions are cut at the limit of tokens. Raise max_comp"):
        watch(steps)


def test_one_answer_to_most_questions_ends_the_run() -> None:
    rng = random.Random(8)

    def stubborn() -> list[Group]:
        said = [*"AAAAAAA", rng.choice("ABCD")]
        true = [rng.choice("ABCD") for _ in range(4)]
        return [group([1.0 if one == right else 0.2 for one in said], said) for right in true]

    with pytest.raises(RewardCollapse, match=r"9\d% of the completions give one answer to 80 questions"):
        watch(step(number, stubborn()) for number in range(1, 100))


def test_a_model_that_moves_too_far_ends_the_run_but_a_single_leap_does_not() -> None:
    rng = random.Random(9)
    assert watch(step(n, learning(rng, 0.5), kl=1e6 if n == 50 else 0.1) for n in range(1, 101)) == 100
    with pytest.raises(RewardCollapse, match=r"moved 6.0 nats a token away from where it started"):
        watch(step(n, learning(rng, 0.5), kl=6.0) for n in range(1, 101))


@pytest.mark.parametrize(("loss", "kl"), [(float("nan"), 0.1), (float("inf"), None), (0.1, float("nan"))])
def test_a_loss_that_is_no_number_ends_the_run_at_once(loss: float, kl: float | None) -> None:
    with pytest.raises(RewardCollapse, match=r"step 1: the loss is .* Lower learning_rate") as error:
        watch([step(1, learning(random.Random(), 0.5), loss=loss, kl=kl)])
    assert error.value.exit_code is ExitCode.TRAINING_FAILED


def test_nothing_is_judged_before_a_whole_window() -> None:
    assert watch(repeated([group([0.5] * 8)], WINDOW - 1)) == WINDOW - 1


def test_limits_can_be_set_and_are_checked() -> None:
    with pytest.raises(RewardCollapse, match="steps 1 to 3"):
        watch(repeated([group([0.5] * 8)]), Limits(window=3))
    for wrong in ({"window": 1}, {"stuck": 0}, {"growth": 1}, {"kl": 0}, {"patience": 3}):
        with pytest.raises(ValidationError):
            Limits.model_validate(wrong)


@pytest.mark.parametrize("stopped", [1, WINDOW - 1, WINDOW + 3, 2 * WINDOW])
def test_a_resumed_run_is_judged_as_one_that_was_not_stopped(stopped: int) -> None:
    rng = random.Random(10)
    steps = [
        step(n, [group([rng.random() for _ in range(8)], times_truth=1 + n / 12)], kl=rng.random()) for n in range(100)
    ]

    def end(monitor: Monitor, left: list[Step]) -> str:
        with pytest.raises(RewardCollapse) as error:
            for one in left:
                monitor.observe(one)
        return str(error.value)

    monitor = Monitor()
    for one in steps[:stopped]:
        monitor.observe(one)
    state = json.loads(json.dumps(monitor.state))
    assert end(Monitor(state=state), steps[stopped:]) == end(Monitor(), steps)
