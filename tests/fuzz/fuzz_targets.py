"""What reads outside bytes, each as a function of bytes that may raise ``UserError`` and nothing else."""

import gzip
import hashlib
import io
import json
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
import torch
from PIL import Image

from srat.config.config import Config
from srat.core.tensor_file import write_tensors
from srat.data.reading.downloads import read_from_tar, unpack
from srat.data.sources.arrays import Arrays
from srat.data.sources.cifar import read_batch
from srat.data.sources.fashion_mnist import parse_idx
from srat.data.sources.folder import Folder
from srat.data.sources.svhn import read_mat
from srat.evaluation.counts import Counts
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import Evaluation, Result
from srat.inference.loading import load
from srat.models import ImageShape
from srat.runs.run import ModelFacts
from srat.training.checkpoint import Moving, State, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Target:
    """A reader and what it reads when all is well."""

    read: Callable[[bytes, Path], object]
    seeds: Callable[[Path], list[bytes]]


def model_and_optimizer() -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.nn.Module]:
    """Return a small model, after a step, with its optimiser, and the parts beside them, none."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer, torch.nn.ModuleDict()


def with_true_digest(content: bytes) -> bytes:
    """Return a file of ours with the checksum that its bytes have: a stranger can compute one too."""
    found = re.search(rb'"sha256": "([0-9a-f]{64})"', content)
    if found is None:
        return content
    blank = content[: found.start(1)] + b"0" * 64 + content[found.end(1) :]
    return content[: found.start(1)] + hashlib.sha256(blank).hexdigest().encode() + content[found.end(1) :]


def read_checkpoint(content: bytes, folder: Path) -> object:
    """Resume from a folder with this checkpoint, as it is and with a true checksum."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    file = folder / "checkpoints" / "epoch-000001-step-0000000.safetensors"
    for damaged in folder.glob("checkpoints/*.damaged"):
        damaged.unlink()
    file.write_bytes(with_true_digest(content))
    return load_checkpoint(folder / "checkpoints", Moving(*model_and_optimizer(), None), run="a", notice=print)


def checkpoint_seeds(folder: Path) -> list[bytes]:
    """Return a checkpoint with and one without best weights."""
    row = {"epoch": 0, "loss": 1.5, "held_out_robust": 0.5}
    model, optimizer, parts = model_and_optimizer()
    states = State(), State(epoch=1, history=[row], best_epoch=0, best_score=0.5, best_weights=model.state_dict())
    contents = []
    for state in states:
        save_checkpoint(folder / "seeds", state, Moving(model, optimizer, parts, None), run="a")
        contents.append(max((folder / "seeds").iterdir()).read_bytes())
    return contents


def read_weights(content: bytes, folder: Path) -> object:
    """Load a model from a stranger's file."""
    file = folder / "model.safetensors"
    file.write_bytes(with_true_digest(content))
    return load(file)


def weights_seeds(folder: Path) -> list[bytes]:
    """Return the weights of a linear model."""
    config = json.loads(Config().to_json()) | {"model": {"name": "linear"}, "head": {"name": "linear"}}
    from srat.runs.run import build_model

    facts = ModelFacts(
        config=Config.from_plain(config),
        class_names=("a", "b"),
        train_counts=(3, 1),
        shape=ImageShape(channels=1, height=2, width=2),
        epoch=0,
    )
    one = torch.ones(1)
    weights = build_model(facts.config, shape=facts.shape, classes=2, mean=one, std=one).state_dict()
    write_tensors(folder / "seed", weights, facts.to_json(weights))
    return [(folder / "seed").read_bytes()]


def read_evaluation(content: bytes, folder: Path) -> object:
    """Read an evaluation, and derive from it what tables show."""
    file = folder / "evaluation.json"
    file.write_bytes(content)
    return Evaluation.read(file).to_json()


