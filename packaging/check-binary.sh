#!/usr/bin/env bash
# Says what a built program, of whatever architecture, needs of the machine that it runs on.
#
#   check-binary.sh PROGRAM [GLIBC [LIBRARY...]]
#                                       fails where it needs a glibc newer than GLIBC (2.28, as in RHEL 8; or
#                                       `any`), or a shared library that is neither glibc's nor named here
#   check-binary.sh --highest PROGRAM   prints the oldest glibc that has all that it needs
set -euo pipefail

# What the dynamic linker looks for, also where no symbol has it.
versions() { LC_ALL=C readelf --version-info --wide "$1" | sed -n 's/.*Name: GLIBC_\([^ ]*\).*/\1/p' | sort -uV; }
highest() { versions "$1" | tail -n 1; }

if [ "$1" = --highest ]; then
    highest "$2"
    exit
fi
program=$1
limit=${2:-2.28}
allowed=" ${*:3} "
failed=0
for library in $(LC_ALL=C readelf --dynamic --wide "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $library in
    libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | librt.so.1 | libutil.so.1 | ld-linux-*.so.*) ;;
    *)
        case $allowed in *" $library "*) continue ;; esac
        echo "$program: needs $library, which is not glibc's" >&2
        failed=1
        ;;
    esac
done
newest=$(highest "$program")
# Versions that are no numbers (`ABI_DT_RELR`) are newer than all that are supported, and sort last.
if [ "$limit" != any ] && [ "$(printf '%s\n' "$newest" "$limit" | sort -V | tail -n 1)" != "$limit" ]; then
    echo "$program: needs glibc $newest, and $limit is the limit; these symbols do:" >&2
    readelf --dyn-syms --wide "$program" | grep -F "@GLIBC_$newest" >&2 || true
    failed=1
fi
[ "$failed" -eq 0 ] && echo "$program: glibc $newest or newer, and ${3:+beside ${*:3} }no other library"
exit "$failed"
