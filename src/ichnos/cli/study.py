"""`ichnos study`: whole comparisons of models with one command."""

from pathlib import Path
from typing import Annotated

import typer

from ichnos.cli.adapt import study_adapt
from ichnos.cli.bundle import WeightsOption
from ichnos.cli.evaluate import BoundOption, By, ByTable, Sensitivity
from ichnos.networks import Weights
from ichnos.readout import Bound

Sets = Annotated[
    list[Path], typer.Option("--data", help="A prepared set; repeated: several as one.", show_default=False)
]
SplitSeed = Annotated[int | None, typer.Option("--split-seed", help="Draw other folds than those stored with the set.")]
Folds = Annotated[int | None, typer.Option("--folds", help="So many instead of those stored; 1: the set's one split.")]
Prevalence = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE|CLASS=SHARE",
        help="PPV and NPV there too: 0.06 for any hemorrhage, or epidural=0.004. May be given several times.",
    ),
]
Note = Annotated[str | None, typer.Option("--note", help="A sentence to print at the head of the report.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the scorecard on standard output.")]

app = typer.Typer(help="Train and compare models under one protocol.", no_args_is_help=True, rich_markup_mode=None)
app.command("adapt")(study_adapt)


@app.callback()
def studies() -> None:
    """Train and compare models under one protocol."""


@app.command("paper")
def paper(
    data: Annotated[Path, typer.Option("--data", help="A prepared set.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder of runs and report.", show_default=False)],
    length: Annotated[
        str, typer.Option("--length", help="paper (its epochs) or from-scratch (the length of that recipe).")
    ] = "paper",
    init: Annotated[
        str | None,
        typer.Option("--init", help="imagenet, phantom, random, or a file of weights; the recipes' own by default."),
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="Train our other readings of the study's Models 1 and 2 too.")
    ] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of every recipe.")
    ] = None,
    note: Note = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train and compare Models 1, 2 and 3: Table 1, Figures 1-3, report.html. Goes on where it stopped."""
    import json

    from ichnos.cli.parsing import parse_assignments
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.study import StudyOptions, study_paper

    options = StudyOptions.parse(length, init, parse_assignments(changes or []), variants=variants, note=note)
    with on_standard_error() as progress:
        report = study_paper(data, out, options, progress, device=device)
        progress.message(f"The report: {report}")
    if as_json:
        print(json.dumps(json.loads((out / "scorecard.json").read_bytes()), indent=2))


@app.command("folds")
def by_folds(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .py file.", show_default=False)],
    data: Sets,
    out: Annotated[Path, typer.Option("--out", help="The folder of runs and scorecard.", show_default=False)],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe.")
    ] = None,
    split_seed: SplitSeed = None,
    folds: Folds = None,
    prevalence: Prevalence = None,
    by: By = None,
    table: ByTable = None,
    sensitivity: Sensitivity = 0.95,
    bound: BoundOption = Bound.CAP_SUBTYPES,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Then train on everyone, and export a bundle to this file.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Of the report and the bundle.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Of the bundle; by default its data's, where that is known.")
    ] = None,
    demonstration: Annotated[
        str | None, typer.Option("--demonstration", help="Why the bundle is a demonstration: every reading says so.")
    ] = None,
    weights: WeightsOption = Weights.FLOAT32,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that exists.")] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a recipe by nested folds of patients: every patient once, by a model that has not seen them.

    Goes on where it stopped.
    """
    import json

    from ichnos import recipes as package
    from ichnos.cli.parsing import parse_assignments, parse_shares
    from ichnos.cli.progress import on_standard_error
    from ichnos.evaluation.readout import Fitting
    from ichnos.workflows.folds import FoldOptions, study_folds
    from ichnos.workflows.subgrouping import Subgrouping

    asked = parse_assignments(changes or [])
    resolved = package.find(recipe).recipe.override(asked)
    options = FoldOptions(
        recipe=recipe,
        changes=asked,
        split_seed=split_seed,
        folds=folds,
        bundle=bundle,
        title=title,
        licence=licence,
        demonstration=demonstration,
        weights=weights,
        force=force,
        prevalence=parse_shares(prevalence or []),
        subgroups=Subgrouping(by, table),
        fitting=Fitting(sensitivity, bound),
    )
    with on_standard_error() as progress:
        scorecard = study_folds(resolved, data, out, progress, options, device=device)
        progress.message(f"{out / 'report.html'} and {out / 'scorecard.json'} written")
        if bundle is not None:
            progress.message(f"The bundle: {bundle}; next: ichnos predict PATH --bundle {bundle} --out DIR")
    if as_json:
        print(json.dumps(scorecard, indent=2))


