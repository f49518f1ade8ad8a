#!/bin/sh
# The paper's scale on one GPU, in the order of what tells most: ResNet-18, 200 epochs, PGD-10, bf16, ours 30 epochs of
# one cycle; PGD-20 on all test images, AutoAttack on 1,000. Stopped at any moment, it keeps what is small of what there is; started again, it goes on.
# usage: docs/results/paper_scale.sh RUNS [KEPT] [-- FLAGS OF srat train …]     (SRAT_DATA_DIR names CIFAR-10's folder)
#   METHODS, IMBALANCES and IMAGES change what is trained, and on how many images AutoAttack runs.
set -eu
runs=$1 kept=$(dirname "$0")/paper
shift
case ${1:---} in --) ;; *) kept=$1; shift ;; esac
[ $# -eq 0 ] || shift
methods=${METHODS:-fast-bsl srat-ldam drcb-ldam ce} imbalances=${IMBALANCES:-exp step} images=${IMAGES:-1000} child=

keep() {
  for config in "$runs"/*/config.json; do
    from=$(dirname "$config") to=$kept/$(basename "$(dirname "$config")")
    mkdir -p "$to"
    for file in config.json metrics.csv evaluation.json evaluation-"$images".json environment.json; do
      [ ! -e "$from/$file" ] || cp "$from/$file" "$to/"
    done
  done
}
# A signal reaches srat, which saves its state, before anything is kept.
trap 'trap - TERM INT; [ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child"; }; exit 130' TERM INT
trap keep EXIT
watched() { "$@" & child=$!; wait "$child"; child=; }

for imbalance in $imbalances; do
  for method in $methods; do
    out=$runs/$imbalance-100-$method length=
    [ "$method" != fast-bsl ] || length="--epochs 30 --schedule one-cycle"
    watched srat train --method "$method" --data cifar10 --model resnet18 --imbalance "$imbalance" --ratio 100 \
      --holdout.fraction 0 --precision bf16 $length --out "$out" "$@"
    watched srat evaluate "$out" --attack autoattack --images "$images"
    keep
  done
done
