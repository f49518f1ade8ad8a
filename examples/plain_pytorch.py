"""SRAT-LDAM in a loop of your own: attack, loss, weights, separation loss, objective and evaluator, each by itself."""

import torch

import srat
from srat.data.imbalance import Step, select
from srat.data.sources.digits import Digits
from srat.feature_losses import Separation
from srat.methods.objective import Objective
from srat.models import lent
from srat.models.backbones.resnet import ResNet18

train, test = Digits().train(), Digits().test()
train = train.subset(select(train.labels, Step(ratio=10).counts(train.counts, seed=0), seed=0))

torch.manual_seed(0)
backbone, width = ResNet18(width=4).backbone(srat.models.ImageShape(channels=1, height=8, width=8))
model = srat.models.wrap(torch.nn.Sequential(backbone, torch.nn.Linear(width, 10)), mean=[0.3], std=[0.4])
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
attack = srat.attacks.PGD(epsilon=0.1, step_size=0.025, steps=5)
separation, objective = Separation(temperature=0.1), Objective(feature_weight=1.0)
weights = srat.weightings.effective_number(train.counts)
noise = torch.Generator().manual_seed(0)

for _ in range(6):
    for batch in torch.randperm(len(train)).split(64):
        images, labels = srat.data.to_unit(train.images[batch]), train.labels[batch]
        with lent(model) as served:  # BatchNorm by its running statistics, no parameter asking for a gradient
            adversarial = attack(lambda x: srat.losses.cross_entropy(served(x).logits, labels), images, generator=noise)
        output = model(adversarial)
        losses = srat.losses.ldam(output.logits, labels, class_counts=train.counts)
        value = objective(losses, weights[labels], separation(output.features, labels))
        optimizer.zero_grad()
        value.total.backward()
        optimizer.step()

result = srat.evaluate(model, test.images, test.labels, attack="pgd-20")
print(result.accuracy, result.counts.correct)
