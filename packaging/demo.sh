#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A whole mesh on one machine, with real programs, and a walk through the main job:
#
#     first (peer)          second (peer)         control
#     192.0.2.2 ----------- 203.0.113.2 --------- 198.51.100.2
#              \________________ | ______________/
#                             router
#
#   packaging/demo.sh          runs the walk and takes everything away again
#   packaging/demo.sh --keep   leaves the mesh up and prints how to use it
#   packaging/demo.sh --end    takes a kept mesh away
set -euo pipefail
export LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
src=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)

say() { printf '%s\n' "$*"; }
die() {
	printf 'demo.sh: %s\n' "$*" >&2
	exit 1
}
step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

mode=run
case ${1:-} in
'') ;;
--keep) mode=keep ;;
--end) mode=end ;;
*)
	echo "usage: packaging/demo.sh [--keep | --end]" >&2
	exit 2
	;;
esac
[ $# -le 1 ] || die "one option at a time"

if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "run it as root: it makes network namespaces (or install sudo)"
	exec sudo -- "$0" "$@"
fi

dir=/run/warren-demo
lib=/usr/local/lib/warren-demo
link=/usr/local/bin/warren
ns1=warren-demo-first ns2=warren-demo-second nsc=warren-demo-control nsr=warren-demo-router
user=alice@example.com
login=deploy
fqdn=second.warren.internal

# ---------------------------------------------------------------- taking it all away

end_demo() {
	local pid name tries
	set +e
	if [ -d $dir/pids ]; then
		for name in first second control; do
			[ -f $dir/pids/$name ] && kill "$(cat $dir/pids/$name)" 2>/dev/null
		done
		for name in first second control; do
			[ -f $dir/pids/$name ] || continue
			pid=$(cat $dir/pids/$name)
			for tries in $(seq 600); do
				kill -0 "$pid" 2>/dev/null || break
				sleep 0.05
			done
			kill -9 "$pid" 2>/dev/null
		done
	fi
	for name in $ns1 $ns2 $nsc $nsr; do
		if [ -e /run/netns/$name ]; then
			for pid in $(ip netns pids $name 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
			ip netns del $name
		fi
		rm -rf /etc/netns/$name
	done
	rmdir /etc/netns 2>/dev/null
	[ -f $dir/made-etc-warren ] && rmdir /etc/warren 2>/dev/null
	[ -L $link ] && [ "$(readlink $link)" = $lib/bin/warren ] && rm -f $link
	rm -rf $lib
	[ -S /run/warren/warrend.sock ] || rm -rf /run/warren/u /run/warren/ssh_names-*.conf # unless a daemon of this machine's own uses it
	rmdir /run/warren 2>/dev/null
	rm -rf $dir
	set -e
}

if [ $mode = end ]; then
	[ -d $dir ] || die "no demo is up"
	end_demo
	say "The demo is gone."
	exit 0
fi
[ ! -e $dir ] || die "a demo is up already: use it as $dir/env says, or end it with packaging/demo.sh --end"
if [ -e $link ] || [ -L $link ]; then
	die "$link exists and is not the demo's: remove it first"
fi

# ---------------------------------------------------------------- what the machine must give

[ -c /dev/net/tun ] || die "/dev/net/tun is missing: load the tun module, or give this container the device"
caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
((0x$caps & (1 << 12))) || die "CAP_NET_ADMIN is missing: the demo makes network namespaces and devices"
((0x$caps & (1 << 21))) || die "CAP_SYS_ADMIN is missing: the demo makes network namespaces"

started=$SECONDS
cd "$src"
bin=${WARREN_DEMO_BIN:-} # programs that are built already (the test suite has them)
if [ -z "$bin" ]; then
	step "Packages and a release build"
	"$src/packaging/packages.sh" build run
	mkdir -p build
	cmake --preset release -DBUILD_TESTING=OFF -B build/demo >build/demo-cmake.log 2>&1 || {
		cat build/demo-cmake.log
		die "cmake failed"
	}
	cmake --build build/demo >build/demo-build.log 2>&1 || {
		grep -E 'error|undefined' build/demo-build.log | head -40
		die "the build failed, see build/demo-build.log"
	}
	bin=build/demo/bin
	say "Built in $((SECONDS - started)) s."
	started=$SECONDS
fi

trap 'status=$?; trap - EXIT; [ $status = 0 ] || { logs; say "demo.sh: stopped with status $status"; }; end_demo; exit $status' EXIT
trap 'exit 130' INT TERM HUP
logs() {
	local f
	for f in $dir/log/*; do
		[ -f "$f" ] && { say "--- $f"; tail -n 25 "$f"; }
	done
}

mkdir -p $dir/pids $dir/log $dir/run $dir/home
chmod 755 $dir
chmod 700 $dir/log
mkdir -p $lib/bin
cp "$bin"/{warren,warrend,warren-control,warren-ssh,warren-ssh-session,warren-ssh-worker} $lib/bin/
[ ! -d "$bin/../lib" ] || cp -r "$bin/../lib" $lib/
cp tests/support/signin.sh $lib/signin.sh
mkdir -p /usr/local/bin
ln -s $lib/bin/warren $link
[ -d /etc/warren ] || {
	mkdir -p /etc/warren
	touch $dir/made-etc-warren
}

# ---------------------------------------------------------------- network

step "Namespaces: two peers and a control server around a router"
for ns in $ns1 $ns2 $nsc $nsr; do
	ip netns add $ns
	ip -n $ns link set lo up
done
connect() { # NAMESPACE DEVICE NETWORK
	ip link add "wd-$2" netns "$1" type veth peer name "wd-$2" netns $nsr
	ip -n "$1" addr add "$3.2/24" dev "wd-$2"
	ip -n $nsr addr add "$3.1/24" dev "wd-$2"
	ip -n "$1" link set "wd-$2" up
	ip -n $nsr link set "wd-$2" up
	ip -n "$1" route add default via "$3.1"
}
connect $ns1 first 192.0.2
connect $ns2 second 203.0.113
connect $nsc control 198.51.100
ip netns exec $nsr sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# Each namespace sees its own /etc/warren, /etc/ssh and accounts, and nothing of this machine changes.
service_id=61800
for ns in $ns1 $ns2 $nsc; do
	mkdir -p /etc/netns/$ns/warren /etc/netns/$ns/ssh
	cp -a /etc/ssh/. /etc/netns/$ns/ssh/
	rm -f /etc/netns/$ns/ssh/ssh_host_*
	: >/etc/netns/$ns/resolv.conf
	for f in passwd group shadow; do cp -p /etc/$f /etc/netns/$ns/$f; done
	id=$service_id
	for account in warren warren-engine warren-verifier warren-ssh warren-control; do
		if ! grep -q "^$account:" /etc/netns/$ns/passwd; then
			echo "$account:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>/etc/netns/$ns/passwd
			echo "$account:x:$id:" >>/etc/netns/$ns/group
			echo "$account:!*:19000::::::" >>/etc/netns/$ns/shadow
		fi
		id=$((id + 1))
	done
done
login_id=$((service_id + 10))
sed -i "/^$login:/d" /etc/netns/$ns2/passwd /etc/netns/$ns2/group /etc/netns/$ns2/shadow
echo "$login:x:$login_id:$login_id:Deployment:$dir/home/$login:/bin/bash" >>/etc/netns/$ns2/passwd
echo "$login:x:$login_id:" >>/etc/netns/$ns2/group
echo "$login:*:19000:0:99999:7:::" >>/etc/netns/$ns2/shadow
mkdir -p $dir/home/$login
chown $login_id:$login_id $dir/home/$login
chmod 700 $dir/home/$login

cat >/etc/netns/$nsc/warren/control.json <<EOF
{
  "state_dir": "$dir/control",
  "socket": "$dir/run/control.sock",
  "listen": "0.0.0.0:8443",
  "public_url": "https://198.51.100.2:8443",
  "stun": "0.0.0.0:3478"
}
EOF
for name in first second; do
	ns=warren-demo-$name
	mkdir -p $dir/run/$name
	cat >/etc/netns/$ns/warren/warren.json <<EOF
{ "socket": "$dir/run/$name/warrend.sock", "state_dir": "$dir/$name" }
EOF
done

on() { ip netns exec "$@"; }
daemon() { # NAME NAMESPACE COMMAND…
	local name=$1 ns=$2
	shift 2
	setsid ip netns exec "$ns" "$@" >"$dir/log/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/pids/$name"
}
wait_for() { # SECONDS WHAT COMMAND…
	local limit=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $limit ] || die "$what did not happen in time"
		sleep 0.1
	done
}
control() { on $nsc $lib/bin/warren-control "$@"; }

# ---------------------------------------------------------------- control server

step "The control server, with its embedded defaults and one user"
mkdir -m 700 $dir/secret
daemon control $nsc $lib/bin/warren-control serve --demo
wait_for 60 "the control server's start" control peer list
head -c 18 /dev/urandom | base64 | tr '+/' '-_' >$dir/secret/password
chmod 600 $dir/secret/password
control user add $user --password-file $dir/secret/password
cat >$dir/policy.json <<EOF
{
  // Who may reach what. Default deny; deny wins.
  "groups": { "ops": ["$user"] },
  "hosts":  { "servers": ["peer:second"] },
  "rules":  [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [
    { "from": ["ops"], "to": ["servers"], "logins": ["$login"],
      "allow": ["shell", "exec", "sftp", "forward", "remote-forward", "agent"] },
  ],
  "tests":    [ { "from": "peer:first", "accept": ["servers:22"], "deny": ["servers:5432"] } ],
  "sshTests": [ { "from": "$user", "to": "servers", "accept": ["$login"], "deny": ["root"] } ],
}
EOF
control setup-key create --name demo --reusable --expires 1h >$dir/secret/setup-key
chmod 600 $dir/secret/setup-key

cat >$lib/signin <<EOF
#!/bin/sh
# Opens a login URL and signs the demo user in, as a browser would: signin URL
exec ip netns exec $ns1 env WARREN_SIGNIN_USER=$user WARREN_SIGNIN_PASSWORD_FILE=$dir/secret/password \\
	WARREN_SIGNIN_CURL_OPTS=-k bash $lib/signin.sh "\$1"
EOF
chmod 700 $lib/signin

# ---------------------------------------------------------------- peers

step "Two peers join with a setup key"
for name in first second; do
	daemon $name warren-demo-$name $lib/bin/warrend
done
wait_for 60 "the start of the daemons" on $ns1 warren status --check live
wait_for 60 "the start of the daemons" on $ns2 warren status --check live
say "second\$ warren up --control https://198.51.100.2:8443 --setup-key-file … --allow-server-ssh …"
on $ns2 warren up --control https://198.51.100.2:8443 --setup-key-file $dir/secret/setup-key \
	--hostname second --allow-server-ssh --enable-ssh-sftp \
	--enable-ssh-local-port-forwarding --enable-ssh-remote-port-forwarding
say "first\$ warren up --control https://198.51.100.2:8443 --setup-key-file … --ssh-jwt-cache-ttl 3600"
on $ns1 warren up --control https://198.51.100.2:8443 --setup-key-file $dir/secret/setup-key \
	--hostname first --ssh-jwt-cache-ttl 3600
control policy set $dir/policy.json

direct() { [[ $(on "$1" warren --json status | tr -d ' \n') == *'"connectionType":"direct"'* ]]; }
wait_for 60 "a direct path from first" direct $ns1
wait_for 60 "a direct path from second" direct $ns2
wait_for 60 "SSH on second" on $ns1 warren openssh detect $fqdn 22
step "1. Both sides see the other, over a direct path"
say "first\$ warren status"
on $ns1 warren status
say
say "second\$ warren status"
on $ns2 warren status

signin() { # watches FILE for a login URL and signs in there
	local file=$1 limit=$((SECONDS + 60)) url=
	while [ -z "$url" ]; do
		[ $SECONDS -lt $limit ] || return 1
		# A line that has no end yet is still being written.
		url=$(tr '\r\n' '  ' <"$file" 2>/dev/null | grep -aoE 'https://[^[:space:]"]+[[:space:]"]' | tr -d ' "' | head -n 1 || true)
		sleep 0.1
	done
	$lib/signin "$url" >>$dir/log/signin.log 2>&1
}
expect_status() { # STATUS COMMAND…
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ] || die "status $got instead of $want from: $*"
}

step "2. warren ssh: the terminal shows where to log in, the command runs as the local user"
say "first\$ warren ssh $login@second uptime"
: >$dir/log/prompt
signin $dir/log/prompt &
browser=$!
on $ns1 warren ssh $login@second 'uptime; id -un; exit 7' 2> >(tee $dir/log/prompt >&2) && code=0 || code=$?
wait $browser || die "the browser did not get through the login"
[ $code = 7 ] || die "exit status $code instead of the command's 7"
say "exit status of the remote command: 7, as it should be"

install_drop_in() { on $ns1 warren openssh install; }
if [ $mode = keep ]; then
	install_drop_in
	on $ns1 ssh -o BatchMode=yes $login@$fqdn true || die "stock ssh through the drop-in failed"
	control_q() { printf "%s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }
	{
		control_q WARREN_DEMO_NS1 $ns1
		control_q WARREN_DEMO_NS2 $ns2
		control_q WARREN_DEMO_NSC $nsc
		control_q WARREN_DEMO_HOST2 $fqdn
		control_q WARREN_DEMO_LOGIN $login
		control_q WARREN_DEMO_SIGNIN $lib/signin
	} >$dir/env
	trap - EXIT INT TERM HUP
	step "The mesh is up"
	cat <<EOF
A shell on each machine:
  ip netns exec $ns1 bash      # first: log in from here, for example
                                              #   warren status; ssh $login@$fqdn
  ip netns exec $ns2 bash     # second
  ip netns exec $nsc bash    # control server: warren-control is in $lib/bin
Names for scripts are in $dir/env. uid 0 on first is logged in as $user for an hour;
sign in again with: $lib/signin URL
End it with: packaging/demo.sh --end
EOF
	exit 0
fi

step "3. Stock ssh through the drop-in: certificate, strict host keys, no prompt"
install_drop_in
say "first\$ ssh -o BatchMode=yes $login@$fqdn 'id -un; echo \$SSH_CONNECTION'"
on $ns1 ssh -o BatchMode=yes $login@$fqdn 'id -un; echo $SSH_CONNECTION'
address=$(on $ns2 warren status | sed -n 's/^Address: *\([0-9.]*\).*/\1/p')
say
say "Without the drop-in and without a login, keyboard-interactive shows the URL:"
on $ns1 warren openssh remove
on $ns1 warren logout
say "first\$ ssh $login@$address id -un"
: >$dir/log/prompt2
signin $dir/log/prompt2 &
browser=$!
on $ns1 timeout 120 script -qefc "ssh -F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
	$login@$address id -un" $dir/log/prompt2 </dev/null || die "keyboard-interactive login failed"
wait $browser || die "the browser did not get through the login"

step "4. The ssh rule goes, then the TCP rule"
install_drop_in
say "first\$ warren login"
: >$dir/log/prompt3
signin $dir/log/prompt3 &
browser=$!
on $ns1 warren login 2> >(tee $dir/log/prompt3 >&2)
wait $browser
say "A live session, while the rule goes:"
on $ns1 ssh -tt $login@$fqdn 'echo "session is up"; sleep 600' </dev/null >$dir/log/live 2>&1 &
live=$!
wait_for 60 "the live session" grep -q 'session is up' $dir/log/live
sed '/"ssh": \[/,/^  \],/d; /"sshTests"/d' $dir/policy.json >$dir/policy-2.json
control policy set $dir/policy-2.json
code=0
wait $live || code=$?
cat $dir/log/live
[ $code != 0 ] || die "the live session ended with status 0"
say "The session ended with status $code."
say "first\$ ssh $login@$fqdn true"
expect_status 255 on $ns1 ssh -o BatchMode=yes $login@$fqdn true
cat >$dir/policy-3.json <<EOF
{ "groups": {}, "hosts": {}, "rules": [] }
EOF
control policy set $dir/policy-3.json
sleep 1
say "first\$ warren ssh $login@second true"
expect_status 255 on $ns1 warren ssh -o BatchMode=yes $login@second true

step "5. Down, and everything away"
on $ns1 warren down
on $ns2 warren down
trap - EXIT INT TERM HUP
end_demo
leftovers=
for ns in $ns1 $ns2 $nsc $nsr; do [ ! -e /run/netns/$ns ] || leftovers="$leftovers $ns"; done
for f in $dir $lib $link /etc/netns/$ns1; do [ ! -e $f ] || leftovers="$leftovers $f"; done
[ -z "$leftovers" ] || die "left behind:$leftovers"
say "No namespace, device, process or file is left. The walk took $((SECONDS - started)) s."
