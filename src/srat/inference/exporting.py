"""A trained model as a file that runs without this package."""

import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.files import write_atomically
from srat.core.keyed_random import generator
from srat.inference.reading import files_for, takes_photographs
from srat.models import logits_at
from srat.models.asking import get_ready
from srat.runs.run import ModelFacts
from srat.version import version

TOLERANCE = 1e-5
"""How far logits may be from the trained model's, as a part of the largest, and probabilities."""
_TRIED = 7
"""Images that are compared: another number than the example's, as the file is to take any."""


class Answer(NamedTuple):
    """What an exported model gives."""

    logits: Tensor
    """(batch, classes)."""
    probabilities: Tensor
    """(batch, classes), the softmax of logits over the temperature."""


class Exported(nn.Module):
    """A model as it is exported: images in [0, 1] → logits and probabilities; it normalises by itself."""

    def __init__(self, model: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities; torch.export would not write a tuple with names."""
        logits = logits_at(self.model, images)
        return logits, (logits / self.temperature).softmax(dim=1)


def describe(facts: ModelFacts) -> dict[str, str]:
    """Return what an exported file says of its model, as texts by name.

    Args:
        facts: what its file of weights says of it.
    """
    told = {
        "class_names": json.dumps(facts.class_names, ensure_ascii=False),
        "train_counts": json.dumps(facts.train_counts),
        "input": "images: float32 in [0, 1], (batch, channels, height, width), not normalised",
        "shape": json.dumps(vars(facts.shape)),
        "method": facts.config.method,
        "threat_model": json.dumps({name: getattr(facts.config.evaluation, name) for name in ("norm", "epsilon")}),
        "srat_version": version(),
    }
    if facts.temperature != 1:
        told["temperature"] = json.dumps(facts.temperature)
    if takes_photographs(facts.shape):
        told["reading"] = json.dumps(files_for(facts.shape, facts.config.data).told)
    return told


@checked
def export_torch(model: nn.Module, facts: ModelFacts, path: Path) -> float:
    """Write a model as a program of ``torch.export`` (.pt2), and return how far it is from the model.

    Its extra files hold what `describe` says.

    Args:
        model: images in [0, 1] → `Output`.
        facts: what its file of weights says of it.
        path: the file to write.

    Raises:
        UserError: if it does not do what the model does; then nothing is written.
    """
    program = _traced(model, facts)
    with placed(path) as part, _quietly():
        torch.export.save(program, part, extra_files=dict(describe(facts)))
        return _checked(path, model, facts, torch.export.load(part).module())


@checked
def export_onnx(model: nn.Module, facts: ModelFacts, path: Path) -> float:
    """Write a model as ONNX, and return how far ONNX Runtime's answers are from the model's.

    The input is "images", the outputs are "logits" and "probabilities"; the metadata hold what `describe` says.

    Args:
        model: images in [0, 1] → `Output`.
        facts: what its file of weights says of it.
        path: the file to write.

    Raises:
        UserError: if ONNX is not installed, or the file does not do what the model does; then nothing is written.
    """
    runtime = needed("onnxruntime")
    needed("onnxscript")
    with placed(path) as part, _quietly():
        program: Any = torch.onnx.export(
            _traced(model, facts), input_names=["images"], output_names=list(Answer._fields), dynamo=True, verbose=False
        )
        for node in program.model.graph:
            node.metadata_props.clear()  # where in whose files it was traced
        program.model.metadata_props.update(describe(facts))
        program.save(part, external_data=False)
        session = runtime.InferenceSession(str(part), providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> list[Tensor]:
            return [torch.from_numpy(np.asarray(each)) for each in session.run(None, {"images": images.numpy()})]

        return _checked(path, model, facts, run)


def needed(name: str) -> Any:
    """Return a package of the extra "onnx".

    Raises:
        UserError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError("`to` onnx needs ONNX: pip install 'srat[onnx]'") from error


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Give a file to write, of the same name, that takes the path's place if nothing goes wrong within."""
    with TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        write_atomically(path, part.read_bytes())


def _traced(model: nn.Module, facts: ModelFacts) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    get_ready(model, _images(facts, 2))
    with _quietly(), torch.no_grad():
        program = torch.export.export(
            Exported(model, facts.temperature).eval(), (_images(facts, 2),), dynamic_shapes=({0: batch},), strict=False
        )
    for node in list(program.graph.nodes):
        node.meta.pop("stack_trace", None)  # it names the files of this machine
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # that all is on the device of the trace
            program.graph.erase_node(node)
    return program


def _images(facts: ModelFacts, count: int) -> Tensor:
    shape = facts.shape
    return torch.rand(count, shape.channels, shape.height, shape.width, generator=generator(0, "export"))


def _checked(path: Path, model: nn.Module, facts: ModelFacts, run: Callable[[Tensor], Sequence[Tensor]]) -> float:
    """Return how far what was written is from the model, on images of noise.

    Raises:
        UserError: if that is more than rounding.
    """
    images = _images(facts, _TRIED)
    with torch.no_grad(), _quietly():
        wanted, found = Answer(*Exported(model, facts.temperature).eval()(images)), Answer(*run(images))
    scale = max(1.0, float(wanted.logits.abs().max()))
    logits = float((wanted.logits - found.logits).abs().max()) / scale
    apart = max(logits, float((wanted.probabilities - found.probabilities).abs().max()))
    require(
        apart <= TOLERANCE, f"{path}: the exported model differs from the trained one by {apart:.1e}; do not use it"
    )
    return apart


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to ourselves what the exporters say of packages that nobody needs here, and of their own future."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


KINDS: Mapping[str, tuple[str, Callable[[nn.Module, ModelFacts, Path], float]]] = {
    "torch-export": ("model.pt2", export_torch),
    "onnx": ("model.onnx", export_onnx),
}
"""What a model can be written as, with the file's usual name."""
