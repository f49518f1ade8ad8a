"""Words of a training that takes seconds."""


def quick(*, model="small-cnn", width=2, epochs=1, steps=1, evaluation=1):
    """Return words of a small run of SRAT-LDAM on the CPU; a flag that is named after them counts more."""
    sizes = ["--model.width", str(width)] if model == "small-cnn" else []
    words = ["--model", model, *sizes, "--epochs", str(epochs), "--method", "srat-ldam", "--attack.steps", str(steps)]
    return [*words, "--evaluation.steps", str(evaluation), "--device", "cpu"]


def without_attack(words):
    """Return the words without the method and its attack's steps, which natural training has not."""
    place = words.index("--method")
    return [*words[:place], *words[place + 4 :]]
