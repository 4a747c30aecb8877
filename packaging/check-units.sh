#!/usr/bin/env bash
# What systemd says of the unit and of the drop-ins, without a systemd that runs.
#
#   check-units.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")

units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
# The sandbox must stay as tight as docs/security.md says: at most 2.5 of systemd's 10.
limit=25

mkdir "$units/bin"
ln -s "$program" "$units/bin/interlink-cri"
sed "s|@BINDIR@|$units/bin|" packaging/interlink-cri.service >"$units/interlink-cri.service"
for service in kubelet k3s-agent; do
    printf '[Service]\nExecStart=/bin/true\n' >"$units/$service.service"
    mkdir "$units/$service.service.d"
    for example in packaging/systemd/$service.service.d/*.conf; do
        sed "s|@BINDIR@|$units/bin|" "$example" >"$units/$service.service.d/${example##*/}"
    done
done
for service in interlink-cri kubelet k3s-agent; do
    # The end of the path says: and the system's own units.
    said=$(SYSTEMD_UNIT_PATH="$units:" systemd-analyze verify --man=no "$units/$service.service" 2>&1) || true
    # Other units of the machine are none of ours.
    if said=$(grep -F "$units" <<<"$said"); then
        echo "$said" >&2
        echo "systemd-analyze verify finds fault with $service.service" >&2
        exit 1
    fi
done
echo "systemd-analyze verify: unit and drop-ins are well"
# Since 250.
if systemd-analyze security --help | grep -q -- --offline; then
    systemd-analyze security --no-pager --offline=true --threshold=$limit "$units/interlink-cri.service" |
        tail -n 1
fi
