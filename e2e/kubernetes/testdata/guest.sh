# SPDX-License-Identifier: Apache-2.0
# Runs in a guest with systemd: a node of containerd and kubelet, without an API
# server; its pods are static.
serve() { # UNIT URL COMMAND...: a service that answers.
  _unit=$1 _url=$2
  shift 2
  systemd-run --quiet --unit="$_unit" --setenv=PATH="$PATH" -p Delegate=yes "$@"
  _n=0
  until hog "get:$_url" exit:0 >/dev/null 2>&1; do
    sleep 0.5
    _n=$((_n + 1))
    [ $_n -lt 240 ] || { journalctl -u "$_unit" --no-pager | tail -30; return 1; }
  done
}

# settled keeps what is known without rights, and tells whether that is all: a
# kill waits 10 s for evidence, and kubelet may be slow to link a log.
settled() {
  hog get:10138:/metrics exit:0 >/out/nobody
  [ "$(grep -c '^oom_container_memory_usage_bytes{container="calm"' /out/nobody)" = 4 ] && grep -q '^oom_pending_kills 0$' /out/nobody
}

say "systemd $(systemctl --version | sed -n '1s/systemd //p')"
mkdir -p /etc/manifests
systemctl start containerd
for image in hog pause; do
  ctr -n k8s.io image import --snapshotter native "/oom/$image.tar"
done
exporter --path.rootfs=/
serve nobody 10138:/-/ready -p User=nobody -p NoNewPrivileges=yes oom_exporter --web.listen-address=127.0.0.1:10138
serve kubelet 10248:/healthz /oom/kubelet --config=/oom/kubelet.yaml --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki \
  --hostname-override=e2e-node --node-ip=10.0.2.15
cp /oom/pods/* /etc/manifests
say kubelet

await unit
systemd-run --quiet --unit=memhog -p MemoryMax=24M -p MemorySwapMax=0 hog comm:unit anon:100M
await save
_n=0
until settled; do
  sleep 1
  _n=$((_n + 1))
  [ $_n -lt 60 ] || break
done
hog get:10255:/pods exit:0 >/out/pods.json
hog get:10255:/metrics/cadvisor exit:0 >/out/cadvisor
grep . $(find /sys/fs/cgroup -path '*kubepods*' -name memory.events) >/out/events
cat /proc/vmstat >/out/vmstat
journalctl -u kubelet --no-pager >/out/kubelet.log
cp -r /var/log/pods /out/logs
ls -l /var/log/containers >/out/containers
