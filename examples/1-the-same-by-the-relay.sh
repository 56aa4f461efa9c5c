#!/bin/sh
# The forward of 1-gateway-that-is-not-the-default-route.sh, carried by the relay: for a gateway on which nobody may touch the firewall,
# where socat or nginx would be used otherwise. Replies come back because the relay's connections are the gateway's own.
# Tested with real ufw under traffic: test/e2e/scenario1-relay.spec.ts
set -eu
gwctl forward set gitbucket-ssh --driver relay --wait
# Nothing of it is left in the kernel, but that the port is open to 192.168.1.0/24 although ufw drops.
gwctl forward get gitbucket-ssh
# What only the relay can do: at most 20 connections of one client, and the end of those that lie idle for eight hours.
gwctl forward set gitbucket-ssh --max-connections-per-client 20 --tcp-idle-timeout 8h --wait
# And back to the kernel, which has neither.
gwctl forward set gitbucket-ssh --max-connections-per-client none --tcp-idle-timeout default --driver auto --wait
