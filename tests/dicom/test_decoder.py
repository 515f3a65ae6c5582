"""The decoder's process: pixels come back, hangs and crashes end it and refuse the slice, the next one is decoded."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import RLELossless

from ichnos.dicom import decoder as module
from ichnos.dicom.decode import PixelLayout
from ichnos.dicom.decoder import Decoder, Decoders, FileInMemory
from ichnos.dicom.exams import read_exams
from ichnos.dicom.finding import FoundFile, find_files
from ichnos.errors import DicomError, HangError
from tests.dicom.ct_files import PIXELS, ct_dataset, file_of
from tests.dicom.head_files import as_series, compressed_by_gdcm, enhanced, head_datasets, stored

LAYOUT = PixelLayout(32, 48, 16, 16, 15, signed=True)


@pytest.fixture
def rle(tmp_path: Path) -> FoundFile:
    dataset = ct_dataset()
    dataset.compress(RLELossless)
    (tmp_path / "rle").write_bytes(file_of(dataset, RLELossless))
    (found,) = find_files([tmp_path / "rle"])
    assert isinstance(found, FoundFile)
    return found


def process_id(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def test_one_process_decodes_many_files(rle: FoundFile) -> None:
    with Decoder() as decoder:
        for _ in range(3):
            np.testing.assert_array_equal(decoder.decode(rle, None, LAYOUT).view(np.int16), PIXELS)
            used = process_id(decoder)
        assert used == process_id(decoder)


def test_threads_have_a_process_each_and_an_idle_one_is_used_again(rle: FoundFile) -> None:
    decoders = Decoders()
    with ThreadPoolExecutor(2) as pool:
        for cells in pool.map(lambda _: decoders.decode(rle, None, LAYOUT), range(8)):
            np.testing.assert_array_equal(cells.view(np.int16), PIXELS)
    processes = [each._process for each in decoders._idle]
    assert len(processes) == 2
    decoders.decode(rle, None, LAYOUT)
    assert len(decoders._idle) == 2
    decoders.close()
    assert all(process is not None and process.poll() is not None for process in processes)


def test_who_holds_a_file_is_asked_for_it() -> None:
    files = [FileInMemory(name.encode()) for name in "ab"]
    decoders = Decoders()
    for file in files:
        decoders._idle.append(Decoder())
        decoders._idle[-1]._held = file
    for file in (*files, *files):
        taken = decoders._take(file)
        assert taken.holds(file)
        decoders._idle.append(taken)
    assert len(decoders._idle) == 2


CUT_HEADER = b"\xfc\xff\xfc\xffOB\0\0\x10"
"""The beginning of an element after the pixel data, cut inside its length."""


def multi_frame(study: int, *, turned: bool) -> bytes:
    """A head of 12 slices in one file, compressed; turned: back to front, so that every frame differs."""
    datasets = as_series(head_datasets(PatientID=f"patient {study}"), 1, study)
    for dataset in datasets:
        dataset.PixelData = stored(dataset)[:: -1 if turned else 1].tobytes()
    multi = enhanced(datasets)
    multi.compress(RLELossless)
    return file_of(multi, RLELossless)


def test_no_frame_of_the_file_before_is_given_for_one_that_cannot_be_opened() -> None:
    before, after = FileInMemory(multi_frame(1, turned=False)), FileInMemory(multi_frame(2, turned=True) + CUT_HEADER)
    layout = PixelLayout(64, 64, 16, 16, 15, signed=True)
    with Decoder() as decoder:
        decoder.decode(before, 1, layout)
        for frame in (1, 2, 3):
            with pytest.raises(DicomError, match="cannot be parsed"):
                decoder.decode(after, frame, layout)
        assert decoder.decode(before, 2, layout).shape == (64, 64)


def test_an_exam_never_has_the_pixels_of_the_exam_before(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(multi_frame(1, turned=False))
    (tmp_path / "2").write_bytes(multi_frame(2, turned=True) + CUT_HEADER)
    one, other = read_exams([tmp_path])
    assert one.exam is not None
    assert one.exam.doubts == ()
    assert other.exam is None
    assert "cannot be parsed" in (other.refusal or "")


def test_a_file_found_anew_under_the_same_name_is_sent_anew(tmp_path: Path) -> None:
    """Of the same size, too: the one that is held may be another exam."""
    layout = PixelLayout(64, 64, 16, 16, 15, signed=True)
    datasets = (head_datasets()[5:7], head_datasets()[5:7][::-1])
    with Decoder() as decoder:
        for pair in datasets:
            multi = enhanced(pair)
            multi.compress(RLELossless)
            data = file_of(multi, RLELossless)
            (tmp_path / "file").write_bytes(data)
            found = FoundFile(tmp_path / "file", 1, len(data))
            for frame in (1, 2):
                cells = decoder.decode(found, frame, layout)
                np.testing.assert_array_equal(cells.view(np.int16), stored(pair[frame - 1]))


def test_a_file_that_was_emptied_does_not_give_the_one_before(rle: FoundFile) -> None:
    with Decoder() as decoder:
        decoder.decode(rle, None, LAYOUT)
        with pytest.raises(DicomError):
            decoder.decode(FileInMemory(b""), 1, LAYOUT)


def test_what_a_decoder_said_of_one_file_does_not_refuse_the_next(tmp_path: Path) -> None:
    """libjpeg says the first is damaged and gives nothing: no pixels, so that nobody asks what it said."""
    good = compressed_by_gdcm(file_of(head_datasets()[6]), "JPEGLosslessProcess14_1", tmp_path)
    middle = len(good) - 1500
    bad = good[:middle] + b"\xff\x3f" * 100 + good[middle + 200 :]
    layout = PixelLayout(64, 64, 16, 16, 15, signed=True)
    with Decoder() as decoder:
        with pytest.raises(DicomError):
            decoder.decode(FileInMemory(bad), None, layout)
        np.testing.assert_array_equal(
            decoder.decode(FileInMemory(good), None, layout).view(np.int16), stored(head_datasets()[6])
        )


def test_a_process_that_was_killed_is_begun_anew(rle: FoundFile) -> None:
    with Decoder() as decoder:
        decoder.decode(rle, None, LAYOUT)
        first = process_id(decoder)
        os.kill(first, signal.SIGKILL)
        np.testing.assert_array_equal(decoder.decode(rle, None, LAYOUT).view(np.int16), PIXELS)
        assert process_id(decoder) != first


def test_a_hang_ends_after_the_limit_and_the_next_file_is_read(rle: FoundFile) -> None:
    with Decoder(limit=0.5) as decoder:
        decoder.decode(rle, None, LAYOUT)
        os.kill(process_id(decoder), signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(DicomError, match=r"could not be decoded in 0\.5 seconds"):
            decoder.decode(rle, None, LAYOUT)
        assert time.monotonic() - begun < 2
        np.testing.assert_array_equal(decoder.decode(rle, None, LAYOUT).view(np.int16), PIXELS)


def test_a_crash_refuses_the_slice(rle: FoundFile, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = module._BEGIN.replace("serve(int", "import os, ichnos.dicom.decoding as d; d._opened = os.abort; serve(int")
    monkeypatch.setattr(module, "_BEGIN", crash)
    with Decoder() as decoder:
        with pytest.raises(DicomError, match="decoding them crashed"):
            decoder.decode(rle, None, LAYOUT)
        monkeypatch.undo()
        np.testing.assert_array_equal(decoder.decode(rle, None, LAYOUT).view(np.int16), PIXELS)


def test_a_crash_and_a_second_try_have_the_time_of_one_file(rle: FoundFile, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "import os, time, ichnos.dicom.decoding as d; d._opened = lambda _: (time.sleep(0.7), os.abort()); serve(int"
    monkeypatch.setattr(module, "_BEGIN", module._BEGIN.replace("serve(int", slow))
    with Decoder(limit=1.0) as decoder, pytest.raises(HangError):
        decoder.decode(rle, None, LAYOUT)


def test_another_size_than_the_header_says_is_refused(rle: FoundFile) -> None:
    with Decoder() as decoder, pytest.raises(DicomError, match="another size"):
        decoder.decode(rle, None, PixelLayout(32, 32, 16, 16, 15, signed=True))


def test_the_process_ends_with_its_parent(tmp_path: Path, rle: FoundFile) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.dicom.test_decoder import LAYOUT;"
        "from ichnos.dicom.decoder import Decoder; from ichnos.dicom.finding import FoundFile;"
        f"d = Decoder(); d.decode(FoundFile(Path({str(rle.path)!r}), 1, {rle.size}), None, LAYOUT);"
        "print(d._process.pid, flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 10
    while _alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
