#!/usr/bin/env bash
# Runs two pods through a daemon of its own in a temporary directory, and leaves nothing behind.
set -euo pipefail

binary=${1:?usage: demo.sh PATH-OF-interlink-cri}
examples=$(cd "$(dirname "$0")" && pwd)
directory=$(mktemp -d "${TMPDIR:-/tmp}/interlink-cri-demo.XXXXXX")
socket=$directory/cri.sock
# What run-pod keeps goes with everything else.
export TMPDIR=$directory
daemon=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

clean_up() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say "Starting the daemon with its embedded plugin: containers run as processes of this machine"
"$binary" serve --socket "$socket" --state-dir "$directory/state" --embedded-plugin \
    --log-level warn 2>"$directory/daemon.log" &
daemon=$!
for _ in $(seq 100); do
    "$binary" status --socket "$socket" >/dev/null 2>&1 && break
    if ! kill -0 "$daemon" 2>/dev/null; then
        cat "$directory/daemon.log" >&2
        echo "demo: the daemon did not start" >&2
        exit 1
    fi
    sleep 0.1
done
"$binary" status --socket "$socket" | head -4

say "A pod with an init container and two containers ($(basename "$examples")/hello.yaml)"
"$binary" run-pod "$examples/hello.yaml" --socket "$socket" --keep

say "What the kubelet would see, and which job carries what"
"$binary" jobs --socket "$socket"

say "A pod that fails ($(basename "$examples")/failing.yaml): its exit code comes back"
code=0
"$binary" run-pod "$examples/failing.yaml" --socket "$socket" || code=$?
echo "run-pod ended with exit code $code"
[ "$code" -eq 7 ] || { cat "$directory/daemon.log" >&2; exit 1; }

say "Stopping the daemon and cleaning up"
