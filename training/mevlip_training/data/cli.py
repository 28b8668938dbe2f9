"""Commands of the data package: `mevlip data ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mevlip.checkpoints.routes import ImageSettings
from mevlip.cli.options import INPUT_FOLDER, OUTPUT_FILE, quiet_option, seed_option, settings_options
from mevlip_training.llamafactory import CONFIGS

_FOLDER = click.Path(path_type=Path)
_out_option = click.option("--out", required=True, type=_FOLDER, help="The folder to write; a new or an empty one.")
_IMAGE_OPTIONS = [name for name in ImageSettings.model_fields if name != "max_count"]
_PROMPT_OPTIONS = {"template": "prompt_template", "system": "system"}
_RECIPE_OWNS = ("images", "box_space", "perturb", *_IMAGE_OPTIONS, *_PROMPT_OPTIONS.values())
"""Options that a recipe has fields for."""


@click.group()
def data() -> None:
    """Check, split, count and convert FLARE data.

    FLARE_DIR is the challenge's tree, one of its splits, or any folder in it. Images may lie in folders or in the zip
    archives as they were downloaded; nothing is ever written there.
    """


@data.command()
@click.argument("flare_dir", type=_FOLDER)
@click.option("--out", type=_FOLDER, help="The folder to write; a new or an empty one. Needed but for --dry-run.")
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="What holds for each adapter: a YAML file, or one of paper, as-released, hexapus-2026 and list-seu-2026.",
)
@click.option(
    "--images",
    type=click.Choice(["all", "first", "explode"]),
    default="all",
    show_default=True,
    help="For questions with several images: up to four in one row, the first only, or a row for each.",
)
@click.option(
    "--box-space",
    type=click.Choice(["norm1000", "pixel"]),
    default="norm1000",
    show_default=True,
    help="Boxes in thousandths of the image's sides, or in its pixels.",
)
@settings_options(ImageSettings, _IMAGE_OPTIONS, env=False)
@click.option("--prompt-template", help="The user's text, {question} in it once. Default: the question alone.")
@click.option("--system", help="Text of a system turn. Default: no such turn.")
@click.option("--base-model", help="Name of the base model, for the routes.")
@click.option("--base-revision", help="Its revision, for the routes.")
@click.option(
    "--tokenizer", type=_FOLDER, help="The base's folder, to write rows for its family and measure token budgets with."
)
@click.option(
    "--perturb",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Add copies of this share of the rows, their pictures perturbed.",
)
@click.option(
    "--keep-flagged", is_flag=True, help="Keep rows that the checks would leave out, where they can be written."
)
@click.option(
    "--validation",
    type=_FOLDER,
    help="One split with answers, of other images: training is watched on its rows, and the best step is kept.",
)
@click.option("--dry-run", is_flag=True, help="Show what each adapter would be trained on, and write nothing.")
@click.option(
    "--config-dir",
    type=_FOLDER,
    default=CONFIGS,
    show_default=True,
    help="Folder of the training YAML files: rows are measured against their cutoff_len.",
)
@click.pass_context
def prepare(
    context: click.Context,
    /,
    flare_dir: Path,
    out: Path | None,
    recipe: str | None,
    validation: Path | None,
    dry_run: bool,
    config_dir: Path,
    **options: Any,
) -> None:
    """Write LLaMA-Factory data and routes from FLARE_DIR.

    The training split is taken, or all of a FLARE_DIR that is but one other split. What `mevlip data check` marks as
    left out is left out, unless --keep-flagged; images shared with other splits show only where FLARE_DIR holds those.
    Rows of --validation whose images are trained on are left out, too, and never trained on; at most 1,000 of an
    adapter are taken, evenly spaced. Without the option every step is trained and the last is kept, as in the paper.

    \b
    Example: mevlip data prepare FLARE --out build/data --recipe paper
    """
    from mevlip.checkpoints.routes import PromptSettings
    from mevlip.core.tables import table
    from mevlip_training.data.planning import HEADER, plan
    from mevlip_training.data.prepare import Choices
    from mevlip_training.data.prepare import prepare as run
    from mevlip_training.recipes.reading import read_recipe
    from mevlip_training.recipes.recipe import PerturbedCopies

    if out is None and not dry_run:
        raise click.UsageError("Name --out, or ask for --dry-run.")
    typed = [
        name for name in _RECIPE_OWNS if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if recipe and typed:
        raise click.UsageError(f"--{typed[0].replace('_', '-')} and --recipe exclude each other: set it in the recipe.")
    by = read_recipe(recipe) if recipe else None
    given = {name: value for name, value in options.items() if value is not None}
    wording = {field: given.pop(name) for field, name in _PROMPT_OPTIONS.items() if name in given}
    try:
        prompt = PromptSettings(**wording)
    except ValueError as error:
        raise click.BadParameter("it must hold {question} exactly once", param_hint="--prompt-template") from error
    if "perturb" in given:
        given["perturb"] = PerturbedCopies(share=given["perturb"])
    images = ImageSettings(**{name: given.pop(name) for name in _IMAGE_OPTIONS})
    choices = Choices(prompt=prompt, image_settings=images, **given)
    if out is None or dry_run:
        click.echo(table(HEADER, plan(flare_dir, choices, by, config_dir, validation=validation)))
        return
    prepared = run(flare_dir, out, choices, recipe=by, validation=validation)
    click.echo(
        table(("task", "dataset", "rows"), [(task, name, n) for (task, name), n in sorted(prepared.rows.items())])
    )
    if prepared.left_out:
        click.echo("\n" + table(("left out because of", "records"), prepared.left_out.most_common()))
    if prepared.copied:
        click.echo("\n" + table(("adapter", "perturbed copies"), prepared.copied.items()))
    if prepared.validation:
        click.echo("\n" + table(("adapter", "validation rows"), prepared.validation.items()))
    _show_lengths(out, choices.tokenizer, config_dir)
    click.echo(f"\nwrote {prepared.rows.total()} rows and {len(prepared.sha256)} routes to {out}")


def _show_lengths(data: Path, base: Path | None, config_dir: Path) -> None:
    """Shows the longest row of each adapter, and which rows its config would cut."""
    from mevlip.core.tables import table
    from mevlip_training.data.planning import measure_folder
    from mevlip_training.lengths import HEADER

    measured = measure_folder(data, base, config_dir)
    if measured is None:
        click.echo("\nrows were not measured: that needs the base's folder as --tokenizer, and --config-dir")
        return
    lines = [(name, one.rows, one.longest, cutoff, len(one.beyond)) for name, (one, cutoff) in measured.items()]
    click.echo("\n" + table(HEADER, lines))
    for name, (one, cutoff) in measured.items():
        if one.beyond:
            click.echo(
                f"{name}: longer than cutoff_len, {cutoff}: {one.describe()}; `mevlip train adapters` refuses them: "
                f"set cutoff_len to {one.longest} in the recipe or an overlay, or show fewer images, tiles or pixels"
            )


@data.command()
@click.argument("folder", type=INPUT_FOLDER)
@click.option("--csv", "csv_file", type=OUTPUT_FILE, metavar="FILE", help="Write every issue here.")
@quiet_option
def check(folder: Path, csv_file: Path | None, quiet: bool) -> None:
    """Check the questions, images and answers of FOLDER.

    FOLDER is an input folder before a run, or a FLARE tree before training. Every question is answered whatever is
    found; `mevlip data prepare` leaves out the records counted in that column.

    \b
    Example: mevlip data check examples/inputs
    """
    from mevlip.core.tables import table
    from mevlip.flare.inspection import summary
    from mevlip.flare.issues import write_issues
    from mevlip_training.data.audit import check_folder

    checked = check_folder(folder, quiet)
    for problem in checked.problems:
        click.echo(problem)
    if checked.issues:
        click.echo(table(("issue", "data set", "found", "left out", "first", "cause"), summary(checked.issues)))
    click.echo(f"{checked.questions} questions, {len(checked.issues)} issues")
    if csv_file:
        write_issues(checked.issues, csv_file)


@data.command()
@click.argument("flare_dir", type=_FOLDER)
@_out_option
@click.option("--share", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True)
@seed_option(2025)
def split(flare_dir: Path, out: Path, share: float, seed: int) -> None:
    """Hold out a share of FLARE_DIR's training rows.

    OUT/training and OUT/validation are FLARE trees themselves.

    Rows with an image in common, or with two that look the same, stay together; every data set and task gives its
    share. What `mevlip data check` marks as left out is in neither part; split.json names it. `mevlip predict` runs on
    OUT/validation as it is; its answers are in *_withGT.json beside the questions.

    \b
    Example: mevlip data split FLARE --out build/split --share 0.1
    """
    from mevlip.core.tables import table
    from mevlip_training.data.split import split as run

    report = run(flare_dir, out, share, seed)
    strata = sorted(report.training | report.validation)
    rows = [(*stratum, report.training[stratum], report.validation[stratum]) for stratum in strata]
    click.echo(table(("dataset", "task", "training", "validation"), rows))
    if report.left_out:
        counts = [(reason, len(places), places[0]) for reason, places in report.left_out.items()]
        click.echo("\n" + table(("left out because of", "records", "first"), counts))
    click.echo(f"\nwrote {report.training.total()} + {report.validation.total()} rows to {out}")


@data.command()
@click.argument("flare_dir", type=_FOLDER)
@_out_option
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="choice, shuffle, place, report or chinese; may be repeated. Default: all.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the rows that a kind applies to, in each data set.",
)
@click.option(
    "--options",
    type=click.IntRange(2, 26),
    default=4,
    show_default=True,
    help="Options of a question made of labels or boxes, where there are so many.",
)
@click.option("--only-new", is_flag=True, help="Leave out the rows that the new ones are made of.")
@seed_option(2025)
def augment(flare_dir: Path, out: Path, **options: Any) -> None:
    """Write further training rows made of FLARE_DIR's.

    Options are shuffled, labels and places of boxes become multiple choice, reports are asked for in other words, and
    questions in Chinese test the routing. Rows of other splits are never used, nor those that `mevlip data check` marks
    as left out. OUT is a FLARE tree with the originals and the new rows; the field Augmented says where each is from.

    \b
    Example: mevlip data augment build/split/training --out build/augmented
    """
    from mevlip.core.tables import table
    from mevlip_training.data.augmentation.augment import Choices
    from mevlip_training.data.augmentation.augment import augment as run

    done = run(flare_dir, out, Choices(**options))
    click.echo(table(("kind", "data set", "rows"), [(*key, count) for key, count in sorted(done.written.items())]))
    if done.passed_over:
        rows = [(*key, count) for key, count in sorted(done.passed_over.items())]
        click.echo("\n" + table(("kind", "not made because", "rows"), rows))
    if done.left_out:
        click.echo("\n" + table(("left out because of", "records"), done.left_out.most_common()))
    if done.other_splits:
        click.echo(f"\n{done.other_splits} rows of other splits were not used")
    originals = "without" if options["only_new"] else "beside"
    click.echo(f"\nwrote {done.written.total()} new rows {originals} {done.originals} originals to {out}")


@data.command("import")
@click.argument("name")
@click.argument("src", type=_FOLDER)
@_out_option
@click.option(
    "--split", type=click.Choice(["test", "validation", "train"]), default="test", show_default=True, help="The split."
)
def import_command(name: str, src: Path, out: Path, split: Any) -> None:
    """Write a published benchmark as a folder to answer and score.

    NAME is iu-xray, omnimedvqa, path-vqa, pmc-vqa, slake or vqa-rad, SRC its folder as downloaded and unpacked. Yes/no
    and multiple choice become questions with letters, other questions and reports free text. docs/benchmarks.md says
    which files are read, and how scores relate to published ones.

    \b
    Example: mevlip data import slake Slake1.0 --out build/slake
    """
    from mevlip.core.tables import table
    from mevlip_validation.benchmarks.importing import import_benchmark
    from mevlip_validation.published import FLEMING, benchmark_table

    done = import_benchmark(name, src, out, split)
    rows = [(dataset, task, count) for (dataset, task), count in sorted(done.questions.items())]
    click.echo(table(("data set", "task", "questions"), rows))
    if done.left_out:
        click.echo("\n" + table(("left out because", "records"), done.left_out.most_common()))
    click.echo(f"\n{table(*benchmark_table(name))}\n{FLEMING}")
    click.echo(f"\nwrote {done.questions.total()} questions of {done.title} to {out}")


@data.command()
@click.argument("flare_dir", type=_FOLDER)
@click.option("--out", type=_FOLDER, help="Write counts.csv and two figures (PNG and SVG) here.")
def stats(flare_dir: Path, out: Path | None) -> None:
    """Count FLARE_DIR's questions by split, modality and task.

    \b
    Example: mevlip data stats FLARE --out build/stats
    """
    from mevlip.core.tables import table
    from mevlip_training.data.records import read_examples
    from mevlip_training.data.stats import count, write_report

    counts = count(read_examples(flare_dir))
    click.echo(table(("split", "modality", "task", "questions"), [(*cell, n) for cell, n in counts.items()]))
    click.echo(f"\n{counts.total()} questions")
    if out:
        click.echo(f"wrote {', '.join(path.name for path in write_report(counts, out))} to {out}")
