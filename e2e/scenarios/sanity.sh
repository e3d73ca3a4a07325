# SPDX-License-Identifier: Apache-2.0
# A group with a limit of 64 MiB and a stopped process of 20 MiB in it: the
# kernel's files before and after the host's scrape. It is the node's next victim,
# however large the exporter is.
mkgroup /sanity/limited 64M
run /sanity/limited comm:twenty adj:500 anon:20M stop
hog=$!
stopped $hog
exporter
sleep 3 # the kernel brings memory.stat up to date every 2 s.
save before /sanity/limited
say ready
await scraped
save after /sanity/limited
