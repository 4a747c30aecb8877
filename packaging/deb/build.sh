#!/usr/bin/env bash
# Makes target/package/interlink-cri_VERSION_ARCH.deb, and one of debug symbols, from the staged tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
source packaging/version.sh

case $(machine $package/bin/interlink-cri) in
aarch64) architecture=arm64 ;;
*) architecture=amd64 ;;
esac
# The native build takes symbols of the C library that it was built with; the portable one those of 2.28.
libc=$(packaging/check-binary.sh --highest $package/bin/interlink-cri)
revision=$version-${REVISION:-1}

# control PACKAGE DIRECTORY SECTION <rest of the fields
control() {
    mkdir -p "$2/DEBIAN"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: %s\n' \
            "$1" "$revision" "$architecture" "$maintainer"
        printf 'Installed-Size: %s\nSection: %s\nPriority: optional\n' "$(size "$2")" "$3"
        cat
    } >"$2/DEBIAN/control"
    (cd "$2" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$2/DEBIAN/md5sums"
}
# In KiB, as dpkg-gencontrol counts: files by their size, everything else as one.
size() {
    find "$1" -path "$1/DEBIAN" -prune -o -type f -printf '%s\n' -o -printf '0\n' |
        awk '{sum += $1 ? int(($1 + 1023) / 1024) : 1} END {print sum}'
}
changelog() {
    date=$(date -R -u -d "@$SOURCE_DATE_EPOCH")
    printf 'interlink-cri (%s) unstable; urgency=medium\n\n  * See changelog.gz for what is new.\n\n -- %s  %s\n' \
        "$revision" "$maintainer" "$date" | gzip -9n
}
pack() {
    find "$1" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    compression=-Zxz
    [ "${PACKAGE_COMPRESSION-}" != fast ] || compression="-Zgzip -z1"
    # shellcheck disable=SC2086
    dpkg-deb --root-owner-group $compression --build "$1" $package >&2
}

root=$package/deb
rm -rf "$root" && cp -a $package/root "$root"
doc=$root/usr/share/doc/interlink-cri
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_interlink-cri" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
# Where Debian had it before 12, and systemd looks everywhere.
mkdir -p "$root/lib" && cp -a "$root/usr/lib/systemd" "$root/lib/systemd" && rm -rf "$root/usr/lib/systemd"
install -m 0644 packaging/deb/copyright "$doc/copyright"
install -D -m 0644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/interlink-cri"
changelog >"$doc/changelog.Debian.gz"
chmod 0644 "$doc/changelog.Debian.gz"
control interlink-cri "$root" admin <<END
Depends: libc6 (>= $libc)
Recommends: systemd
Homepage: https://github.com/interlink-hq/interlink-cri
Description: Kubernetes container runtime that runs pods on supercomputers
 A kubelet speaks the Container Runtime Interface to this daemon, which hands
 pods over to an interLink server, whose plugins run them on SLURM, HTCondor
 and other batch systems.
END
echo /etc/interlink-cri/config.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "packaging/deb/$script" "$root/DEBIAN/$script"
done
pack "$root"

root=$package/deb-dbgsym
rm -rf "$root"
id=$(readelf -n $package/bin/interlink-cri | sed -n 's/.*Build ID: //p')
install -D -m 0644 $package/bin/interlink-cri.debug "$root/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
mkdir -p "$root/usr/share/doc"
ln -s interlink-cri "$root/usr/share/doc/interlink-cri-dbgsym"
control interlink-cri-dbgsym "$root" debug <<END
Depends: interlink-cri (= $revision)
Auto-Built-Package: debug-symbols
Build-Ids: $id
Description: debug symbols for interlink-cri
END
pack "$root"
