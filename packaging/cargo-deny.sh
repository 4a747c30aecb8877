#!/usr/bin/env bash
# Checks the dependencies with cargo-deny, which is installed where it is missing (some minutes).
# Arguments: what to check, as in `bans licenses sources` or `advisories`.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
    echo "cargo-deny is missing; installing it with: cargo install --locked cargo-deny" >&2
    cargo install --locked cargo-deny
fi
exec cargo deny --locked check "$@"