def evaluation_seeds(_: Path) -> list[bytes]:
    """Return an evaluation under two attacks."""
    result = Result(counts=Counts(correct=(3, 1), total=(5, 5)), attack={"name": "pgd", "epsilon": 0.1})
    evaluation = Evaluation(class_names=("a", "b"), train_counts=(10, 2), results={"clean": result, "pgd-20": result})
    return [evaluation.to_json().encode()]


def read_examples(content: bytes, folder: Path) -> object:
    """Read what became of each image, and derive from it what the evaluation says."""
    file = folder / "examples.safetensors"
    file.write_bytes(with_true_digest(content))
    return Examples.read(file).results()


def examples_seeds(folder: Path) -> list[bytes]:
    """Return four images under two attacks."""
    labels = torch.tensor([0, 1, 1, 0])
    examples = Examples(labels=labels, class_names=("a", "b"), test="00", weights="11")
    for name, broken in (("pgd-20", [0, -1, 3, -1]), ("fgsm", [0, 1, 1, -1])):
        found = Outcome(torch.tensor(broken), torch.tensor([1, 0, 1, 0]))
        examples = examples.with_outcome(name, found, Origin(attack={"name": name}, seed=0, budget=""))
    examples.write(folder / "seed")
    return [(folder / "seed").read_bytes()]


def read_config(content: bytes, folder: Path) -> object:
    """Read a configuration, and name it."""
    file = folder / "config.json"
    file.write_bytes(content)
    return Config.read(file).id


def config_seeds(_: Path) -> list[bytes]:
    """Return the default configuration, and one of each of a few members."""
    from srat.config.composition import compose

    changes = ({}, {"data": "cifar10", "method": "cb-focal"}, {"data": "folder", "model": "wide-resnet"})
    return [compose(None, **change).to_json().encode() for change in changes] + [b"[" * 500, b'{"seed": 1e400}']


def read_npz(content: bytes, folder: Path) -> object:
    """Read arrays from these bytes, and from archives with these bytes as an array, which pass the archive's checks."""
    (folder / "own.npz").write_bytes(content)
    source = Arrays(dir=folder / "own.npz")

    def read() -> object:
        parts = source.parts()
        return [*map(parts.read, parts.there), source.parts(parts.record()).test()]

    try:
        return read()
    except ValueError:
        with zipfile.ZipFile(folder / "own.npz", "w") as archive:
            plain = {
                "train_images": np.zeros((4, 2, 2), np.uint8),
                "train_labels": np.arange(4) % 2,
                "test_images": np.zeros((2, 2, 2), np.uint8),
                "test_labels": np.arange(2),
                "class_names": np.array(["a", "b"]),
            }
            name = sorted(plain)[len(content) % len(plain)]
            for key, array in plain.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(f"{key}.npy", content if key == name else buffer.getvalue())
        return read()


def npz_seeds(_: Path) -> list[bytes]:
    """Return an archive, a packed one, others as people have them, and single arrays."""
    arrays = {
        "train_images": np.zeros((4, 2, 2), np.uint8),
        "train_labels": np.arange(4) % 2,
        "test_images": np.zeros((2, 2, 2), np.uint8),
        "test_labels": np.arange(2),
    }
    few, column = np.arange(48).reshape(4, 3, 2, 2), np.arange(4)[:, None] % 2
    buffers = [io.BytesIO() for _ in range(7)]
    np.savez(buffers[0], **arrays)
    np.savez_compressed(buffers[1], **arrays, class_names=np.array(["a", "b"]))
    np.savez(buffers[2], x_train=few, y_train=column, x_val=few, y_val=column, x_test=few > 9, y_test=column > 0)
    np.savez(buffers[3], images=np.arange(160).reshape(40, 2, 2) / 160, labels=np.arange(40.0) % 2)
    for buffer, array in zip(
        buffers[4:], (arrays["train_images"], arrays["train_labels"], np.array(["a"])), strict=True
    ):
        np.save(buffer, array)
    return [buffer.getvalue() for buffer in buffers]


def read_idx(content: bytes, _: Path) -> object:
    """Read an idx file, packed or not."""
    packed = content[:2] == b"\x1f\x8b"
    plain = unpack(content, "x") if packed else content
    return parse_idx(plain, axes=1 if plain[3:4] == b"\x01" else 3, path="x")


