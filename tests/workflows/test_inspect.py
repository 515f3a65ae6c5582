"""What is said of an exam names nobody, whichever attribute of its files holds a name."""

import json
import re
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from ichnos.dicom.frames import TAGS
from ichnos.progress import SILENT
from ichnos.workflows.inspect import inspect_paths, lines_of
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import head_datasets


@pytest.mark.parametrize("value", ["Somebody^Known", "SOMEBODY^KNOWN"])
def test_a_name_in_any_attribute_that_is_read_is_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], value: str
) -> None:
    shown = {}
    texts = [tag for tag in TAGS if dictionary_VR(tag) not in ("US", "US or SS")]
    placeholder = "1.2.9999.99999"
    for tag in texts:
        folder = tmp_path / f"{tag:08x}"
        folder.mkdir()
        for k, dataset in enumerate(head_datasets()[4:7]):
            if tag in (0x00080016, 0x00080018):  # SOP class and instance stand in the file's meta header, too
                dataset.add_new(tag, "UI", placeholder)
            else:
                dataset.add_new(tag, "LO", value)
            (folder / str(k)).write_bytes(file_of(dataset).replace(placeholder.encode(), value.encode()))
        tree = inspect_paths([folder], SILENT)
        shown[keyword_for_tag(tag)] = json.dumps(tree) + "\n".join(lines_of(tree))
    shown["logs"] = " ".join(record.getMessage() for record in caplog.records)
    shown["standard output and error"] = "".join(capfd.readouterr())
    assert [name for name, text in shown.items() if re.search("somebody|known", text, re.IGNORECASE)] == []
    assert len(shown) == len(texts) + 2
