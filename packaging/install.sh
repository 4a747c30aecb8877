#!/bin/sh
# Installs interlink-cri from the directory that this script lies in; or takes it away again.
#
#   ./install.sh               into /usr/local, with the unit in /etc/systemd/system
#   PREFIX=/opt/x ./install.sh elsewhere; DESTDIR=/image ./install.sh into another root
#   ./install.sh --remove      configuration and state stay
#
# A configuration that is there is kept. Nothing is started.
set -eu
cd "$(dirname "$0")"
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
units=$root/etc/systemd/system

if [ "${1-}" = --remove ]; then
    (cd usr && find . -type f) | while read -r file; do
        case $file in
        ./lib/systemd/*) rm -f "$units/interlink-cri.service" ;;
        *) rm -f "$root$prefix/$file" ;;
        esac
    done
    rm -rf "$root$prefix/share/doc/interlink-cri"
    echo "removed; /etc/interlink-cri and /var/lib/interlink-cri stay"
    exit
fi

(cd usr && find . -type f) | while read -r file; do
    case $file in
    ./bin/*) install -D -m 0755 "usr/$file" "$root$prefix/$file" ;;
    ./lib/systemd/*)
        mkdir -p "$units"
        sed "s|/usr/bin/|$prefix/bin/|" "usr/$file" >"$units/interlink-cri.service"
        chmod 0644 "$units/interlink-cri.service"
        ;;
    *) install -D -m 0644 "usr/$file" "$root$prefix/$file" ;;
    esac
done
config=$root/etc/interlink-cri/config.toml
[ -e "$config" ] || install -D -m 0640 etc/interlink-cri/config.toml "$config"
echo "installed below $prefix; edit /etc/interlink-cri/config.toml, then:"
echo "  systemctl daemon-reload && systemctl enable --now interlink-cri"
