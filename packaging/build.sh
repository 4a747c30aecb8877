#!/usr/bin/env bash
# Builds the program that packages carry, in release mode:
#
#   target/package/bin/interlink-cri          stripped
#   target/package/bin/interlink-cri.debug    its debug symbols, for gdb and for backtraces with lines
#
# libstdc++ and libgcc are linked statically, so that nothing but glibc is needed at run time, in the version
# of this machine or a newer one.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/package/bin
built=${CARGO_TARGET_DIR:-target}
cargo=${CARGO:-cargo}
rm -rf "$out"
mkdir -p "$out"

# The same bytes from the same sources, wherever they and the registry lie.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
flags=(-C strip=none -C link-arg=-Wl,--build-id=sha1
    "--remap-path-prefix=$PWD=interlink-cri" "--remap-path-prefix=$registry=registry")

# `-lstdc++` and `-lgcc_s` find these archives before the shared libraries of the system.
static=$PWD/target/package/static
mkdir -p "$static"
ln -sf "$(c++ -print-file-name=libstdc++.a)" "$static/libstdc++.a"
ln -sf "$(cc -print-file-name=libgcc_eh.a)" "$static/libgcc_s.a"
# Behind `--`, they hold for the program itself: the gRPC C core that `make release` built is used.
"$cargo" rustc --locked --release --bin interlink-cri -- "${flags[@]}" \
    -C "link-arg=-L$static" -C link-arg=-static-libgcc
program=$built/release/interlink-cri

objcopy --only-keep-debug --compress-debug-sections "$program" "$out/interlink-cri.debug"
strip --strip-unneeded --remove-section=.comment -o "$out/interlink-cri" "$program"
(cd "$out" && objcopy --add-gnu-debuglink=interlink-cri.debug interlink-cri)
chmod 0755 "$out/interlink-cri"
chmod 0644 "$out/interlink-cri.debug"
