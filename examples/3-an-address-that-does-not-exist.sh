#!/bin/sh
# 1:1 NAT between two segments: what 192.168.100.1 sends to 192.168.100.3, an address nobody has, arrives at 192.168.200.3,
# which knows nothing of that segment. vm02 (192.168.100.2 on eth0, 192.168.200.2 on eth1) answers ARP for the address.
# This one command replaces a static route on every client, the DNAT, the MASQUERADE, ip_forward and the FTP helper.
# Tested with real ping, ssh, curl, dig, MariaDB and vsftpd: test/e2e/scenario3.spec.ts
set -eu
gwctl forward add legacy-db --gateway vm02 --listen 192.168.100.3/all --target 192.168.200.3 --announce --wait
gwctl forward get legacy-db
