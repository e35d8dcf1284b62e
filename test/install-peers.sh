#!/usr/bin/env bash
# Installs what the tests talk to, where it is not there yet. A peer is
# installed, never skipped. Needs Debian (or a kin of it) and root or sudo.
set -euo pipefail

declare -A package=(
  [sipp]=sip-tester
  [baresip]=baresip-core
  [rtpengine]=rtpengine-daemon
  [redis-server]=redis-server
  [promtool]=prometheus
  [gcc]=gcc
  [svwar]=sipvicious
  [kamailio]=kamailio
  [linphonec]=linphone-cli
)
# Not on the PATH: /usr/lib/postgresql/VERSION/bin.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || postgres=postgresql
missing=(${postgres:-})
for command in "${!package[@]}"; do
  command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
compgen -G '/usr/lib/*/kamailio/modules/tls.so' >/dev/null || missing+=(kamailio-tls-modules)
# The race detector links against the C library.
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install-peers: no apt-get here; please install: ${missing[*]}" >&2
  exit 1
fi
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
echo "installing test peers: ${missing[*]}"
log=$(mktemp)
# A package that brings a service must not start it: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod +x "$policy"
  trap '$sudo rm -f "$policy"; rm -f "$log"' EXIT
else
  trap 'rm -f "$log"' EXIT
fi
if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
