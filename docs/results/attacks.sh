#!/bin/sh
# What the table of docs/results/README.md is made of: runs of first_runs.sh under stronger attacks, audited, measured.
# usage: docs/results/attacks.sh RUN…      (SRAT_DATA_DIR names the folder of CIFAR-10)
set -eu
export OMP_NUM_THREADS=1
for run in "$@"; do
  srat evaluate "$run" --attack pgd-20 --attack pgd-margin-20
  srat evaluate "$run" --images 1000 --attack pgd-20 --attack pgd-margin-20 --attack autoattack
  srat separability "$run"
  srat audit "$run" || [ $? -eq 3 ]
done
