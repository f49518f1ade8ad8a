"""What only stands for a module is refused, with the name of what to wrap."""

import warnings

import pytest
import torch
from torch import distributed, nn

from srat.core.errors import UserError
from srat.models import wrap
from wrapping import GREY, Own


@pytest.fixture
def digits(rng):
    return torch.rand(6, 1, 8, 8, generator=rng)


def refused(module, said):
    with pytest.raises(UserError, match=said) as error:
        wrap(module, **GREY)
    assert "\n" not in str(error.value)


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.filterwarnings("ignore")  # of what is deprecated there
class TestContainers:
    def test_of_data_parallel(self):
        refused(nn.DataParallel(Own()), r"DataParallel only holds a model: wrap that one, wrap\(model.module, …\)")

    def test_of_distributed_data_parallel(self, tmp_path):
        distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        try:
            module = nn.parallel.DistributedDataParallel(Own())
            refused(module, r"DistributedDataParallel only holds a model: .* wrap\(model.module, …\)")
        finally:
            distributed.destroy_process_group()

    def test_of_the_compiler(self):
        compiled = torch.compile(Own(), backend="eager")
        refused(compiled, r"OptimizedModule only holds a model: .* wrap\(model._orig_mod, …\)")

    def test_of_torchscript(self):
        for part in (torch.jit.script(flat()), nn.Sequential(torch.jit.script(flat()))):
            refused(part, "a scripted module's layers cannot be watched: wrap the module that it was made of")

    def test_of_an_exported_program(self, digits):
        program = torch.export.export(flat(), (digits,))
        module = program.module()
        refused(module, r"this GraphModule has no train and eval mode \(.*\): wrap the module that it was made of")
        assert all(parameter.requires_grad for parameter in module.parameters())
        refused(torch.export.unflatten(program), "this UnflattenedModule")

    def test_have_models_that_can_be_wrapped(self, digits):
        net = Own().eval()
        wanted = wrap(net, **GREY).eval()(digits).logits
        for module in (nn.DataParallel(net).module, torch.compile(net, backend="eager")._orig_mod):
            assert torch.equal(wrap(module, **GREY).eval()(digits).logits, wanted)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.fx.symbolic_trace(flat()),
        lambda: torch.optim.swa_utils.AveragedModel(flat()),
        lambda: nn.ModuleDict({"net": flat()})["net"],
    ],
    ids=["graph", "average", "plain"],
)
def test_other_modules_are_wrapped(make, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = make().eval()
    model = wrap(module, **GREY).eval()
    output = model(digits)
    assert torch.equal(output.logits, module((digits - 0.5) / 0.25))
    assert torch.equal(model.head(output.features), output.logits)


def test_a_part_that_is_compiled_is_no_obstacle(digits):
    net = Own().eval()
    wanted = wrap(net, **GREY).eval()(digits)
    net.body.compile(backend="eager")
    assert all(map(torch.equal, wrap(net, **GREY).eval()(digits), wanted))
