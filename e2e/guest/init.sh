#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# /init of the guest: sets the machine up, runs /script with the functions
# below at hand, writes /out as a tar to the first disk, and powers off. Where
# the guest has systemd, this is the service of that; on v2 only.
OWN=${0%/*} # where this file and the script are.
if [ $$ = 1 ]; then
  /bin/busybox mkdir -p /proc /sys /dev /tmp /run /out
  /bin/busybox --install -s /bin
  export PATH=/bin HOME=/
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs dev /dev
  mount -t tmpfs tmpfs /tmp
  mount -t tmpfs tmpfs /run
  mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null

  for m in $(cat /modules/order); do insmod "/modules/$m" || echo "insmod $m failed"; done
  n=0
  while [ ! -b /dev/vda ] || [ ! -e /sys/class/net/eth0 ]; do
    sleep 0.05
    n=$((n + 1))
    [ $n -lt 400 ] || { echo "no disk or no network card"; poweroff -f; }
  done
  ip link set lo up
  ip link set eth0 up
  ip addr add 10.0.2.15/24 dev eth0
  root=$(sed -n 's/.*oom_root=\([a-z]*\).*/\1/p' /proc/cmdline)
  if [ -b /dev/vdb ] && [ "$root" != vdb ]; then
    mkswap /dev/vdb >/dev/null && swapon /dev/vdb
  fi
  if [ -n "$root" ]; then # systemd takes over and starts this file again, as a service.
    mkdir /newroot
    mount -t ext4 -o noatime "/dev/$root" /newroot || { echo "no root disk"; poweroff -f; }
    umount /sys/kernel/tracing /sys /tmp /run /proc
    mount --move /dev /newroot/dev
    exec switch_root /newroot /lib/systemd/systemd
  fi
else
  /oom/bin/busybox --install -s /oom/bin
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/oom/bin HOME=/
fi

# The control line to the host. It stays open: a closed tty forgets its input.
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo

# V is the cgroup version, R the root of the memory hierarchy.
V=2 R=/sys/fs/cgroup
grep -q oom_cgroup=1 /proc/cmdline && V=1
if [ $V = 1 ]; then # hybrid, as systemd mounted it on old nodes.
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/memory /sys/fs/cgroup/unified
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  mount -t cgroup -o memory cgroup /sys/fs/cgroup/memory || { echo "no cgroup v1 memory controller"; poweroff -f; }
  R=/sys/fs/cgroup/memory
  echo 1 2>/dev/null >$R/memory.use_hierarchy
elif [ $$ = 1 ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
export V R

# mkgroup PATH [LIMIT]: makes a memory cgroup with its parents.
mkgroup() {
  _dir=$R
  for _part in $(echo "$1" | tr / ' '); do
    [ $V = 1 ] || echo +memory >"$_dir/cgroup.subtree_control"
    _dir=$_dir/$_part
    [ -d "$_dir" ] || mkdir "$_dir"
  done
  [ -z "${2:-}" ] || limit "$1" "$2"
}

# limit PATH BYTES|K|M: sets a group's own limit.
limit() {
  if [ $V = 1 ]; then echo "$2" >"$R$1/memory.limit_in_bytes"; else echo "$2" >"$R$1/memory.max"; fi
}

# run PATH STEP...: a hog in the group, in the background; its pid is in $!.
run() {
  _procs=$R$1/cgroup.procs
  shift
  hog "enter:$_procs" "$@" 3>&- &
}

# stopped PID: waits until the process has stopped itself.
stopped() {
  _n=0
  until grep -q '^State:.T' "/proc/$1/status"; do
    sleep 0.05
    _n=$((_n + 1))
    [ $_n -lt 600 ] || { echo "pid $1 did not stop"; return 1; }
  done
}

# exporter [FLAG...]: starts the exporter where the host can reach it, and
# waits until it is ready; its pid is in $EXPORTER.
exporter() {
  oom_exporter --web.listen-address=0.0.0.0:10137 "$@" >/out/exporter.log 2>&1 3>&- &
  EXPORTER=$!
  _n=0
  until hog get:10137:/-/ready exit:0 >/dev/null; do
    sleep 0.1
    _n=$((_n + 1))
    [ $_n -lt 300 ] && [ -d /proc/$EXPORTER ] || { cat /out/exporter.log; return 1; }
  done
}

# say WORD..: a line to the host; await WORD: waits for one from it.
say() { echo "$*" >&3; }
await() {
  read -r _line <&3
  [ "$_line" = "$1" ] || { echo "expected $1 from the host, got $_line"; return 1; }
}

# save NAME PATH: keeps the group's memory files for the host, as NAME/FILE.
save() {
  mkdir -p "/out/$1"
  for _f in "$R$2"/memory.* "$R$2"/cgroup.procs; do
    cat "$_f" >"/out/$1/${_f##*/}" 2>/dev/null || rm -f "/out/$1/${_f##*/}"
  done
}

(set -eu; . "$OWN/script")
echo $? >/out/status
cat /proc/uptime >/out/uptime
dmesg -r >/out/dmesg
tar cf /dev/vda -C /out .
sync
poweroff -f
