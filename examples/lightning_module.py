"""The same in Lightning: its Trainer has the loop, the devices and the checkpoints; this module has the method."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import srat
from srat.data.sources.digits import Digits
from srat.models import lent


class RobustClassifier(lightning.LightningModule):
    def __init__(self, network, class_counts, epsilon=0.1):
        super().__init__()
        self.model = srat.models.wrap(network, mean=[0.3], std=[0.4])
        self.attack = srat.attacks.PGD(epsilon=epsilon, step_size=epsilon / 4, steps=5)
        self.register_buffer("weights", srat.weightings.effective_number(class_counts))

    def training_step(self, batch, _):
        images, labels = batch
        noise = torch.Generator(self.device).manual_seed(self.global_step)
        with lent(self.model) as served:
            images = self.attack(lambda x: srat.losses.focal(served(x).logits, labels), images, generator=noise)
        losses = srat.losses.focal(self.model(images).logits, labels)
        return (losses * self.weights[labels]).sum() / self.weights[labels].sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


train, test = Digits().train(), Digits().test()
lightning.seed_everything(0, verbose=False)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
module = RobustClassifier(network, train.counts)
loader = DataLoader(TensorDataset(srat.data.to_unit(train.images), train.labels), batch_size=128, shuffle=True)
trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", barebones=True)
trainer.fit(module, loader)
print(srat.evaluate(module.model, test.images, test.labels, attack="pgd-20").accuracy)
