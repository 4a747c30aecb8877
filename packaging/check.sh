#!/usr/bin/env bash
# Packs a program that is built already, twice, and looks at what comes out: the same bytes both times, what
# lintian and rpmlint say where they are installed, that the Debian package can be unpacked and its program
# runs, and what systemd says of the units. The packages are not for use: they are compressed for speed.
#
# What only a portable program keeps is looked at where `make portable` has made one.
#
#   check.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")

# A build for development has the compiler's libraries beside it. The limit must be one that is found to be broken.
packaging/check-binary.sh "$program" any libstdc++.so.6 libgcc_s.so.1
! packaging/check-binary.sh "$program" 2.17 libstdc++.so.6 libgcc_s.so.1 >/dev/null 2>&1 ||
    { echo "check-binary.sh finds nothing newer than glibc 2.17 in $program" >&2; exit 1; }
! packaging/check-binary.sh "$program" any >/dev/null 2>&1 ||
    { echo "check-binary.sh does not find libstdc++ in $program" >&2; exit 1; }
if [ -s target/package/kind ] && [ -e target/package/bin/interlink-cri ]; then
    read -r _ glibc <target/package/kind
    [ -z "$glibc" ] || packaging/check-binary.sh target/package/bin/interlink-cri "$glibc"
fi

export PACKAGE_COMPRESSION=fast PACKAGE_DIR=target/package-check
rm -rf target/package-check
source packaging/version.sh
split_symbols "$program" target/package-check/bin

pack() {
    ./packaging/stage.sh
    ! command -v dpkg-deb >/dev/null || ./packaging/deb/build.sh
    ! command -v rpmbuild >/dev/null || ./packaging/rpm/build.sh >/dev/null
    ./packaging/tarball.sh >/dev/null
    (cd target/package-check && sha256sum ./*.deb ./*.rpm ./*.tar.gz 2>/dev/null || true)
}
first=$(pack)
second=$(pack)
if [ "$first" != "$second" ]; then
    diff <(echo "$first") <(echo "$second") || true
    echo "packages of the same sources differ" >&2
    exit 1
fi
echo "the same bytes twice:"
echo "$first"

for deb in target/package-check/interlink-cri_*.deb; do
    [ -e "$deb" ] || continue
    rm -rf target/package-check/unpacked
    dpkg-deb --extract "$deb" target/package-check/unpacked
    target/package-check/unpacked/usr/bin/interlink-cri check-config \
        --config target/package-check/unpacked/etc/interlink-cri/config.toml >/dev/null
done
if command -v systemd-analyze >/dev/null; then
    ./packaging/check-units.sh "$program"
fi
./packaging/lint.sh
rm -rf target/package-check
