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
