"""`ichnos evaluate`: a run on its test patients, or a bundle on a set of other patients."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ichnos.errors import UsageError
from ichnos.readout import Bound

By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="COLUMN", help="Subgroups of exams: a column of the set's index (sex, age, ...) or of --table."
    ),
]
ByTable = Annotated[
    Path | None, typer.Option("--table", help="A CSV with `exam` or `patient`, of which --by names a column.")
]
Sensitivity = Annotated[
    float,
    typer.Option("--sensitivity", help="Of the positives, how many the high-sensitivity point finds in validation."),
]
BoundOption = Annotated[
    Bound,
    typer.Option(
        "--bound",
        help="Where a subtype comes out likelier than any: lower it, raise any, or hold any between the largest "
        "subtype and their sum.",
    ),
]
Prevalence = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE|CLASS=SHARE",
        help="PPV and NPV there too: 0.06 for any hemorrhage, or epidural=0.004; at each level a share of what is "
        "counted there, slices, exams or patients. May be given several times.",
    ),
]
_Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        metavar="P|CLASS=P",
        help="Calls there too: 0.3 for any hemorrhage, or epidural=0.1; of the probability of what is counted at each "
        "level. May be given several times.",
    ),
]
_Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="CLASS=CLASS+CLASS",
        help="Of a bundle: measure its class against others of the set, such as subdural=epidural+subdural.",
    ),
]


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(metavar="RUN|BUNDLE", help="What `ichnos train` wrote, or `ichnos export`.", show_default=False),
    ],
    data: Annotated[Path, typer.Option("--data", help="A prepared set.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)],
    fold: Annotated[
        int | None, typer.Option("--fold", help="Of a run: fold K tests, fold K+1 validates; its own by default.")
    ] = None,
    prevalence: Prevalence = None,
    thresholds: _Threshold = None,
    mapping: _Mapping = None,
    by: By = None,
    table: ByTable = None,
    sensitivity: Sensitivity = 0.95,
    bound: BoundOption = Bound.CAP_SUBTYPES,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Of patients, for intervals.")] = 1000,
    device: Annotated[str, typer.Option("--device", help="Of a run: auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Measure a run on its test patients, or a bundle on a set that it was not made of, with 95 % intervals by patient.

    Slices, exams and patients: AUC, average precision, sensitivity, specificity, PPV, NPV, F1, calibration.
    """
    from ichnos.cli.parsing import is_bundle, parse_mapping, parse_shares
    from ichnos.cli.progress import on_standard_error
    from ichnos.evaluation.readout import Fitting
    from ichnos.workflows.measured import EvaluationOptions
    from ichnos.workflows.subgrouping import Subgrouping

    options = EvaluationOptions(
        prevalence=parse_shares(prevalence or []),
        mapping=parse_mapping(mapping or []),
        subgroups=Subgrouping(by, table),
        resamples=resamples,
        fitting=Fitting(sensitivity, bound),
        thresholds=parse_shares(thresholds or [], "--threshold", "a probability such as 0.3"),
    )
    with on_standard_error() as progress:
        if not is_bundle(model):
            from ichnos.workflows.evaluate import evaluate_run

            scorecard = evaluate_run(model, data, out, progress, options, fold=fold, device=device)
        else:
            from ichnos.workflows.validate import evaluate_bundle

            if fold is not None:
                raise UsageError("--fold is of runs; a bundle is measured on all patients of a set")
            if options.fitting.words:
                raise UsageError(
                    "--sensitivity and --bound are of runs; a bundle has its own: give them to ichnos export"
                )
            scorecard = evaluate_bundle(model, data, out, progress, options)
        progress.message(f"{out / 'report.html'} and {out / 'scorecard.json'} written. {scorecard['notice']}")
    if as_json:
        print(json.dumps(scorecard, indent=2, ensure_ascii=False))
