#!/bin/sh
# Keeps what is small of finished runs beside this file, and makes the reports of docs/reproduction.md of it.
# usage: docs/results/reports.sh fashion-mnist|cifar10|medium [RUNS]      (medium: CIFAR-10 at that scale)
set -eu
runs=${2:-}
case $1 in
  medium) scale=medium data=cifar10 ;;
  *) scale=small data=$1 ;;
esac
here=$(dirname "$0")/$scale
mkdir -p "$here/runs"
for evaluation in ${runs:+"$runs"/*/evaluation.json}; do
  from=$(dirname "$evaluation") to=$here/runs/$(basename "$(dirname "$evaluation")")
  mkdir -p "$to"
  for file in config.json metrics.csv evaluation.json environment.json map.json; do
    [ ! -e "$from/$file" ] || cp "$from/$file" "$to/"
  done
done
report() { srat report "$@" --scale "$scale" --data "$data" --runs "$here/runs" --out "$here/$data" >/dev/null && echo "$1" || echo "no $1 yet"; }
if [ "$scale" = medium ]; then
  for name in ladder trials frontier ours; do report "$name"; done
  exit 0
fi
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
