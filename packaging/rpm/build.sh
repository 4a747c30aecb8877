#!/usr/bin/env bash
# Makes target/package/interlink-cri-VERSION-1.ARCH.rpm, and one of debug symbols, from the staged tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
source packaging/version.sh

command -v rpmbuild >/dev/null || {
    echo "rpmbuild is missing; install rpm-build, or on Debian rpm" >&2
    exit 1
}

architecture=$(machine $package/bin/interlink-cri)
id=$(readelf -n $package/bin/interlink-cri | sed -n 's/.*Build ID: //p')
top=$PWD/$package/rpm
rm -rf "$top"
stage=$top/stage
mkdir -p "$stage" && cp -a $package/root/. "$stage"
install -D -m 0644 LICENSE "$stage/usr/share/licenses/interlink-cri/LICENSE"
find "$stage" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

payload=w6.xzdio
[ "${PACKAGE_COMPRESSION-}" != fast ] || payload=w1.gzdio

rpmbuild -bb --quiet --target "$architecture-linux" \
    --define "_topdir $top" --define "the_version $version" --define "the_release ${REVISION:-1}" \
    --define "payload $payload" --define "stage $stage" \
    --define "the_maintainer $maintainer" --define "the_date $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" \
    --define "debug_file $PWD/$package/bin/interlink-cri.debug" \
    --define "build_id ${id:0:2}/${id:2}" \
    --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" \
    --define "clamp_mtime_to_source_date_epoch 1" --define "source_date_epoch_from_changelog 0" \
    --define "_rpmdir $top/out" packaging/rpm/interlink-cri.spec
mv "$top"/out/*/*.rpm $package/
ls -l $package/*.rpm
