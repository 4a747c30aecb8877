# Sourced by the scripts beside it: the version, the one time that all files of a package have, and where
# packages are made.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
# A site that passes packages on says who answers for them.
maintainer=${MAINTAINER:-"interlink-cri <interlink-cri@localhost>"}
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
package=${PACKAGE_DIR:-target/package}

# The machine that a program is for, as `uname -m` has it.
machine() {
    case $(readelf --file-header "$1") in
    *AArch64*) echo aarch64 ;;
    *) echo x86_64 ;;
    esac
}

# split_symbols PROGRAM DIRECTORY [TOOLS]: puts the program there without its debug symbols, and these beside it.
# TOOLS stands before the names of objcopy and strip.
split_symbols() {
    mkdir -p "$2"
    "${3-}objcopy" --only-keep-debug --compress-debug-sections "$1" "$2/interlink-cri.debug"
    "${3-}strip" --strip-unneeded --remove-section=.comment -o "$2/interlink-cri" "$1"
    (cd "$2" && "${3-}objcopy" --add-gnu-debuglink=interlink-cri.debug interlink-cri)
    chmod 0755 "$2/interlink-cri"
    chmod 0644 "$2/interlink-cri.debug"
}
