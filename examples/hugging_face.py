"""A Hugging Face vision model: wrapped, so that images stay in [0, 1], then trained under attack and evaluated."""

import torch
from transformers import ViTConfig, ViTForImageClassification

import srat
from srat.data.sources.digits import Digits
from srat.models import lent

torch.manual_seed(0)
size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
config = ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **size)  # or from_pretrained(…)
model = srat.models.wrap(ViTForImageClassification(config), mean=[0.5], std=[0.5])
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
attack = srat.attacks.PGD(epsilon=0.1, step_size=0.05, steps=3)
train, test = Digits().train(), Digits().test()
noise = torch.Generator().manual_seed(0)
for batch in torch.randperm(len(train)).repeat(7).split(64):
    images, labels = srat.data.to_unit(train.images[batch]), train.labels[batch]
    with lent(model) as served:
        images = attack(lambda x: srat.losses.cross_entropy(served(x).logits, labels), images, generator=noise)
    optimizer.zero_grad()
    srat.losses.cross_entropy(model(images).logits, labels).mean().backward()
    optimizer.step()
print(srat.evaluate(model, test.images, test.labels, attack="pgd-20").accuracy)
