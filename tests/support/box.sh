#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command in a box of its own: mount, network, process and IPC namespaces, with private
# /run/netns (shared inside, as ip-netns needs), /run/wireguard, /run/warren and /var/log/warren. When the box's
# wrapper ends, however it ends, nothing is left. The command's exit status is passed through. To end a
# box from outside send SIGKILL to the wrapper (unshare holds back SIGTERM and SIGINT).
#
#   box.sh COMMAND [ARGUMENT…]
#
# Tests find the tree in WARREN_SRC and the programs in WARREN_BIN; unset: this tree, its release build.
set -u
# What the caller's login put into the environment is no part of a test.
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin" SHELL=/bin/bash HOME=/root USER=root LOGNAME=root TERM=xterm
unset SSH_AUTH_SOCK SSH_CONNECTION SSH_CLIENT SSH_TTY SSH_ASKPASS DISPLAY WAYLAND_DISPLAY LANG LANGUAGE TZ MAIL XDG_RUNTIME_DIR

WARREN_SRC=${WARREN_SRC:-$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)}
WARREN_BIN=${WARREN_BIN:-$WARREN_SRC/build/release/bin}
export WARREN_SRC WARREN_BIN
if (($# == 0)); then
	echo "usage: box.sh COMMAND [ARGUMENT…]" >&2
	exit 2
fi
if ((EUID != 0)); then
	echo "box.sh: skipped: needs root to make namespaces" >&2
	exit 77
fi
if ! unshare --mount --net --pid --ipc --fork true 2>/dev/null; then
	echo "box.sh: skipped: this machine allows no namespaces (the container needs CAP_SYS_ADMIN)" >&2
	exit 77
fi

# The mount points must be there before the box has its own view.
mkdir -p /run/netns /run/wireguard /run/warren /run/warren-build /var/log/warren || exit 77

# exec: killing this process kills the box (--kill-child).
exec unshare --mount --net --pid --ipc --fork --kill-child=KILL --mount-proc --propagation private \
	bash -c '
		set -e
		for folder in netns wireguard warren; do
			mount -t tmpfs -o mode=0755 "box-$folder" "/run/$folder"
		done
		mount -t tmpfs -o mode=0700 box-log /var/log/warren # audit logs of warren sshd
		mount --make-shared /run/netns
		# What root has a shell do at each start is no part of a test, and may hang when one was killed.
		for file in .profile .bash_profile .bash_login .bashrc; do
			[ ! -f "/root/$file" ] || mount --bind /dev/null "/root/$file"
		done
		ip link set lo up
		# Other accounts run the programs too, and the tree may be below a closed home.
		[ ! -d "$WARREN_BIN" ] || mount --bind "$(dirname "$WARREN_BIN")" /run/warren-build
		[ ! -d "$WARREN_BIN" ] || WARREN_BIN=/run/warren-build/$(basename "$WARREN_BIN")
		set +e
		# Not exec: process 1 has to reap what daemons leave behind, and the command keeps the
		# signal behaviour that every other process has.
		"$@"
		exit $?
	' box "$@"
