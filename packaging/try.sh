#!/usr/bin/env bash
# Goes through what an administrator does with a package, under a systemd of its own: that is PID 1 of a namespace, in
# a root made by debootstrap. Install, start, upgrade in the middle of a pod, a kill, a hang, a wrong configuration,
# removal, purge. Needs root, debootstrap, and three minutes the first time.
#
#   try.sh PROGRAM [FORMAT [SUITE]]     FORMAT is deb, or rpm, which dnf installs; SUITE is one of Debian: bookworm
#
# A PROGRAM with its debug symbols beside it (target/package/bin/interlink-cri) is packed as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
format=${2:-deb}
suite=${3:-bookworm}

[ "$(id -u)" -eq 0 ] || { echo "package-try needs root, to make namespaces" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing; install it" >&2; exit 1; }

export PACKAGE_COMPRESSION=fast PACKAGE_DIR=target/package-try
source packaging/version.sh
root=$PWD/$package/$suite-$format
include=systemd,systemd-sysv,dbus,procps
[ "$format" = deb ] || include+=,rpm,dnf
if [ ! -e "$root/made" ]; then
    echo "== debootstrap"
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=$include "$suite" "$root" >"$package/debootstrap.log"
    touch "$root/made"
fi

echo "== pack, twice"
if [ -e "$program.debug" ]; then
    rm -rf "$package/bin"
    mkdir "$package/bin"
    cp "$program" "$program.debug" "$package/bin"
else
    split_symbols "$program" "$package/bin"
fi
./packaging/stage.sh
rm -rf "$root/try" "$package"/*.deb "$package"/*.rpm
mkdir "$root/try"
for revision in 1 2; do
    REVISION=$revision "./packaging/$format/build.sh" >/dev/null 2>&1
    cp "$package/interlink-cri"[-_]"$version-$revision"[._]*."$format" "$root/try/$revision.$format"
done
# The root's packages are Debian's, of which rpm knows nothing: this one says what its C library has.
[ "$format" = deb ] || ./packaging/rpm/system.sh "$root" "$root/try/system.rpm"
cp examples/hello.yaml packaging/try-inside.sh "$root/try"

# Becomes systemd: PID 1 with its own mounts and a cgroup below which it may do as it likes.
boot() {
    set -euo pipefail
    root=$1 cgroups=$(mktemp -d)
    mount -t cgroup2 none "$cgroups"
    mkdir -p "$cgroups/interlink-cri-try"
    echo 0 >"$cgroups/interlink-cri-try/cgroup.procs"
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount --bind "$cgroups/interlink-cri-try" "$root/sys/fs/cgroup"
    umount --lazy "$cgroups"
    rmdir "$cgroups"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    cd "$root"
    mkdir -p old
    pivot_root . old
    umount --lazy /old
    # As on a machine, where the kubelet's mounts are seen by services.
    mount --make-rshared /
    # Debian 11 has a systemd that ends where its cgroup is not the root of the namespace.
    exec env --ignore-environment container=other unshare --cgroup /lib/systemd/systemd --log-target=journal --show-status=no
}
export -f boot

echo "== boot"
unshare --mount --pid --fork --kill-child --ipc --uts --net --propagation private \
    bash -c 'boot "$0"' "$root" </dev/null >"$package/boot.log" 2>&1 &
namespace=$!
finish() {
    # PID 1 goes with it, and all that it started.
    kill -KILL "$namespace" 2>/dev/null || true
    wait "$namespace" 2>/dev/null || true
    # Its cgroups can be removed when all processes have gone.
    unshare --mount bash -c 'mount -t cgroup2 none /mnt
        for _ in $(seq 50); do
            find /mnt/interlink-cri-try -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done' || true
}
trap finish EXIT
inside() {
    local init
    init=$(pgrep --parent "$namespace")
    # The directory of the one who asks is not there.
    nsenter --target "$init" --mount --pid --ipc --uts --net --root="/proc/$init/root" \
        env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c 'cd / && exec "$@"' sh "$@"
}
for _ in $(seq 100); do
    case $(inside systemctl is-system-running 2>/dev/null || true) in
    running | degraded) break ;;
    esac
    sleep 0.3
done
pgrep --parent "$namespace" >/dev/null || { echo "systemd ended: $(cat "$package/boot.log")" >&2; exit 1; }
inside bash /try/try-inside.sh "$format"
