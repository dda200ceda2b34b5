#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# warren-ssh in front of a server that means harm (tests/support/hostile_server.py): channels that nobody asked for, escape
# sequences, noise before and behind the key exchange.
set -u
bin=${WARREN_BIN:?}
python=/usr/bin/python3
"$python" -c 'import paramiko' 2>/dev/null || { echo "skipped: python3-paramiko is missing"; exit 77; }
dir=$(mktemp -d /tmp/hostile_server.XXXXXX)
trap 'rm -rf "$dir"' EXIT
for key in id hostkey; do ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
"$python" "$WARREN_SRC/tests/support/hostile_server.py" "$bin/warren-ssh" "$dir"