def idx_seeds(_: Path) -> list[bytes]:
    """Return idx files of one and of three axes."""
    labels = bytes((0, 0, 8, 1)) + struct.pack(">I", 3) + bytes(3)
    images = bytes((0, 0, 8, 3)) + struct.pack(">III", 2, 2, 2) + bytes(8)
    return [labels, images, gzip.compress(labels), gzip.compress(images)]


def read_cifar(content: bytes, folder: Path) -> object:
    """Read a batch, and an archive."""
    if content[:2] == b"\x1f\x8b":
        (folder / "x.tar.gz").write_bytes(content)
        (content,) = read_from_tar(folder / "x.tar.gz", ["d/batch"])
    return read_batch(content, label_key="labels", path="x")


def cifar_seeds(_: Path) -> list[bytes]:
    """Return a batch in each protocol, one as Python 2 wrote it, and an archive."""
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [3], b"filenames": [b"a.png"]}
    contents = [pickle.dumps(batch, protocol=protocol) for protocol in range(5)]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("d/batch")
        member.size = len(contents[2])
        archive.addfile(member, io.BytesIO(contents[2]))
    return [*contents, buffer.getvalue()]


def read_svhn(content: bytes, _: Path) -> object:
    """Read a .mat file."""
    return read_mat(content, path="x")


def mat_seeds(_: Path) -> list[bytes]:
    """Return a plain, a packed and an older .mat file, and one with cells."""
    arrays = {"X": np.zeros((32, 32, 3, 1), np.uint8), "y": np.ones((1, 1), np.uint8)}
    cells = np.empty((1, 1), object)
    cells[0, 0] = np.zeros(2)
    buffers = [io.BytesIO() for _ in range(4)]
    scipy.io.savemat(buffers[0], arrays)
    scipy.io.savemat(buffers[1], arrays, do_compression=True)
    scipy.io.savemat(buffers[2], {"y": np.ones((1, 1))}, format="4")
    scipy.io.savemat(buffers[3], {**arrays, "y": cells})
    return [buffer.getvalue() for buffer in buffers]


def read_folder(content: bytes, folder: Path) -> object:
    """Read a folder of images, of which one is these bytes."""
    for name, kind in (("a", "train"), ("b", "train"), ("a", "test"), ("b", "test")):
        (folder / kind / name).mkdir(parents=True, exist_ok=True)
        if not (folder / kind / name / "1.png").exists():
            Image.new("L", (2, 2)).save(folder / kind / name / "1.png")
    (folder / "train" / "a" / "2.png").write_bytes(content)
    return Folder(dir=folder, size=4).train().images[:]


def folder_seeds(_: Path) -> list[bytes]:
    """Return a small image of each format and of several kinds of pixels."""
    contents = []
    for mode, formats in {
        "RGB": ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"),
        "L": ("PNG", "JPEG", "BMP", "TIFF", "PPM"),
        "RGBA": ("PNG", "WEBP", "TIFF"),
        "P": ("PNG", "GIF"),
        "1": ("PNG", "TIFF", "PPM"),
        "I;16": ("PNG", "TIFF"),
    }.items():
        for kind in formats:
            buffer = io.BytesIO()
            Image.new(mode, (3, 2)).save(buffer, kind)
            contents.append(buffer.getvalue())
    return contents


TARGETS = {
    "checkpoint": Target(read_checkpoint, checkpoint_seeds),
    "cifar": Target(read_cifar, cifar_seeds),
    "config": Target(read_config, config_seeds),
    "evaluation": Target(read_evaluation, evaluation_seeds),
    "examples": Target(read_examples, examples_seeds),
    "folder": Target(read_folder, folder_seeds),
    "idx": Target(read_idx, idx_seeds),
    "mat": Target(read_svhn, mat_seeds),
    "npz": Target(read_npz, npz_seeds),
    "weights": Target(read_weights, weights_seeds),
}
