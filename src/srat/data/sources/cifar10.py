"""CIFAR-10, read from the original Python batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from srat.data.reading.downloads import Remote
from srat.data.sources.cifar import Cifar


@dataclass(frozen=True, kw_only=True)
class Cifar10(Cifar, name="cifar10"):
    """CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32 × 32 colour (Krizhevsky, 2009)."""

    folder = "cifar-10-batches-py"
    archive = Remote(
        name="cifar-10-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
    )
    label_key = "labels"
    train_files: ClassVar[Mapping[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    }
    test_files: ClassVar[Mapping[str, str]] = {"test_batch": "40351d587109b95175f43aff81a1287e"}
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
