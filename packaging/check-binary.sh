#!/usr/bin/env bash
# Says what a built program needs of the machine that it runs on.
#
#   check-binary.sh PROGRAM [GLIBC]     fails where it needs a shared library that is not glibc's, or a
#                                       symbol of a glibc newer than GLIBC (2.28, as in RHEL 8; or `any`)
#   check-binary.sh --highest PROGRAM   prints the newest glibc that a symbol asks for
set -euo pipefail

highest() {
    objdump -T "$1" | sed -n 's/.*GLIBC_\([0-9][0-9.]*\).*/\1/p' | sort -uV | tail -n 1
}

if [ "$1" = --highest ]; then
    highest "$2"
    exit
fi
program=$1
limit=${2:-2.28}
failed=0
for library in $(objdump -p "$program" | awk '$1 == "NEEDED" {print $2}'); do
    case $library in
    libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | librt.so.1 | libutil.so.1 | ld-linux-*.so.*) ;;
    *)
        echo "$program: needs $library, which is not glibc's" >&2
        failed=1
        ;;
    esac
done
newest=$(highest "$program")
if [ "$limit" != any ] && [ "$(printf '%s\n' "$newest" "$limit" | sort -V | tail -n 1)" != "$limit" ]; then
    echo "$program: needs GLIBC_$newest, and $limit is the limit; these symbols are newer:" >&2
    objdump -T "$program" | grep -F "GLIBC_$newest" >&2
    failed=1
fi
[ "$failed" -eq 0 ] && echo "$program: glibc $newest or newer, and no other library"
exit "$failed"
