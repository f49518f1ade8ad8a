"""CIFAR-100, read from the original Python batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from srat.data.reading.downloads import Remote
from srat.data.sources.cifar import Cifar

_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""


@dataclass(frozen=True, kw_only=True)
class Cifar100(Cifar, name="cifar100"):
    """CIFAR-100: 50,000 training and 10,000 test images of a hundred classes, 32 × 32 colour (Krizhevsky, 2009)."""

    folder = "cifar-100-python"
    archive = Remote(
        name="cifar-100-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
    )
    label_key = "fine_labels"
    train_files: ClassVar[Mapping[str, str]] = {"train": "16019d7e3df5f24257cddd939b257f8d"}
    test_files: ClassVar[Mapping[str, str]] = {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
    class_names = tuple(_NAMES.split())
