"""The topics of a checklist: which items of the guidelines each stands for, and what is left to the author of it."""

from enum import Enum

from ichnos.reporting.guidelines import CLAIM, TRIPOD_AI


class Topic(Enum):
    """Title, items of CLAIM, items of TRIPOD+AI, and what the author must say where a report has no answer.

    An item can be of several topics: some ask for much at once.
    """

    TITLE = "Title and abstract", "1 2", "1 2", "that it is an AI study, its design, its main result"
    BACKGROUND = "Background", "3", "3a 3b", "clinical need, intended use and users, earlier work"
    DESIGN = (
        "Aims and design",
        "4 5 6",
        "4",
        "hypotheses; prospective or retrospective; whether a model is made, measured or both, and for what",
    )
    SETTING = (
        "Setting and period",
        "7",
        "5a 5b 6a",
        "which hospitals, which dates, how patients came into the data, whom they stand for",
    )
    ELIGIBILITY = (
        "Eligibility",
        "8",
        "6b 6c",
        "who was included and who was not, and why; treatment before the scan",
    )
    ACQUISITION = "Image acquisition", "13", "9b", "scanners, kernels, slice thickness, contrast medium"
    REFERENCE = (
        "Reference standard",
        "14 15 16 17 18",
        "8a 8b 8c",
        (
            "what it is and why; who labelled, those who are measured too, from what, how experienced, blind to what; "
            "how far they agreed, how disagreements were settled"
        ),
    )
    ETHICS = "De-identification and ethics", "11", "17", "how data were de-identified; approval or waiver"
    SAMPLE_SIZE = "Sample size", "21", "10", "how it was chosen"
    DATA_SOURCES = "Data sources", "7", "5a", "which sets"
    DATA_FLOW = "Data flow", "10 35", "20a 21", "how many were used, how many left out and why"
    PARTITIONS = "Data partitions", "19 20", "12a 12c", "who trained, who tested, and that nobody did both"
    DEMOGRAPHICS = (
        "Demographics",
        "36",
        "20b",
        "age, sex and whatever else describes patients here and where the model was trained",
    )
    OUTCOME = "Outcome", "14", "8a", "what is predicted"
    PREDICTORS = "Predictors", "22", "9a 9b 9c", "what the model is given"
    PREPROCESSING = "Preprocessing", "9", "7 12b", "how images were prepared for the model"
    MISSING = "Missing data", "12", "11", "what was missing and what was done about it"
    MODEL = "Model", "22", "12c 22", "its architecture, in all detail"
    PARAMETERS = "Number of parameters", "22", "", "how many the model has"
    OUTPUTS = "Model outputs", "22", "15", "what the model says"
    FIRST_WEIGHTS = "Initial weights", "24", "", "where training began"
    TRAINING = "Training", "25", "12c", "optimiser, rate, batches, epochs, augmentation"
    HYPERPARAMETERS = "Hyperparameters", "25", "12c", "who chose them, by what, and how many were tried"
    IMBALANCE = "Class imbalance", "", "13", "what was done about rare classes"
    SELECTION = "Model selection", "26", "12c", "by what the measured weights were chosen, and on whom"
    ENSEMBLING = "Ensembling", "27", "12c", "whether several models are joined, and how"
    SOFTWARE = "Software", "23", "", "which programs, of which versions"
    THRESHOLDS = "Thresholds", "28", "15", "from which probability on a class is called"
    MEASURES = "Performance measures", "28 37 38", "12e 23a", "which, and what they are"
    CALIBRATION = "Calibration", "28 37", "12e 23a", "whether probabilities are what they say"
    UNCERTAINTY = "Uncertainty", "29 37 38", "23a", "how sure the numbers are"
    COMPARISON = "Comparison of models", "29", "12e", "with what, and how tested"
    SUBGROUPS = (
        "Subgroups",
        "30",
        "12d 23a 23b",
        "whether results differ between hospitals, scanners and groups of patients; nothing of that is measured here",
    )
    ROBUSTNESS = (
        "Robustness and sensitivity",
        "30",
        "",
        "whether results hold with other images, labels or choices in the analysis than those of this page",
    )
    FAIRNESS = (
        "Fairness",
        "",
        "3c 14",
        "which groups are known to fare worse in care, and what was done about it",
    )
    FAILURES = "Failure analysis", "39", "", "which cases fail, and why: this page shows none"
    EXPLAINABILITY = (
        "Explainability",
        "31",
        "",
        "whether and how what the model says was explained: this page shows no maps",
    )
    EXTERNAL = "External validation", "32 33", "12a", "whether patients of another set were measured"
    OTHER_DATA = (
        "Training and measured data",
        "",
        "16 20c",
        "how setting, patients, images and labels differ from those the model was trained on",
    )
    UPDATING = "Model updating", "", "12f 24", "whether the model was changed after it was measured"
    CODE = "Code", "43", "12g 18f", "where it can be had"
    PROTOCOL = "Registration and protocol", "34 42", "18c 18d", "whether and where; deviations from it"
    INVOLVEMENT = "Patient and public involvement", "", "19", "in design, conduct or reporting"
    DISCUSSION = (
        "Discussion",
        "40 41",
        "25 26 27c",
        "limits, bias, generalisability, implications for practice, next steps",
    )
    USE = "Use in practice", "41", "27a 27b", "what becomes of poor or missing images; what users must do and know"
    FUNDING = (
        "Funding, interests, availability",
        "43 44",
        "18a 18b 18e 22",
        "who paid, who gains, where data, code and model can be had",
    )

    def __init__(self, title: str, claim: str, tripod: str, author: str) -> None:
        self.title = title
        self.claim = tuple(claim.split())
        self.tripod = tuple(tripod.split())
        self.author = author

    @property
    def asked_by(self) -> str:
        """By which items: `CLAIM 7; TRIPOD+AI 5a, 5b, 6a`."""
        both = (("CLAIM", self.claim), ("TRIPOD+AI", self.tripod))
        return "; ".join(f"{name} {', '.join(numbers)}" for name, numbers in both if numbers)

    @property
    def asked(self) -> str:
        """The same with what each item asks for."""
        both = (("CLAIM", CLAIM, self.claim), ("TRIPOD+AI", TRIPOD_AI, self.tripod))
        return "; ".join(f"{name} {number}: {items[number]}" for name, items, numbers in both for number in numbers)