@app.command("field")
def field(
    data: Sets,
    out: Annotated[Path, typer.Option("--out", help="The folder of runs and report.", show_default=False)],
    recipes: Annotated[
        list[str],
        typer.Option(
            "--recipes", help="Names or .py files, with commas or repeated; `all` is every one.", show_default=False
        ),
    ],
    folds: Folds = None,
    split_seed: SplitSeed = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="RECIPE=OTHER",
            help="Report RECIPE's gain over OTHER, not the one before; `each=OTHER`: everyone's.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[RECIPE:]FIELD=VALUE",
            help="Change a field of every recipe's stages, or of RECIPE's alone.",
        ),
    ] = None,
    prevalence: Prevalence = None,
    by: By = None,
    table: ByTable = None,
    sensitivity: Sensitivity = 0.95,
    bound: BoundOption = Bound.CAP_SUBTYPES,
    title: Annotated[str | None, typer.Option("--title", help="Of the report.")] = None,
    note: Note = None,
    ranking: Annotated[
        bool, typer.Option("--ranking/--no-ranking", help="Without: runs, of which none is called the best.")
    ] = True,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train and compare many recipes on the same folds: one report with gains, a ranking, what each costs, curves.

    Goes on where it stopped.
    """
    import json

    from ichnos import recipes as package
    from ichnos.cli.parsing import parse_assignments, parse_shares
    from ichnos.cli.progress import on_standard_error
    from ichnos.evaluation.readout import Fitting
    from ichnos.workflows.field import FieldOptions, study_field
    from ichnos.workflows.subgrouping import Subgrouping

    asked = [name.strip() for each in recipes for name in each.split(",") if name.strip()]
    options = FieldOptions(
        recipes=tuple(package.names() if asked == ["all"] else asked),
        against=parse_assignments(against or [], "--against wants RECIPE=OTHER"),
        changes=parse_assignments(changes or []),
        folds=folds,
        split_seed=split_seed,
        title=title,
        note=note,
        ranking=ranking,
        prevalence=parse_shares(prevalence or []),
        subgroups=Subgrouping(by, table),
        fitting=Fitting(sensitivity, bound),
    )
    with on_standard_error() as progress:
        scorecard = study_field(data, out, options, progress, device=device)
        progress.message(f"The report: {out / 'report.html'}")
    if as_json:
        print(json.dumps(scorecard, indent=2))


@app.command("patients")
def by_patients(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .py file.", show_default=False)],
    data: Sets,
    out: Annotated[Path, typer.Option("--out", help="The folder of runs and report.", show_default=False)],
    shares: Annotated[
        str, typer.Option("--shares", help="Of the training patients, with commas.")
    ] = "0.125,0.25,0.5,1",
    fold: Annotated[
        int | None, typer.Option("--fold", help="This fold tests, the next validates; by default the set's one split.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Runs a point, each with patients and seeds of its own.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of drawing the patients.")] = 0,
    equal: Annotated[
        str, typer.Option("--equal", help="What all points have alike: epochs (the recipe as it is) or steps.")
    ] = "epochs",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe.")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Of test patients, for intervals.")] = 10_000,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how a recipe grows with data: trained on shares of the training patients, tested on the same patients.

    Goes on where it stopped; more shares and repeats are added to what is there.
    """
    import json

    from ichnos import recipes as package
    from ichnos.cli.parsing import parse_assignments, parse_fractions
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.patients import PatientsOptions, study_patients

    asked = parse_assignments(changes or [])
    resolved = package.find(recipe).recipe.override(asked)
    options = PatientsOptions.parse(
        recipe, asked, parse_fractions(shares), equal, fold=fold, repeats=repeats, seed=seed, resamples=resamples
    )
    with on_standard_error() as progress:
        scorecard = study_patients(resolved, data, out, progress, options, device=device)
        progress.message(f"The report: {out / 'report.html'}")
    if as_json:
        print(json.dumps(scorecard, indent=2))
