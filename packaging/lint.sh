#!/usr/bin/env bash
# Runs lintian and rpmlint over the packages in target/package, each where it is installed and there is
# something to look at. Fails on what neither is clean of nor overridden, with its reason, in
# packaging/deb/lintian-overrides and packaging/rpm/rpmlint.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

debs=(target/package/*.deb)
rpms=(target/package/*.rpm)
if [ ${#debs[@]} -gt 0 ] && command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "${debs[@]}"
    echo "lintian: clean"
fi
if [ ${#rpms[@]} -gt 0 ] && command -v rpmlint >/dev/null; then
    rpmlint --strict --config packaging/rpm/rpmlint.toml "${rpms[@]}"
fi
