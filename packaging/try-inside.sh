# Run by try.sh in a root with a systemd that runs: the life of the package, a deb or an rpm.
set -euo pipefail
format=$1

fail() {
    echo "package-try: $*" >&2
    journalctl --unit interlink-cri --no-pager --lines 30 >&2
    exit 1
}
# until_true COMMAND...: waits half a minute for it.
until_true() {
    for _ in $(seq 150); do
        "$@" && return
        sleep 0.2
    done
    fail "never came true: $*"
}
active() { systemctl is-active --quiet interlink-cri; }
pid() { systemctl show --property MainPID --value interlink-cri; }
another_than() { active && [ "$(pid)" != "$1" ]; }
# Not through a pipe, which journalctl would find closed.
journal_has() { grep --quiet "$1" <<<"$(journalctl --unit interlink-cri --no-pager)"; }
left() { find / -xdev -name '*interlink-cri*' ! -path '/try/*' ! -path '/proc/*'; find /run -name '*interlink-cri*'; }

# What an administrator types. rpm knows no purge: what docs/install.md says is left to the administrator.
deb_install() { dpkg --install "$1"; }
deb_remove() { dpkg --remove interlink-cri; }
deb_purge() { dpkg --purge interlink-cri; }
rpm_dnf() { dnf --assumeyes --quiet --nogpgcheck --disablerepo='*' "$@"; }
rpm_install() { rpm_dnf install "$1"; }
rpm_remove() { rpm_dnf remove interlink-cri; }
rpm_purge() {
    ! rpm --query --quiet interlink-cri || rpm_remove
    rm -rf /var/lib/interlink-cri /etc/interlink-cri
}
# do_package install FILE | remove | purge: shows what was said where it fails.
do_package() { "${format}_$1" "${@:2}" >/try/said 2>&1 || { cat /try/said >&2; fail "$1 failed"; }; }

# What an earlier run left.
"${format}_purge" >/dev/null 2>&1 || true
rm -rf /tmp/go /var/log/interlink-cri-*
before=$(left)
[ -z "$before" ] || fail "there before the installation: $before"

echo "== install"
if [ "$format" = rpm ]; then
    # Without what stands for the distribution's packages it must be refused.
    ! rpm --query --quiet system || rpm_dnf remove system >/dev/null 2>&1
    ! rpm_install /try/1.rpm >/dev/null 2>&1 || fail "it asks for no C library"
    do_package install /try/system.rpm
fi
do_package install "/try/1.$format"
! active || fail "it was started without a configuration"
id plugin >/dev/null 2>&1 || useradd --system plugin
systemd-run --quiet --unit plugin --uid plugin --property RuntimeDirectory=plugin --property StateDirectory=plugin \
    interlink-cri plugin --listen unix:///run/plugin/plugin.sock --root /var/lib/plugin
config=/etc/interlink-cri/config.toml
sed -i 's|^#url = .*|url = "unix:///run/plugin/plugin.sock"|; s|^#local_users = .*|local_users = ["plugin"]|
    s|^#socket_group = .*|socket_group = "interlink"|' $config

echo "== start"
# Returns when the daemon has said that it serves.
systemctl enable --now interlink-cri
[ "$(stat --format %G:%a /run/interlink-cri/interlink-cri.sock)" = interlink:660 ] || fail "the socket's rights"
interlink-cri run-pod /try/hello.yaml

echo "== upgrade in the middle of a pod, then a kill"
cat >/try/long.yaml <<'END'
apiVersion: v1
kind: Pod
metadata: {name: long}
spec:
  containers:
    - name: main
      image: busybox
      command: [sh, -c, 'i=0; while ! test -e /tmp/go; do i=$((i+1)); echo line $i; sleep 0.2; done; exit 5']
END
interlink-cri run-pod /try/long.yaml >/try/long.out 2>&1 &
run=$!
until_true grep --quiet 'line 3$' /try/long.out
old=$(pid)
do_package install "/try/2.$format"
another_than "$old" || fail "the upgrade did not restart the daemon"
grep --quiet '^url = "unix:///run/plugin' $config || fail "the upgrade lost the configuration"
old=$(pid)
kill -KILL "$old"
until_true another_than "$old"
touch /tmp/go
code=0
wait $run || code=$?
[ $code -eq 5 ] || fail "run-pod ended with $code: $(cat /try/long.out)"
sed -n 's/.*| line //p' /try/long.out | awk '$1 != NR {exit 1}' || fail "lines are missing: $(cat /try/long.out)"

echo "== a hang"
mkdir -p /run/systemd/system/interlink-cri.service.d
printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/interlink-cri.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart interlink-cri
old=$(pid)
kill -STOP "$old"
until_true another_than "$old"
rm -r /run/systemd/system/interlink-cri.service.d
systemctl daemon-reload
systemctl restart interlink-cri

echo "== a volume that the kubelet mounts later"
mkdir -p /var/lib/kubelet/try
mount -t tmpfs tmpfs /var/lib/kubelet/try
touch /var/lib/kubelet/try/file
[ -e "/proc/$(pid)/root/var/lib/kubelet/try/file" ] || fail "the daemon does not see it"
umount /var/lib/kubelet/try
rm -r /var/lib/kubelet

echo "== a wrong configuration"
cp $config /try/config.toml
sed -i 's/^#handler_threads = .*/handler_threads = 0/; s/^#workers = .*/workers = 0/' $config
systemctl reload interlink-cri
active || fail "a reload ended it"
! systemctl restart interlink-cri 2>/dev/null || fail "it was started"
for fault in handler_threads workers; do
    until_true journal_has "sh\[.*$fault = 0"
done
cp /try/config.toml $config
until_true active

echo "== remove, purge"
do_package remove
! active || fail "it still runs"
kept=$config
[ "$format" = deb ] || kept=$config.rpmsave
[ -e /var/lib/interlink-cri/state.redb ] && [ -e "$kept" ] || fail "state or configuration went with the removal"
do_package purge
systemctl stop plugin
after=$(left)
[ -z "$after" ] || fail "left behind: $after"
echo "package-try: all is well"
