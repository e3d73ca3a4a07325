# SPDX-License-Identifier: Apache-2.0
# Runs in a guest with systemd: the package from its installation to its end. In
# /oom/page are the page's commands, run by dash: busybox takes its own dpkg before any other.
mkdir -p -m 1777 /var/tmp
mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers
touch /var/lib/dpkg/status /var/lib/dpkg/available

active() { systemctl is-active oom_exporter >"/out/active-$1" || true; }

# A unit of its own: systemd-run would need a message bus.
cat >/etc/systemd/system/memhog.service <<-UNIT
	[Service]
	Type=oneshot
	MemoryMax=24M
	MemorySwapMax=0
	ExecStart=$(command -v hog) comm:unit anon:100M
UNIT
systemctl daemon-reload
kill_one() { systemctl start memhog || true; }

# answers: waits until the service is asked with success, as the page asks it.
answers() {
  _n=0
  until dash /oom/page/curl >/out/curl; do
    sleep 1
    _n=$((_n + 1))
    [ $_n -lt 120 ] || { systemctl status oom_exporter --no-pager; journalctl -u oom_exporter --no-pager | tail -30; return 1; }
  done
}

say "systemd $(systemctl --version | sed -n '1s/systemd //p')"
dash /oom/page/install
active before
dash /oom/page/enable
answers
active installed
systemctl is-enabled oom_exporter >/out/enabled
systemctl show --property MainPID oom_exporter >/out/pid-installed
cat "/proc/$(systemctl show --property MainPID --value oom_exporter)/status" >/out/process
kill_one
say installed

await upgrade
dash /oom/page/install
answers
active upgraded
systemctl show --property MainPID oom_exporter >/out/pid-upgraded
kill_one
say upgraded

await purge
dash /oom/page/restart
answers
active restarted
/usr/bin/dpkg --purge oom-exporter
active removed
find / -xdev -name '*oom[-_]exporter*' -not -path '/oom/*' -not -path /bin/oom_exporter -not -path '/proc/*' -not -path '/out/*' -not -path '/var/lib/dpkg/*' >/out/left
find /run -name '*oom[-_]exporter*' >>/out/left
journalctl -u oom_exporter --no-pager >/out/journal
