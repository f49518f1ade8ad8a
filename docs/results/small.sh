#!/bin/sh
# The runs behind docs/reproduction.md: tables and figures of the paper at the small scale.
# What is finished is skipped, so that it can be stopped, and started again, at any time.
# usage: docs/results/small.sh fashion-mnist|cifar10 SEEDS RUNS      (SRAT_DATA_DIR names the folder of CIFAR-10)
set -eu
data=$1 seeds=$2 runs=$3
# A run that fails (exit code 3) is told, and does not keep the others waiting.
grid() { srat grid "$@" --scale small --data "$data" --runs "$runs" || [ $? -eq 3 ]; }
# Seed by seed, so that all of it is there for the first one soonest.
for count in $(seq "$seeds"); do
  grid figure1 --seeds "$count"
  grid table1 --seeds "$count" --filter step-100
  grid table2 --seeds "$count" --filter exp-100
  grid figure4 --seeds "$count"
  grid separation --seeds "$count"
  grid figure3 --seeds "$count"
  grid field --seeds "$count"
  # Weights of 100 and more, and two classes of 100 : 1, mean nothing where a ratio of 5 stands for the paper's.
  [ "$data" != cifar10 ] || continue
  grid figure6 --seeds "$count" --filter srat-ldam
  grid figure2 --seeds "$count"
  grid figure10 --seeds "$count"
  grid figure5 --seeds "$count" --filter srat-ldam
done
