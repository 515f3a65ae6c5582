"""Peer of `ichnos bench train`: a torch Dataset of PNG files, a DataLoader with a process a core, MONAI's EfficientNet.

As scripts and notebooks have it: OpenCV reads a file, which becomes three normalised float channels, half of them
mirrored; EfficientNet-B0 behind the head of Model 2, Adam, binary cross-entropy, the same batch. The loader's processes
stay from round to round. On a CUDA device under autocast, from pinned memory. It gives no metrics and no checkpoints.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import monai
import numpy as np
import torch
from monai.networks.nets.efficientnet import EfficientNetBN
from pictures import AT_LEAST, CLASSES, DROPOUT, HIDDEN, LEARNING_RATE, cores, labels, written
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
"""ImageNet's, as its weights expect."""


class Pictures(Dataset):
    """A folder of files."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.labels = paths, labels(len(paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        grey = cv2.imread(str(self.paths[index]), cv2.IMREAD_GRAYSCALE)
        image = (np.repeat(grey[..., None], 3, axis=2).astype(np.float32) / 255 - MEAN) / DEVIATION
        if torch.rand(()) < 0.5:
            image = image[:, ::-1]
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return planes, torch.from_numpy(self.labels[index])


def loader_of(pictures: Pictures, work: dict[str, Any], device: torch.device, count: int | None) -> DataLoader:
    """Of every picture once in random order, or of `count` drawn with replacement."""
    return DataLoader(
        pictures,
        batch_size=work["batch_size"],
        sampler=RandomSampler(pictures, replacement=count is not None, num_samples=count),
        num_workers=cores(),
        pin_memory=device.type == "cuda",
        persistent_workers=True,
        worker_init_fn=one_thread,
    )


def one_thread(worker: int) -> None:
    """OpenCV would begin threads of its own in each process."""
    del worker
    cv2.setNumThreads(0)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fed(loader: DataLoader, device: torch.device) -> dict[str, Any]:
    """Batches onto the device, with nothing made of them."""
    seconds, count = 0.0, 0
    while not count or seconds < AT_LEAST:
        begun = time.perf_counter()
        for planes, _ in loader:
            count += len(planes.to(device, non_blocking=True))
        wait(device)
        seconds += time.perf_counter() - begun
    return {"seconds": seconds, "slices": count}


class Training:
    """A network and its optimiser, which go on learning from round to round."""

    def __init__(self, device: torch.device) -> None:
        backbone = EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=HIDDEN)
        head = nn.Sequential(nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, CLASSES))
        self.device, self.network = device, nn.Sequential(backbone, head).to(device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.loss_of = nn.BCEWithLogitsLoss()

    def step(self, batch: list[torch.Tensor]) -> None:
        planes, targets = (each.to(self.device, non_blocking=True) for each in batch)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            loss = self.loss_of(self.network(planes), targets)
        loss.backward()
        self.optimizer.step()

    def run(self, batches: Iterator[list[torch.Tensor]], untimed: int) -> dict[str, Any]:
        """As ours is timed: from the end of the first steps to the end of the last."""
        count, begun = 0, time.perf_counter()
        for number, batch in enumerate(batches, start=1):
            self.step(batch)
            if number == untimed:
                wait(self.device)
                begun = time.perf_counter()
            elif number > untimed:
                count += len(batch[0])
        wait(self.device)
        return {"seconds": time.perf_counter() - begun, "slices": count}


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    device, pictures = torch.device(work["device"]), Pictures(written(work))
    reading = loader_of(pictures, work, device, None)
    learning = loader_of(pictures, work, device, (work["untimed"] + work["steps"]) * work["batch_size"])
    training = Training(device)
    about = {
        "title": "torch DataLoader of PNG files, MONAI's EfficientNetBN",
        "versions": {"torch": torch.__version__, "monai": monai.__version__, "opencv": cv2.__version__},
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        answers = {"fed": fed(reading, device), "trained": training.run(iter(learning), work["untimed"])}
        if device.type == "cuda":
            torch.cuda.empty_cache()  # ours gives back what it does not hold, too
        print(json.dumps({"seconds": sum(each["seconds"] for each in answers.values())} | answers), flush=True)


if __name__ == "__main__":
    main()
