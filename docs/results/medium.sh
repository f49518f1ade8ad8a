#!/bin/sh
# The runs at the medium scale: CIFAR-10 at the paper's counts, single-step training (docs/reproduction.md).
# What is finished is skipped, so that it can be stopped, and started again, at any time.
# usage: docs/results/medium.sh SEEDS RUNS      (SRAT_DATA_DIR names the folder of CIFAR-10)
set -eu
seeds=$1 runs=$2
# A run that fails (exit code 3) is told, and does not keep the others waiting.
grid() { srat grid "$@" --scale medium --runs "$runs" || [ $? -eq 3 ]; }
# Seed by seed, the shorter runs first, so that something can be said of all ingredients soonest.
for count in $(seq "$seeds"); do
  for column in exp-100 step-100; do
    grid ladder --seeds "$count" --filter "$column"
    grid trials --seeds "$count" --filter "$column"
    grid frontier --seeds "$count" --filter "$column"
  done
done
