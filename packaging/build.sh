#!/usr/bin/env bash
# Builds the program that packages carry, in release mode:
#
#   target/package/bin/interlink-cri          stripped
#   target/package/bin/interlink-cri.debug    its debug symbols, for gdb and for backtraces with lines
#
#   build.sh                  for this machine, with its compiler
#   build.sh TARGET GLIBC     for TARGET (x86_64-unknown-linux-gnu), with a zig that has the headers of all
#                             versions of glibc, so that GLIBC and all newer ones serve
#
# The C++ library is linked statically in both, so that nothing but glibc is needed at run time.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/version.sh

out=target/package/bin
built=${CARGO_TARGET_DIR:-target}
cargo=${CARGO:-cargo}
rm -rf "$out"
mkdir -p "$out"

# The same bytes from the same sources, wherever they and the registry lie.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
remap=("--remap-path-prefix=$PWD=interlink-cri" "--remap-path-prefix=$(realpath -m "$built")=target"
    "--remap-path-prefix=$registry=registry")
flags=("${remap[@]}" -C strip=none -C link-arg=-Wl,--build-id=sha1)
# Behind `--`, flags hold for the program itself: a gRPC C core that was built before is used.
compile=(rustc --locked --release --bin interlink-cri)

tools=
if [ $# -eq 0 ]; then
    # `-lstdc++` and `-lgcc_s` find these archives before the shared libraries of the system.
    static=$PWD/target/package/static
    mkdir -p "$static"
    # The compiler prints the bare name of what it has not.
    if [ ! -e "$(c++ -print-file-name=libstdc++.a)" ]; then
        echo "libstdc++.a is missing: Fedora has it in libstdc++-static, RHEL and its kin as well, in CRB (8: PowerTools)" >&2
        exit 1
    fi
    ln -sf "$(c++ -print-file-name=libstdc++.a)" "$static/libstdc++.a"
    ln -sf "$(cc -print-file-name=libgcc_eh.a)" "$static/libgcc_s.a"
    "$cargo" "${compile[@]}" -- "${flags[@]}" -C "link-arg=-L$static" -C link-arg=-static-libgcc
    program=$built/release/interlink-cri
else
    target=$1 glibc=$2
    zig=$(packaging/zig.sh)
    # Nothing else uses the products of this target, so its dependencies and our own library need no paths of this
    # machine either.
    export RUSTFLAGS="${remap[*]}"
    # -g0: cargo-zigbuild asks for debug symbols, which those of C and C++ would be most of. What a debugger needs
    # to walk the stack stays, in the file of the debug symbols; the program itself carries no tables for exceptions
    # that nothing throws.
    export CFLAGS="-g0 -fno-asynchronous-unwind-tables -fforce-dwarf-frame -fvisibility=hidden"
    CFLAGS+=" -ffile-prefix-map=$registry=registry -ffile-prefix-map=$(realpath -m "$built")=target"
    # gRPC throws nothing and asks for no type at run time. Its server listens on a unix socket: it resolves no names
    # (c-ares) and asks no lookup service for routes (RLS).
    export CXXFLAGS="$CFLAGS -fno-exceptions -fno-rtti -fvisibility-inlines-hidden -DGRPC_ARES=0 -DGRPC_NO_RLS"
    # zig compiles its C++ library itself when it links, with debug symbols that name the directory it lies in, and
    # keeps it for everybody. A cache of our own, and a word to its clang, leave these symbols out.
    export ZIG_GLOBAL_CACHE_DIR=$PWD/target/zig/cache CCC_OVERRIDE_OPTIONS='#+-g0'
    # The C core's size is none of its speed: what takes time is waiting for remote servers.
    size='profile.release.package.grpcio-sys.opt-level="s"'
    PATH=$zig:$PATH cargo-zigbuild "${compile[@]}" --config "$size" --target "$target.$glibc" -- \
        "${flags[@]}" -C relocation-model=pie
    program=$built/$target/release/interlink-cri
    # Those of this machine read no other's programs; Debian and RHEL have the package binutils-aarch64-linux-gnu.
    [ "${target%%-*}" = "$(uname -m)" ] || tools=${target%%-*}-linux-gnu-
fi

split_symbols "$program" "$out" "$tools"
