#!/usr/bin/env bash
# Runs two pods through a daemon of its own in a temporary directory, and leaves nothing behind.
set -euo pipefail

binary=${1:?usage: demo.sh PATH-OF-interlink-cri}
examples=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/daemon.sh
. "$examples/daemon.sh"

start_daemon

say "A pod with an init container and two containers ($(basename "$examples")/hello.yaml)"
"$binary" run-pod "$examples/hello.yaml" --socket "$socket" --keep

say "What the kubelet would see, and which job carries what"
"$binary" jobs --socket "$socket"

say "A pod that fails ($(basename "$examples")/failing.yaml): its exit code comes back"
code=0
"$binary" run-pod "$examples/failing.yaml" --socket "$socket" || code=$?
echo "run-pod ended with exit code $code"
[ "$code" -eq 7 ] || fail "7 was expected"

say "Stopping the daemon and cleaning up"
