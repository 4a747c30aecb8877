#!/usr/bin/env bash
# Runs a pod that mounts what an API server has, and shows that it arrives in the remote job.
set -euo pipefail

binary=${1:?usage: demo-volumes.sh PATH-OF-interlink-cri}
examples=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/daemon.sh
. "$examples/daemon.sh"

# Where a kubelet would keep its pods. run-pod does as a kubelet does, and writes the volumes there.
export INTERLINK_CRI_PODS_KUBELET_ROOT=$directory/kubelet
# An API server would make this.
printf 'eyJhbGciOi.demo.token\n' >"$directory/token"

start_daemon

say "A pod with a ConfigMap, a Secret and its service account token ($(basename "$examples")/volumes.yaml)"
"$binary" run-pod "$examples/volumes.yaml" --socket "$socket" \
    --kubelet-root "$INTERLINK_CRI_PODS_KUBELET_ROOT" \
    --service-account-token "$directory/token" 2>&1 | tee "$directory/output"

for expected in 'learning_rate = 0.01' 'hunter2' 'eyJhbGciOi.demo.token' 'app="train"'; do
    grep -qF -- "$expected" "$directory/output" || fail "\`$expected\` did not arrive"
done

say "Stopping the daemon and cleaning up"
