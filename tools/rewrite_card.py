"""Writes a bundle's model card anew from what the bundle says of itself: `python tools/rewrite_card.py BUNDLE`.

For where what a card says has changed and the model has not: network, manifest and numbers stay; the bundle's digest
becomes another, since the card is a part of it.
"""

import sys
from pathlib import Path

from ichnos.inference.bundle import read_bundle, write_bundle
from ichnos.reporting.model_card import model_card


def main() -> int:
    """Rewrite, and say whether anything changed."""
    path = Path(sys.argv[1])
    bundle = read_bundle(path)
    tree = bundle.manifest.model_dump(mode="json")
    card = model_card(tree, bundle.manifest.map_cells)
    if card != bundle.card:
        write_bundle(path, bundle.manifest, bundle.network, card, bundle.exam_network)
    sys.stdout.write("the card is as it was\n" if card == bundle.card else "the card was written anew\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
