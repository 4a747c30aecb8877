#!/usr/bin/env bash
# Installs what a build needs beside a Rust toolchain: the gRPC C core wants a C++ compiler and cmake.
# Says what it does; does nothing where all is there.
#
#   install-deps.sh [FOR...]      FOR is portable, deb, rpm or tarball: what these need beside that; or aarch64: what
#                                 building for that needs on another machine
set -euo pipefail

say() { echo "deps: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null; }

have cargo || fail "cargo is missing: install a Rust toolchain (1.90 or newer) from https://rustup.rs, then run this again"

# The programs that are missing, and the names of their packages with apt, dnf or yum, and zypper.
missing=() apt=() dnf=() zypper=()
want() {
    have "$1" && return
    # Asked for before: a bare `return` would hand on that it is missing.
    case " ${missing[*]-} " in *" $1 "*) return 0 ;; esac
    missing+=("$1") apt+=("$2") dnf+=("${3-}") zypper+=("${4-}")
}
want cmake cmake cmake cmake
have g++ || want c++ g++ gcc-c++ gcc-c++
have gcc || want cc gcc gcc gcc
for purpose in "$@"; do
    want python3 python3 python3 python3
    want objcopy binutils binutils binutils
    case $purpose in
    portable)
        # Debian has the module that makes environments apart.
        if have python3 && ! python3 -c 'import ensurepip' 2>/dev/null; then
            want python3-venv python3-venv python3 python3
        fi
        ;;
    rpm) want rpmbuild rpm rpm-build rpm-build ;;
    # In EPEL, for the RHEL family.
    deb) want dpkg-deb dpkg dpkg dpkg ;;
    tarball) ;;
    aarch64)
        ! have rustup || rustup target list --installed | grep -q '^aarch64-unknown-linux-gnu$' ||
            rustup target add aarch64-unknown-linux-gnu >&2
        want aarch64-linux-gnu-objcopy binutils-aarch64-linux-gnu binutils-aarch64-linux-gnu cross-aarch64-binutils
        # The program writes its man pages itself: with RUNNER, by other means than this.
        if [ -z "${RUNNER+set}" ]; then
            want qemu-aarch64-static qemu-user-static qemu-user-static qemu-linux-user
            if have apt-get && [ ! -e /usr/aarch64-linux-gnu/lib/libc.so.6 ]; then
                want libc6-arm64-cross libc6-arm64-cross
            fi
        fi
        ;;
    *) fail "$purpose: portable, deb, rpm, tarball or aarch64" ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

say "missing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    have sudo || fail "needs root or sudo to install it; ask your administrator for ${missing[*]}"
    as_root=(sudo)
fi

if have apt-get; then
    case " ${missing[*]} " in *" python3 "*) apt+=(python3-venv) ;; esac
    say "installing ${apt[*]} with apt-get"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${apt[@]}" >&2
elif have dnf || have yum; then
    manager=$(have dnf && echo dnf || echo yum)
    say "installing ${dnf[*]} with $manager"
    if ! "${as_root[@]}" "$manager" install -y -q "${dnf[@]}" >&2; then
        case " ${dnf[*]} " in *" dpkg "*) say "RHEL and its kin have dpkg in EPEL: $manager install epel-release" ;; esac
        fail "$manager has not installed it"
    fi
elif have zypper; then
    say "installing ${zypper[*]} with zypper"
    "${as_root[@]}" zypper --non-interactive --quiet install "${zypper[@]}" >&2
else
    fail "no apt-get, dnf, yum or zypper here; install ${missing[*]} by hand, then run this again"
fi

for program in "${missing[@]}"; do
    case $program in python3-venv | libc6-arm64-cross) continue ;; esac
    have "$program" || fail "$program is still missing; see the messages above"
done
