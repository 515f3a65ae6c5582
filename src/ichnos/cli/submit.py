"""`ichnos submit`: predictions in the form that Kaggle's RSNA 2019 competition takes."""

from pathlib import Path
from typing import Annotated

import typer

from ichnos.counting import counted


def submit(
    model: Annotated[
        Path,
        typer.Argument(metavar="RUN|BUNDLE", help="What `ichnos train` wrote, or `ichnos export`.", show_default=False),
    ],
    data: Annotated[
        Path, typer.Option("--data", help="The prepared test images: `ichnos prepare rsna --test`.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The CSV to write.", show_default=False)],
    sample: Annotated[
        Path | None,
        typer.Option("--sample", help="Kaggle's stage_2_sample_submission.csv: its images, in its order."),
    ] = None,
    fill_from: Annotated[
        Path | None,
        typer.Option(
            "--fill-from",
            metavar="SET",
            help="For images that could not be read: the prevalence of this labelled set. Without it they are refused.",
        ),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Take a set that the model has learnt from too, to try the file's form."),
    ] = False,
    device: Annotated[str, typer.Option("--device", help="Of a run: auto, cpu or cuda.")] = "auto",
) -> None:
    """Write a submission to RSNA 2019 on Kaggle: six rows an image, complete and checked.

    A bundle's probabilities are calibrated, a run's are not, and the competition's loss tells them apart: export a
    bundle of the run (`ichnos export RUN --data SET --out FILE`) and submit that.
    """
    from ichnos.cli.parsing import is_bundle
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.submit import write_submission

    bundle = is_bundle(model)
    with on_standard_error() as progress:
        images = write_submission(
            model,
            data,
            out,
            progress,
            bundle=bundle,
            sample=sample,
            fill_from=fill_from,
            allow_seen=allow_seen,
            device=device,
        )
        progress.message(f"{out}: {counted(6 * images, 'row')} of {counted(images, 'image')}")
        if not bundle:
            progress.message(
                "These probabilities are not calibrated, and the competition's loss rewards those that are: `ichnos "
                f"export {model} --data SET --out FILE` (SET: the one it was trained on), then submit that bundle."
            )
