#!/usr/bin/env bash
# Makes target/package/interlink-cri-VERSION-linux-ARCH.tar.gz from the staged tree, with install.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/version.sh

case $(objdump -f target/package/bin/interlink-cri) in
*aarch64*) architecture=aarch64 ;;
*) architecture=x86_64 ;;
esac
name=interlink-cri-$version-linux-$architecture
tree=target/package/$name
rm -rf "$tree" && cp -a target/package/root "$tree"
install -m 0755 packaging/install.sh "$tree/install.sh"
install -m 0644 LICENSE "$tree/LICENSE"
tar --create --directory target/package --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" "$name" | gzip -9n >"target/package/$name.tar.gz"
rm -rf "$tree"
ls -l "target/package/$name.tar.gz"
