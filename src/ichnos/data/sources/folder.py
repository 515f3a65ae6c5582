"""A user's own head CT: any tree of DICOM files (or a zip of one), and a table of labels in CSV."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ichnos.ct import LabelledExam
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import contents_of, exam_references, read_exam
from ichnos.data.sources.files import open_store
from ichnos.data.sources.folder_labels import ANY_BIT, PATIENT_COLUMN, read_folder_labels
from ichnos.data.sources.headers import order_slices, scan_headers
from ichnos.data.sources.tables import Tables, new_tables
from ichnos.errors import SourceError
from ichnos.processes import Workers
from ichnos.progress import Progress
from ichnos.remote import Place

_LABELLED = """
CREATE TABLE labelled AS
  SELECT file, sop_instance, series, study, coalesce(labels.patient, headers.patient) AS patient, place, start, bits,
    CASE
      WHEN bits = :any_alone THEN 'it is labelled `any`, but with no subtype'
      WHEN bits IS NULL THEN 'it has a file, but no labels'
      WHEN :level <> 'slice' AND bits <> 0
        THEN 'its exam is labelled positive as a whole, which does not say which slices bleed'
      WHEN study IN (SELECT study FROM headers JOIN labels ON uid = sop_instance WHERE bits = :any_alone)
        THEN 'another slice of its exam is labelled `any`, but with no subtype'
    END AS reason
  FROM headers LEFT JOIN labels
    ON uid = CASE :level WHEN 'slice' THEN sop_instance WHEN 'series' THEN series ELSE study END
  WHERE file IN (
    SELECT file FROM (
      SELECT file, row_number() OVER (PARTITION BY sop_instance ORDER BY size DESC, file) AS place
        FROM headers JOIN files ON number = file)
      WHERE place = 1)
"""
"""Of an image that is there twice the larger file, as the other may be cut short; of equal ones the first by path.
reason: why a slice is left out, null where it is not. An exam with a hemorrhage of no subtype is left out whole: its
other slices would make it one without any."""

_LEFT_OUT = (
    "INSERT INTO left_out SELECT printf('file %06d', file), reason FROM refused ORDER BY file",
    """
    INSERT INTO left_out SELECT printf('file %06d', file), 'it is the same image as another file' FROM headers
      WHERE file NOT IN (SELECT file FROM labelled) ORDER BY file
    """,
    "INSERT INTO left_out SELECT sop_instance, reason FROM labelled WHERE reason IS NOT NULL ORDER BY file",
    """
    INSERT INTO left_out SELECT uid, 'it has labels, but no usable file (' || :level || ' of the table)' FROM labels
      WHERE uid NOT IN (
        SELECT CASE :level WHEN 'slice' THEN sop_instance WHEN 'series' THEN series ELSE study END FROM headers)
      ORDER BY uid
    """,
)

_SLICES = """
SELECT pseudonym(patient) AS patient, study, series, place, sop_instance, bits, key, start
  FROM labelled JOIN files ON number = file WHERE reason IS NULL
  ORDER BY pseudonym(patient), study, series, sop_instance, file
"""

_SHARED = """
SELECT count(*) FROM
  (SELECT study FROM labelled WHERE reason IS NULL GROUP BY study HAVING min(patient) <> max(patient))
"""

_ABOUT_PATIENTS = (
    f"patients are told apart by PatientID, which anonymised files may share or lack: name them in a column "
    f"`{PATIENT_COLUMN}` of the table of labels"
)


@dataclass(frozen=True)
class FolderSource:
    """Axial CT slices anywhere under `root`, of any file name; all other files are left out and counted.

    labels_csv: see `read_folder_labels`; a label of a whole study or series tells that every slice of a negative one is
    negative, but not which slices of a positive one bleed: those slices are skipped by reason, never guessed at.
    Slices are named by SOPInstanceUID, patients by the hash of their name in the table, or else of PatientID; files
    that are left out by their number in the order of paths, since folders are often named after patients.
    """

    root: Place
    labels_csv: Place
    workers: Workers = None

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "folder"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source."""
        with new_tables(scratch) as tables:
            tables.create_function("pseudonym", 1, pseudonym, deterministic=True)
            labels = read_folder_labels(tables, self.labels_csv)
            store = open_store(self.root)
            tables.executemany("INSERT INTO found VALUES (?, ?, ?)", store.find(""))
            tables.execute("INSERT INTO files (name, key, size) SELECT * FROM found ORDER BY name, key")
            if not tables.count("files"):
                raise SourceError(f"{self.root} is empty; give the folder that holds the DICOM files")
            scan_headers(tables, store, progress, scratch, self.workers)
            told = {"level": labels.level.value, "any_alone": ANY_BIT}
            for query in (_LABELLED, *_LEFT_OUT):
                tables.execute(query, told)
            if labels.names_patients:
                _refuse_shared_exams(tables, self.labels_csv)
            order_slices(tables, _SLICES)
            if not tables.count("exams"):
                raise SourceError(_nothing_found(self.root, tables))
            contents = contents_of(tables, "SELECT uid, bits, patient FROM labels ORDER BY uid")
            return Scan(exam_references(tables), tables.skipped(), contents, _ABOUT_PATIENTS)

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def pseudonym(patient: str) -> str:
    """Twelve hexadecimal digits that stand for a PatientID: the same patient, the same digits (BLAKE2b).

    A pseudonym, not anonymity: who knows a PatientID can compute it.
    """
    return hashlib.blake2b(patient.encode(), digest_size=6).hexdigest()


def _refuse_shared_exams(tables: Tables, table: Place) -> None:
    """An exam is of one patient: a table that says otherwise would let a patient cross from training into test."""
    (shared,) = tables.execute(_SHARED).fetchone()
    if shared:
        raise SourceError(f"{table} gives slices of one study to several patients ({shared} studies); mend it")


def _nothing_found(root: Place, tables: Tables) -> str:
    reason, count = tables.commonest_reason()
    found = f"none of the {tables.count('files')} files under {root} is a labelled axial CT slice"
    return f"{found}; the commonest reason, {count} times: {reason}"
