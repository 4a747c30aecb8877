#!/usr/bin/env bash
# Makes target/package/interlink-cri-VERSION-linux-ARCH.tar.gz from the staged tree, with install.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/version.sh

name=interlink-cri-$version-linux-$(machine $package/bin/interlink-cri)
tree=$package/$name
rm -rf "$tree" && cp -a $package/root "$tree"
install -m 0755 packaging/install.sh "$tree/install.sh"
install -m 0644 LICENSE "$tree/LICENSE"
level=-9
[ "${PACKAGE_COMPRESSION-}" != fast ] || level=-1
tar --create --directory $package --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip -n $level >"$package/$name.tar.gz"
rm -rf "$tree"
ls -l "$package/$name.tar.gz"
