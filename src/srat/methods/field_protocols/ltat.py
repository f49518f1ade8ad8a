"""LTAT's protocol."""

from srat.methods.protocol import Protocol, exponential

PROTOCOL = Protocol(
    title="LTAT's: ResNet-18, a teacher of 30 epochs and a student",
    source="LTAT (ICLR 2025), second hand: its code is in a supplement of the review",
    differs=(
        "The student's epochs and rates are those of AT-BSL, on which it builds. The teacher is a run of its own on a "
        "balanced subset (`sampling` class-balanced, 30 epochs); the student learns from it with `robust_loss` "
        "distillation and `robust_loss.teacher`.",
        "Weights, temperature and the subset's size could not be read: what comes of it here is not called LTAT.",
    ),
    imbalances=exponential(cifar10=50, cifar100=10, tiny_imagenet=10),
    epochs=100,
    milestones=(74, 89, 99),
)
