"""Write docs/findings.schema.json, the JSON Schema of findings.json, or check that it is up to date (--check)."""

import json
import sys
from pathlib import Path

from ichnos.findings import ExamFindings

SCHEMA = Path(__file__).parents[1] / "docs" / "findings.schema.json"


def main() -> int:
    """Write or check; 1 where the file is not up to date."""
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | ExamFindings.model_json_schema(
        mode="serialization"
    )
    text = json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        return int(not SCHEMA.exists() or SCHEMA.read_text() != text)
    SCHEMA.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
