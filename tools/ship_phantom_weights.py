"""Writes weights that come with the package from a trained run: `python tools/ship_phantom_weights.py RUN NAME`.

NAME: `phantom` (the backbone alone), `phantom-2.5d` or `phantom-160` (backbone and head), as `network.init` calls them.
The card in its header says how the run was made; see docs/recipes.md, "The phantom's weights".
"""

import json
import sys
from pathlib import Path

from ichnos.models.checkpoint import load_checkpoint
from ichnos.models.phantom_weights import FILES, phantom_card, write_phantom_weights


def main() -> int:
    """Take RUN's best checkpoint."""
    run, name = Path(sys.argv[1]), sys.argv[2]
    path = FILES[name]
    checkpoint = load_checkpoint(run / "best.safetensors")
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    best = journal[checkpoint.metadata["epoch"] - 1]
    write_phantom_weights(
        checkpoint,
        {
            "licence": "Apache-2.0",
            "trained_on": "synthetic heads alone (ichnos phantom); no patient's data",
            "recipe": checkpoint.recipe.model_dump(mode="json"),
            "first_weights": checkpoint.metadata["first_weights"],
            "step": checkpoint.metadata["step"],
            "validation": best["validation"],
            "versions": json.loads((run / "environment.json").read_text(encoding="utf-8"))["versions"],
        },
        path,
        with_head=name != "phantom",
    )
    sys.stdout.write(f"{json.dumps(phantom_card(path), indent=2)}\n{path.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
