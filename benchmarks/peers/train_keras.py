"""Peer of `ichnos bench train`: Keras 3 on TensorFlow, the study's stack: `keras.applications.EfficientNetB0`, `fit`.

tf.data reads and decodes PNG files by as many threads as it likes, some batches ahead, mirrors half of them, and feeds
`fit`, compiled as Keras does by itself: the head of Model 2, Adam, binary cross-entropy, the same batch. Weights are
drawn anew. Needs tensorflow-cpu and opencv-python-headless (README.md: in an environment of its own).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from pictures import AT_LEAST, CLASSES, DROPOUT, HIDDEN, LEARNING_RATE, cores, labels, written

CHANNELS = 3
"""What EfficientNetB0 of keras.applications takes; it scales and normalises 0-255 itself."""


def pictures(work: dict[str, Any]) -> tf.data.Dataset:
    """Of (image 0-255, labels), every picture once in random order."""
    paths = [str(path) for path in written(work)]
    told = tf.data.Dataset.from_tensor_slices((paths, labels(len(paths)))).shuffle(len(paths))

    def read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.image.decode_png(tf.io.read_file(path), channels=CHANNELS)
        image.set_shape((work["size"], work["size"], CHANNELS))
        return tf.image.random_flip_left_right(tf.cast(image, tf.float32)), label

    return told.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def model_of(size: int) -> keras.Model:
    """Model 2 as the study built it."""
    backbone = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(size, size, CHANNELS), pooling="avg"
    )
    hidden = keras.layers.Dense(HIDDEN, activation="relu")(backbone.output)
    said = keras.layers.Dense(CLASSES, activation="sigmoid")(keras.layers.Dropout(DROPOUT)(hidden))
    model = keras.Model(backbone.input, said)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), keras.losses.BinaryCrossentropy())
    return model


def fed(batches: tf.data.Dataset) -> dict[str, Any]:
    """Batches with nothing made of them."""
    seconds, count = 0.0, 0
    while not count or seconds < AT_LEAST:
        begun = time.perf_counter()
        for images, _ in batches:
            count += len(images)
        seconds += time.perf_counter() - begun
    return {"seconds": seconds, "slices": count}


class Clock(keras.callbacks.Callback):
    """From the end of the first steps to the end of the last, as ours is timed."""

    def __init__(self, untimed: int) -> None:
        super().__init__()
        self.untimed = untimed
        self.begun = self.ended = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.ended = time.perf_counter()
        if batch + 1 == self.untimed:
            self.begun = self.ended


def trained(model: keras.Model, batches: tf.data.Dataset, work: dict[str, Any]) -> dict[str, Any]:
    clock = Clock(work["untimed"])
    steps = work["untimed"] + work["steps"]
    model.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
    return {"seconds": clock.ended - clock.begun, "slices": work["steps"] * work["batch_size"]}


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    if work["device"] != "cpu" and not tf.config.list_physical_devices("GPU"):
        sys.exit("ours trains on a GPU, and this TensorFlow sees none")
    read, size = pictures(work), work["batch_size"]
    once = read.batch(size).prefetch(tf.data.AUTOTUNE)
    forever = read.repeat().batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model = model_of(work["size"])
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    print(json.dumps({"title": "Keras, tf.data of PNG files", "versions": versions, "threads": cores()}), flush=True)
    for _ in sys.stdin:
        answers = {"fed": fed(once), "trained": trained(model, forever, work)}
        print(json.dumps({"seconds": sum(each["seconds"] for each in answers.values())} | answers), flush=True)


if __name__ == "__main__":
    main()
