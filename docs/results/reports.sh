#!/bin/sh
# Keeps what is small of finished runs beside this file, and makes the reports of docs/reproduction.md of it.
# usage: docs/results/reports.sh fashion-mnist|cifar10 [RUNS]
set -eu
data=$1 runs=${2:-} here=$(dirname "$0")/small
mkdir -p "$here/runs"
for evaluation in ${runs:+"$runs"/*/evaluation.json}; do
  from=$(dirname "$evaluation") to=$here/runs/$(basename "$(dirname "$evaluation")")
  mkdir -p "$to"
  for file in config.json metrics.csv evaluation.json environment.json map.json; do
    [ ! -e "$from/$file" ] || cp "$from/$file" "$to/"
  done
done
report() { srat report "$@" --scale small --data "$data" --runs "$here/runs" --out "$here/$data" >/dev/null && echo "$1" || echo "no $1 yet"; }
report figure1
report table1 --filter step-100
report table2 --filter exp-100
report figure4
report separation
report figure3
report figure13
report field
[ "$data" != cifar10 ] || exit 0
report figure6 --filter srat-ldam
report figure2
report figure10
report figure5 --filter srat-ldam
