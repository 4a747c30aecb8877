#!/usr/bin/env bash
# Runs lintian and rpmlint over the packages in target/package, each where it is installed and there is
# something to look at. Fails on what neither is clean of nor overridden, with its reason, in
# packaging/deb/lintian-overrides and packaging/rpm/rpmlint.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/version.sh
shopt -s nullglob

# Nobody is to take what was not looked at for clean.
for linter in lintian rpmlint; do
    command -v $linter >/dev/null || echo "$linter: not installed, so its packages were not looked at" >&2
done

debs=($package/*.deb)
rpms=($package/*.rpm)
failed=0
if [ ${#debs[@]} -gt 0 ] && command -v lintian >/dev/null; then
    for deb in "${debs[@]}"; do
        suppress=()
        case $deb in
        # It may hold nothing but symbols, so no overrides either. MAINTAINER is for whoever passes it on,
        # and the symbols are compressed, where lintian does not look.
        *-dbgsym_*) suppress=(--suppress-tags bogus-mail-host,debug-file-with-no-debug-symbols) ;;
        esac
        if lintian --allow-root --fail-on error,warning "${suppress[@]}" "$deb"; then
            echo "lintian: $deb is clean"
        else
            failed=1
        fi
    done
fi
if [ ${#rpms[@]} -gt 0 ] && command -v rpmlint >/dev/null; then
    rpmlint --strict --config packaging/rpm/rpmlint.toml "${rpms[@]}" || failed=1
fi
exit "$failed"
