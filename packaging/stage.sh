#!/usr/bin/env bash
# Lays out below target/package/root what deb, rpm and tarball have in common, from
# target/package/bin. All files get the time SOURCE_DATE_EPOCH, or that of the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/version.sh

bin=$package/bin
root=$package/root
doc=$root/usr/share/doc/interlink-cri
rm -rf "$root"
umask 022

put() { install -D -m "$1" "$2" "$root/$3"; }
put 0755 "$bin/interlink-cri" usr/bin/interlink-cri
mkdir -p "$root/usr/lib/systemd/system"
sed 's|@BINDIR@|/usr/bin|' packaging/interlink-cri.service >"$root/usr/lib/systemd/system/interlink-cri.service"
put 0644 packaging/sysusers.conf usr/lib/sysusers.d/interlink-cri.conf
put 0644 packaging/tmpfiles.conf usr/lib/tmpfiles.d/interlink-cri.conf
put 0640 packaging/config.toml.sample etc/interlink-cri/config.toml

# All of it is made by the program itself. A foreign one needs an emulator, and a C library of its machine.
program=
machine=$(machine "$bin/interlink-cri")
[ "$machine" = "$(uname -m)" ] || program=${RUNNER-"qemu-$machine-static -L /usr/$machine-linux-gnu"}
${program:+$program} "$bin/interlink-cri" man $package/man
for page in $package/man/*; do
    section=${page##*.}
    mkdir -p "$root/usr/share/man/man$section"
    gzip -9n <"$page" >"$root/usr/share/man/man$section/${page##*/}.gz"
done
completion() {
    mkdir -p "$root/$(dirname "$2")"
    ${program:+$program} "$bin/interlink-cri" completions "$1" >"$root/$2"
}
completion bash usr/share/bash-completion/completions/interlink-cri
completion zsh usr/share/zsh/site-functions/_interlink-cri
completion fish usr/share/fish/vendor_completions.d/interlink-cri.fish

put 0644 packaging/config.toml.sample usr/share/doc/interlink-cri/config.toml.sample
for page in README.md SECURITY.md docs/*.md; do
    put 0644 "$page" "usr/share/doc/interlink-cri/${page##*/}"
done
for example in packaging/systemd/*.service.d/*.conf; do
    service=$(basename "$(dirname "$example")" .service.d)
    mkdir -p "$doc/examples"
    sed 's|@BINDIR@|/usr/bin|' "$example" >"$doc/examples/$service-${example##*/}"
done
for example in packaging/prometheus/*; do
    put 0644 "$example" "usr/share/doc/interlink-cri/examples/prometheus/${example##*/}"
done
packaging/third-party.py licences "$machine" >"$doc/THIRD-PARTY.txt"
packaging/third-party.py sbom "$machine" >"$doc/sbom.cdx.json"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
find "$root" -type d -exec chmod 0755 {} +
find "$root" -type f ! -path '*/bin/*' ! -path '*/etc/*' -exec chmod 0644 {} +
find "$root" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
