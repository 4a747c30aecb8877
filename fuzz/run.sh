#!/usr/bin/env bash
# Fuzzes for FUZZ_SECONDS each: the targets that are named, or all of them. Each starts from its
# seeds and from what earlier runs have found (corpus/, which git ignores); the first failure ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

if ! command -v cargo-fuzz >/dev/null; then
	echo "cargo-fuzz is missing; installing it with: cargo install --locked cargo-fuzz" >&2
	cargo install --locked cargo-fuzz
fi

# No sanitizer: the crate forbids unsafe code, and so a stable toolchain will do. What finds faults
# are debug assertions, overflow checks and the properties. The first build takes a quarter of an hour.
build=(--sanitizer none)
for target in "${targets[@]}"; do
	test -e "fuzz/fuzz_targets/$target.rs" || {
		echo "there is no fuzz target \`$target\`; there are: $(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//' | xargs)" >&2
		exit 2
	}
	cargo fuzz build "${build[@]}" "$target"
done

# Files and stores that targets make; in memory where that is possible.
scratch=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/interlink-cri-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

for target in "${targets[@]}"; do
	echo "== $target, $seconds s"
	mkdir -p "fuzz/corpus/$target"
	options=(-max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1)
	test -e "fuzz/dict/$target.dict" && options+=(-dict="fuzz/dict/$target.dict")
	# Without a sanitizer libFuzzer does not see single allocations, so the address space is bounded.
	(
		ulimit -v $((4 << 20))
		TMPDIR=$scratch exec cargo fuzz run "${build[@]}" "$target" \
			"fuzz/corpus/$target" "fuzz/seeds/$target" -- "${options[@]}"
	) || {
		found=$(find "fuzz/artifacts/$target" -type f -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2-)
		echo "fuzz target \`$target\` FAILED. Reproduce with:" >&2
		echo "  cargo fuzz run ${build[*]} $target ${found:-(nothing was kept: see above)}" >&2
		exit 1
	}
done
echo "nothing was found"
