#!/usr/bin/env bash
# Installs what a build needs beside a Rust toolchain: the gRPC C core wants a C++ compiler and
# cmake. Says what it does; does nothing where all is there.
set -euo pipefail

say() { echo "deps: $*" >&2; }
fail() { say "$*"; exit 1; }

command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain (1.90 or newer) from https://rustup.rs, then run this again"

missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v c++ >/dev/null || command -v g++ >/dev/null || missing+=(c++)
command -v cc >/dev/null || command -v gcc >/dev/null || missing+=(cc)
[ ${#missing[@]} -eq 0 ] && exit 0

say "missing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "needs root or sudo to install it; ask your administrator for cmake, gcc and g++"
    as_root=(sudo)
fi

if command -v apt-get >/dev/null; then
    say "installing cmake and g++ with apt-get"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq cmake g++ >&2
elif command -v dnf >/dev/null; then
    say "installing cmake and gcc-c++ with dnf"
    "${as_root[@]}" dnf install -y -q cmake gcc-c++ >&2
elif command -v yum >/dev/null; then
    say "installing cmake and gcc-c++ with yum"
    "${as_root[@]}" yum install -y -q cmake gcc-c++ >&2
else
    fail "no apt-get, dnf or yum here; install cmake, a C and a C++ compiler by hand, then run this again"
fi

command -v cmake >/dev/null || fail "cmake is still missing; see the messages above"
command -v c++ >/dev/null || command -v g++ >/dev/null || fail "a C++ compiler is still missing; see the messages above"
