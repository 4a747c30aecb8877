#!/usr/bin/env bash
# Makes an empty rpm that says what a root's C library has, in the words of RHEL's glibc: for a root whose packages are
# another distribution's, so that the dependencies of an rpm are looked at and not skipped. A build for development
# needs the compiler's libraries as well.
#
#   system.sh ROOT FILE
set -euo pipefail
root=$1 file=$(realpath -m "$2")

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
{
    printf 'Name: system\nVersion: 1\nRelease: 1\nSummary: What this root has\nLicense: none\nProvides: /bin/sh\nProvides: rtld(GNU_HASH)\n'
    # The same program finds the requirements of an rpm.
    find -L "$root"/lib/*-linux-gnu "$root"/lib64 -maxdepth 1 -regextype egrep \
        -regex '.*/(lib(c|m|stdc\+\+)\.so\.6|libgcc_s\.so\.1|lib(pthread|dl|rt|util)\.so\..|ld-linux-.*\.so\..)' |
        "$(rpm --eval %_rpmconfigdir)/elfdeps" --provides | sort -u | sed 's/^/Provides: /'
    printf '%%description\nNothing.\n%%files\n'
} >"$top/system.spec"
rpmbuild -bb --quiet --define "_topdir $top" --define "_rpmfilename system.rpm" "$top/system.spec"
mv "$top/RPMS/system.rpm" "$file"
