# Sourced by the demos: a daemon of its own in a temporary directory, of which nothing stays.
# Takes $binary, and gives $directory and $socket.
set -euo pipefail

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

fail() {
    cat "$directory/daemon.log" >&2
    echo "demo: $*" >&2
    exit 1
}

start_daemon() {
    say "Starting the daemon with its embedded plugin: containers run as processes of this machine"
    "$binary" serve --socket "$socket" --state-dir "$directory/state" --embedded-plugin \
        --log-level warn 2>"$directory/daemon.log" &
    daemon=$!
    for _ in $(seq 100); do
        "$binary" status --socket "$socket" >/dev/null 2>&1 && break
        kill -0 "$daemon" 2>/dev/null || fail "the daemon did not start"
        sleep 0.1
    done
    "$binary" status --socket "$socket" | head -4
}
