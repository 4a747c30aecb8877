#!/usr/bin/env bash
# Prints which share of the lines in src/ the tests run, the real daemon's included, and writes
# target/coverage/lines.txt with the counts. Only this crate is built again: a wrapper of rustc for
# workspace members adds the counters, so the gRPC C core is the one of `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "coverage: $*" >&2; }

# The tools must be of the LLVM that rustc is made with, or newer: the format of profiles changes.
wanted=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
rust_tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
find_tool() {
    local candidate version
    for candidate in "$rust_tools/$1" "$1-$wanted" "$1-$((wanted + 1))" "$1"; do
        command -v "$candidate" >/dev/null || continue
        version=$("$candidate" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p' | head -n 1)
        [ "${version:-0}" -ge "$wanted" ] && { command -v "$candidate"; return; }
    done
    say "needs $1 of LLVM $wanted or newer: \`rustup component add llvm-tools\`, or your distribution's llvm-$wanted"
    return 1
}
profdata=$(find_tool llvm-profdata)
cov=$(find_tool llvm-cov)

out=$PWD/target/coverage
rm -rf "$out"
mkdir -p "$out/profiles"
cat >"$out/rustc" <<'WRAPPER'
#!/usr/bin/env bash
# (A dash would drop CARGO_BIN_EXE_interlink-cri, which is no name of a shell's variable.)
# The counters lie in a mapped file, so that a daemon that is killed leaves them as well.
exec "$@" -C instrument-coverage -C llvm-args=-runtime-counter-relocation
WRAPPER
chmod +x "$out/rustc"
export RUSTC_WORKSPACE_WRAPPER=$out/rustc
export LLVM_PROFILE_FILE=$out/profiles/%p-%m%c.profraw
# Campaigns and the model are left out: they run the same code, at random and very often.
run=(cargo test --locked --lib --bins --test behaviour)
"${run[@]}" --no-run
"${run[@]}" --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*"' | cut -d'"' -f4 | sort -u >"$out/binaries"
binary=$PWD/target/debug/interlink-cri
"${run[@]}"

find "$out/profiles" -name '*.profraw' -size +0 >"$out/profiles.txt"
"$profdata" merge -sparse --failure-mode=warn --input-files="$out/profiles.txt" -o "$out/all.profdata"
objects=("$binary")
while read -r one; do objects+=(--object "$one"); done <"$out/binaries"
ignore=(--ignore-filename-regex '/(registry|rustc|target|tests)/|/tests\.rs$|testing\.rs$|properties\.rs$')
"$cov" show "${objects[@]}" --instr-profile="$out/all.profdata" "${ignore[@]}" >"$out/lines.txt"
"$cov" report "${objects[@]}" --instr-profile="$out/all.profdata" "${ignore[@]}" \
    -show-region-summary=false -show-branch-summary=false
