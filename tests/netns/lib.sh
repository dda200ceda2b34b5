# SPDX-License-Identifier: Apache-2.0
# Sourced by the end-to-end tests, inside a box (tests/support/box.sh): a mesh of real programs.
#
#     first 192.0.2.2 ---- router ---- 203.0.113.2 second
#                             |
#                        198.51.100.2 control
#
# Everything lives in the box's own mounts and namespaces and ends with it.
set -euo pipefail
export LC_ALL=C.UTF-8
export PATH=$WARREN_BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
T=/mnt/warren-test
USER_MAIL=alice@example.com
CONTROL_URL=https://198.51.100.2:8443

skip() {
	echo "skipped: $*"
	exit 77
}
fail() {
	echo "FAILED: $*" >&2
	for f in "$T"/log/*; do
		[ -f "$f" ] || continue
		echo "--- $f" >&2
		tail -n 40 "$f" >&2
	done
	exit 1
}
note() { echo "-- $*"; }
trap 'echo "stopped at line $LINENO: $BASH_COMMAND" >&2' ERR

prepare() {
	local f
	[ "$(id -u)" = 0 ] || skip "needs root"
	mount -t tmpfs t /mnt
	mkdir -p $T/log $T/pids $T/home/deploy $T/etc $T/bin
	chmod 755 /mnt $T
	# Where other accounts can run them too: the build may be below somebody's closed home.
	for f in warren warrend warren-control warren-ssh warren-ssh-session warren-ssh-worker warren-sftp-server warren-wg; do
		cp "$WARREN_BIN/$f" $T/bin/$f
	done
	if [ -d "$WARREN_BIN/../lib" ]; then
		cp -r "$WARREN_BIN/../lib" $T/lib
	fi
	WARREN_BIN=$T/bin
	PATH=$T/bin:$PATH
	for f in passwd group shadow; do
		cp -p /etc/$f $T/etc/$f
	done
	id=61800
	for f in warren warren-engine warren-verifier warren-ssh warren-control; do
		sed -i "/^$f:/d" $T/etc/passwd $T/etc/group $T/etc/shadow
		echo "$f:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>$T/etc/passwd
		echo "$f:x:$id:" >>$T/etc/group
		echo "$f:!*:19000::::::" >>$T/etc/shadow
		id=$((id + 1))
	done
	add_account deploy 61810 /bin/bash '*'
	for f in passwd group shadow; do
		mount --bind $T/etc/$f /etc/$f
	done
	mkdir -p /etc/netns
	mount -t tmpfs t /etc/netns
}
add_account() { # NAME UID SHELL PASSWORD-FIELD
	local f rest
	# Written in place: the files may be mounted over the machine's already.
	for f in passwd group shadow; do
		rest=$(grep -v "^$1:" $T/etc/$f || true)
		printf '%s\n' "$rest" >$T/etc/$f
	done
	echo "$1:x:$2:$2::$T/home/$1:$3" >>$T/etc/passwd
	echo "$1:x:$2:" >>$T/etc/group
	echo "$1:$4:19000:0:99999:7:::" >>$T/etc/shadow
	mkdir -p $T/home/$1
	chown $2:$2 $T/home/$1
	chmod 700 $T/home/$1
}

network() {
	local ns
	for ns in first second control router; do
		ip netns add $ns
		ip -n $ns link set lo up
		mkdir -p /etc/netns/$ns
	done
	link first 192.0.2
	link second 203.0.113
	link control 198.51.100
	ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	for ns in first second; do
		cp -a /etc/ssh /etc/netns/$ns/ssh
		rm -f /etc/netns/$ns/ssh/ssh_host_*
	done
}
link() { # NAMESPACE NETWORK
	ip link add v-$1 netns $1 type veth peer name v-$1 netns router
	ip -n $1 addr add $2.2/24 dev v-$1
	ip -n router addr add $2.1/24 dev v-$1
	ip -n $1 link set v-$1 up
	ip -n router link set v-$1 up
	ip -n $1 route add default via $2.1
}

spawn() { # NAME NAMESPACE COMMAND…
	local name=$1 ns=$2
	shift 2
	ip netns exec "$ns" "$@" >>$T/log/$name 2>&1 </dev/null &
	echo $! >$T/pids/$name
}
stop() { # NAME [SIGNAL]
	local pid
	pid=$(cat $T/pids/$1)
	kill -${2:-TERM} "$pid" 2>/dev/null || true
	for _ in $(seq 1200); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.05
	done
	fail "$1 does not end"
}
# Nothing here may depend on how fast a machine is: SECONDS end what would hang, and prove nothing.
within() { # SECONDS COMMAND…: until it succeeds
	local limit=$((SECONDS + $1))
	shift
	until ("$@") >/dev/null 2>&1; do # apart: what fails may end the shell
		[ $SECONDS -lt $limit ] || fail "not within the time: $*"
		sleep 0.1
	done
}
listening() { # NAMESPACE PORT: waits until somebody listens there
	within 60 sh -c "ip netns exec $1 ss -Hltn | grep -q ':$2 '"
}
expect() { # STATUS COMMAND…: output goes to $T/out
	local want=$1 got=0
	shift
	"$@" >$T/out 2>&1 || got=$?
	[ $got = "$want" ] || {
		cat $T/out >&2
		fail "exit status $got instead of $want: $*"
	}
}
becomes() { # STATUS COMMAND…: as expect, as soon as what was changed before has arrived
	local want=$1 got limit=$((SECONDS + 60))
	shift
	while :; do
		got=0
		"$@" >$T/out 2>&1 || got=$?
		[ $got != "$want" ] || return 0
		[ $SECONDS -lt $limit ] || break
		sleep 0.1
	done
	cat $T/out >&2
	fail "exit status $got instead of $want: $*"
}
arrived() { # PEER: the last change at control, which has to concern it (its policy, say), is in force there
	local revision
	revision=$(ctl --json network | jq .revision)
	awk -v revision=$revision '
		match($0, / map revision=[0-9]+/) { seen = substr($0, RSTART + 14, RLENGTH - 14) + 0 }
		/ map revision=.* components=1/ { due = seen }
		match($0, / the map is in force revision=[0-9]+/) { done = substr($0, RSTART + 30, RLENGTH - 30) + 0 }
		END { exit !(seen >= revision && done >= due) }' $T/log/$1
}
says() { # TEXT: the last `expect` said so
	grep -qiE -- "$1" $T/out || {
		cat $T/out >&2
		fail "the output does not say: $1"
	}
}
one_sentence() { # the last `expect` printed one line for a person
	[ "$(grep -c . $T/out)" = 1 ] || {
		cat $T/out >&2
		fail "more or less than one line of explanation"
	}
}

on() { # PEER COMMAND…
	local ns=$1
	shift
	WARREN_SOCKET=$T/$ns.sock ip netns exec "$ns" "$@"
}
ctl() { ip netns exec control warren-control --socket $T/control.sock "$@"; }

control_start() {
	spawn control control warren-control serve --demo --state-dir $T/control --listen 0.0.0.0:8443 \
		--public-url $CONTROL_URL --stun 0.0.0.0:3478 --socket $T/control.sock
	within 60 ctl peer list
}
peer_start() { # NAME [ARGUMENTS…]
	local name=$1
	shift
	spawn "$name" "$name" warrend --state-dir $T/$name --socket $T/$name.sock --log-level debug "$@"
	within 60 on "$name" warren status --check live
}
policy() { # reads a policy from standard input
	cat >$T/policy.json
	ctl policy set $T/policy.json
}
usual_policy() {
	policy <<EOF
{
  "groups": { "ops": ["$USER_MAIL"] },
  "hosts": { "servers": ["peer:second"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22,7000-7010" } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["deploy"],
             "allow": ["shell", "exec", "sftp", "forward", "remote-forward", "agent"] } ]
}
EOF
}
user() {
	head -c 18 /dev/urandom | base64 | tr '+/' '-_' >$T/password
	ctl user add $USER_MAIL --password-file $T/password
}
setup_key() { # ARGUMENTS of setup-key create: prints the file
	ctl setup-key create "$@" >$T/setup-key
	echo $T/setup-key
}
SSH_FLAGS="--allow-server-ssh --enable-ssh-sftp --enable-ssh-local-port-forwarding
 --enable-ssh-remote-port-forwarding"
direct() { on "$1" warren --json status | jq -e '.peers.connected > 0 and (.peers.details | all(.connectionType == "direct"))'; }
mesh() { # control, two peers, user and policy: direct paths
	network
	control_start
	user
	setup_key --name test --reusable --expires 1h >/dev/null
	peer_start first
	peer_start second
	usual_policy
	# shellcheck disable=SC2086
	on second warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname second $SSH_FLAGS
	on first warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname first \
		--ssh-jwt-cache-ttl 3600
	within 60 direct first
	within 60 direct second
	within 60 served second
	within 60 on first warren openssh detect second.warren.internal 22
}
served() { # PEER: its SSH server listens, in the namespace of its own
	local fd
	for fd in /proc/"$(cat $T/pids/$1)"/fd/*; do
		[[ $(readlink $fd) == net:* ]] || continue
		[[ $(nsenter --net=$fd ss -Hltn) != *:22022\ * ]] || return 0
	done
	return 1
}
ends() { # DESCRIPTOR FILE: lines that are written there come back in FILE no more
	local n limit=$((SECONDS + 60))
	for ((n = 1; SECONDS < limit; n++)); do
		(echo "probe $n" >&$1) 2>/dev/null || return 0
		sleep 2
		grep -qx "probe $n" $2 || return 0
	done
	return 1
}
overlay() { on "$1" warren --json status | jq -r .overlayIp; }

signin_url() { # URL
	ip netns exec first env WARREN_SIGNIN_USER=$USER_MAIL WARREN_SIGNIN_PASSWORD_FILE=$T/password \
		WARREN_SIGNIN_CURL_OPTS=-k bash "$WARREN_SRC/tests/support/signin.sh" "$1" >>$T/log/signin 2>&1
}
urls() { # FILE: the URLs in it, but for one that is being written
	tr '\r\n' '  ' <"$1" | grep -aoE 'https://[^[:space:]"]+[[:space:]"]' | tr -d ' "'
}
signin_from() { # FILE: waits for a URL in it and signs in there
	local limit=$((SECONDS + 60)) url=
	while [ -z "$url" ]; do
		[ $SECONDS -lt $limit ] || return 1
		url=$(urls "$1" 2>/dev/null | head -n 1 || true)
		sleep 0.1
	done
	signin_url "$url"
}
login() { # first's root is logged in
	: >$T/prompt
	signin_from $T/prompt &
	on first warren login 2>$T/prompt >$T/login-out || fail "warren login: $(cat $T/prompt)"
	wait $!
}
