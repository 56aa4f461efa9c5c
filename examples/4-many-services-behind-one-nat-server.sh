#!/bin/sh
# A NAT server 10.0.0.155 with a public address in front of it (1:1 NAT by the cloud; the address is on no interface), private
# services behind it, one of them a database whose address changes in DNS when it fails over, and a way out for all of 10.0.0.0/16.
# Tested with real nginx, sshd, MariaDB and BIND: test/e2e/scenario4.spec.ts
set -eu
gwctl gateway set nat --resolver 10.0.0.2
gwctl forward add web --gateway nat --listen 10.0.0.155:50001 --target 10.0.1.24:80 \
  --description "Web front end" --owner web-team --label team=web --wait
gwctl forward add web-ssh --gateway nat --listen 10.0.0.155:50002 --target 10.0.1.24:22 \
  --allow 198.51.100.0/24 --expires 8h \
  --description "SSH to web for the migration" --owner web-team --label team=web --wait
# New connections follow the name within its TTL; those that are open may finish (--on-change cut ends them).
gwctl forward add db --gateway nat --listen 10.0.0.155:50003 --target db.internal:3306 \
  --allow 198.51.100.0/24 \
  --description "Orders database" --owner db-team --label team=db --wait
# ip_forward and send_redirects are seen to by the agent.
gwctl egress add inside --gateway nat --source 10.0.0.0/16 --out-interface eth0 --wait
gwctl forward list --gateway nat
