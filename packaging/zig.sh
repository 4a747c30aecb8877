#!/usr/bin/env bash
# Prints the directory that has cargo-zigbuild, and a python3 that has zig; makes it in target/zig, where it is
# missing, from PyPI (160 MB), or from what pip is told to use (PIP_INDEX_URL, PIP_NO_INDEX, PIP_FIND_LINKS).
set -euo pipefail
cd "$(dirname "$0")/.."

environment=$PWD/target/zig
if ! cmp -s packaging/zig.txt "$environment/zig.txt"; then
    echo "zig: installing into $environment" >&2
    rm -rf "$environment"
    python3 -m venv "$environment"
    # That of RHEL 8 does not know the wheels' names.
    "$environment/bin/pip" install --quiet --disable-pip-version-check 'pip>=20.3' >&2
    "$environment/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        --requirement packaging/zig.txt >&2
    cp packaging/zig.txt "$environment/zig.txt"
fi
echo "$environment/bin"
