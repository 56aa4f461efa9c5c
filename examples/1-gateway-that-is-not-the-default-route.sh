#!/bin/sh
# A gateway 192.168.1.10 / 192.168.2.10 in front of targets whose default route is another router, with ufw dropping by default.
# This one command replaces the DNAT, the SNAT, the two firewall rules, ip_forward and the saving for reboots.
# Tested with real ufw, sshd and git: test/e2e/scenario1.spec.ts
set -eu
gwctl forward add gitbucket-ssh --gateway gw1 \
  --listen 192.168.1.10:10022 --interface enp1s0 \
  --target 192.168.2.122:10022 \
  --allow 192.168.1.0/24 \
  --description "SSH to GitBucket for the lab network" --owner web-team --label team=web \
  --wait
gwctl forward get gitbucket-ssh
