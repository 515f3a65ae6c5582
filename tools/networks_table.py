"""Writes the table of networks into docs/networks.md from ichnos.networks, whose numbers a test counts again.

`--check` says whether it is up to date (a test asks).
"""

import sys

from pages import rewrite

from ichnos.networks import Architecture


def table() -> str:
    """As Markdown, a row a network."""
    lines = [
        "| `network.backbone` | paper | million parameters | GFLOP at 224 px | sizes | ImageNet weights | class maps |",
        "|---|---|---|---|---|---|---|",
    ]
    for which in Architecture:
        facts = which.facts
        paper = f"[{facts.paper}]({facts.link})" if facts.link else facts.paper
        weights = f"`{facts.weights.rsplit('/', 1)[1]}`" if facts.weights else "none known"
        maps = "none" if facts.volume else "exact"
        numbers = f"{facts.parameters / 1e6:.2f} | {facts.multiply_adds / 1e9:.2f}"
        lines.append(f"| `{which}` | {paper} | {numbers} | multiples of {facts.shrinkage} | {weights} | {maps} |")
    lines.append("| `timm:NAME` | timm's | – | – | as the model takes | a file | exact, or none (transformers) |")
    return "\n".join(lines)


def main() -> int:
    """Rewrite the page, or with --check compare."""
    return rewrite("networks_table.py", {"docs/networks.md": {"networks": table()}})


if __name__ == "__main__":
    sys.exit(main())
