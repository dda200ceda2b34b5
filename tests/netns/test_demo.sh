#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The README's first command, on the programs that are built already: the whole walk, then --keep and
# --end; nothing is left behind.
set -euo pipefail
# The box's /run, where the programs are, is covered by one of the demo's own.
mount -t tmpfs t /mnt
mkdir /mnt/build
mount --bind "$(dirname "$WARREN_BIN")" /mnt/build
WARREN_BIN=/mnt/build/$(basename "$WARREN_BIN")
mount -t tmpfs t /run
mkdir -p /run/netns
mkdir -p /etc/netns
mount -t tmpfs t /etc/netns
mount -t tmpfs t /usr/local/bin
mount -t tmpfs t /usr/local/lib
demo=$WARREN_SRC/packaging/demo.sh
export WARREN_DEMO_BIN=$WARREN_BIN

"$demo" </dev/null
"$demo" --keep </dev/null
if "$demo" </dev/null 2>/tmp/demo-refused.$$; then
	echo "FAILED: a plain run beside a kept one must be refused" >&2
	exit 1
fi
grep -q 'a demo is up already' /tmp/demo-refused.$$ && rm -f /tmp/demo-refused.$$
# shellcheck disable=SC1091
. /run/warren-demo/env
[ "$(ip netns exec "$WARREN_DEMO_NS1" ssh -o BatchMode=yes "$WARREN_DEMO_LOGIN@$WARREN_DEMO_HOST2" id -un)" = "$WARREN_DEMO_LOGIN" ]
[ "$(ip netns exec "$WARREN_DEMO_NS1" warren ssh "$WARREN_DEMO_LOGIN@$WARREN_DEMO_HOST2" id -un)" = "$WARREN_DEMO_LOGIN" ]
"$demo" --end </dev/null
[ -z "$(ls /run/netns)" ] && [ ! -e /run/warren-demo ] && [ -z "$(ls /usr/local/bin /usr/local/lib | grep warren)" ]
