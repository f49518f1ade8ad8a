#!/bin/sh
# The runs behind docs/results/README.md: four methods on CIFAR-10 and on Fashion-MNIST, Step-100, one thread each.
# usage: docs/results/first_runs.sh fashion-mnist|cifar10 OUT      (SRAT_DATA_DIR names the folder of CIFAR-10)
set -eu
data=$1 out=$2
export OMP_NUM_THREADS=1
for method in ce drcb-ldam srat-ldam natural; do
  case $data in
    fashion-mnist) options="--imbalance.cap 2000 --model resnet18 --model.width 8 --epochs 12 --schedule.milestones 7 10" ;;
    cifar10) options="--model small-cnn --epochs 5 --schedule.milestones 3 4" ;;
  esac
  case $method in
    drcb-*|srat-*) weights="--schedule.reweight-from $(echo "$options" | sed 's/.*milestones \([0-9]*\) .*/\1/')" ;;
    *) weights="" ;;
  esac
  # shellcheck disable=SC2086
  srat train --method "$method" --data "$data" --imbalance step --ratio 100 $options $weights \
    --optimizer.learning-rate 0.05 --schedule.factor 0.1 --out "$out/$data-$method"
done
