#!/usr/bin/env bash
# What only a GPU shows, in about eleven minutes: CUDA against the CPU, two ranks on one GPU with the
# bits of one, Gauss-Newton on Burgers, and the networks that want a GPU.
#
#     DDOPT_DATA_ROOT=... bash examples/benchmarks/gpu.sh [folder for the results]
#
# WHEELS=folder installs what is missing from there, without a network. DEVICE=cpu tries the script
# out where there is no GPU; SECONDS_EACH (120) is the time of a large run. BURGERS_POINTS (32000) and
# BURGERS_SECONDS (60) are those of Gauss-Newton, for each precision. PARTS names the parts to run, of
# "same ranks burgers networks"; a part that fails does not end the others.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-runs/gpu}
device=${DEVICE:-cuda}
each=${SECONDS_EACH:-120}
mkdir -p "$out"
export OMP_NUM_THREADS=1 PYTHONPATH="$PWD:$PWD/plugins${PYTHONPATH:+:$PYTHONPATH}"
run() { python3 -m ddopt run "$@" "device=$device" output.figures=false; }

if [ -n "${WHEELS:-}" ]; then
    python3 -m pip install --quiet --no-index --find-links "$WHEELS" pydantic tomli-w deepxde threadpoolctl
fi
python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")'

part() { [[ " ${PARTS:-same ranks burgers networks} " == *" $1 "* ]]; }

if part same; then
echo "== the same numbers, and the seconds of a gradient"
timeout 240 python3 examples/benchmarks/device.py --device "$device" --iterations "${ITERATIONS:-10}" | tee "$out/device.txt"

fi

if part ranks; then
echo "== two ranks on one device, and one"
for processes in 1 2; do
    run examples/poisson2d.toml --out "$out/ranks-$processes" --processes "$processes" \
        strategy.subdomains=4 stop.evaluations=120 | tail -2
done
python3 - "$out" <<'PY'
import sys
from pathlib import Path

from ddopt.run import record

apart = ("seconds", "bytes_sent", "collectives")
one, two = (
    [{k: v for k, v in line.items() if k not in apart} for line in record.read(Path(sys.argv[1], f"ranks-{n}"))]
    for n in (1, 2)
)
print("the same bits" if one == two else "NOT the same bits")
PY
fi

if part burgers; then
echo "== Gauss-Newton on Burgers"
python3 examples/benchmarks/gauss_newton_device.py --device "$device" \
    --points "${BURGERS_POINTS:-32000}" --seconds "${BURGERS_SECONDS:-60}" | tee "$out/burgers.txt"
fi

if part networks; then
echo "== networks that want a GPU"
run examples/images/cifar10_resnet.toml --out "$out/resnet" "stop.seconds=$each" stop.evaluations=1000 | tail -3
run examples/text/shakespeare_large.toml --out "$out/gpt" "stop.seconds=$each" | tail -3
fi
