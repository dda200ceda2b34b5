#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Names without a dot: ssh asks `detect` for those of peers with SSH, and runs nothing for any other. The list
# follows control within seconds, and is gone when the mesh is.
. "$WARREN_SRC/tests/netns/lib.sh"
prepare
add_account ann 61821 /bin/bash '*'
for f in passwd group shadow; do
	umount /etc/$f
	mount --bind $T/etc/$f /etc/$f
done
mesh
printf '127.0.0.1 localhost\n198.51.100.2 outside bastion\n' >/etc/netns/first/hosts
policy <<EOF
{
  "groups": { "ops": ["$USER_MAIL"] },
  "hosts": { "servers": ["peer:second", "peer:bastion", "peer:third"] },
  "rules": [ { "from": ["peer:first"], "to": ["servers"], "proto": "tcp", "ports": "22" } ],
  "ssh": [ { "from": ["ops"], "to": ["servers"], "logins": ["deploy"], "allow": ["exec"] } ]
}
EOF
drop_in=/etc/netns/first/ssh/ssh_config.d/99-warren.conf
as() { # ENVIRONMENT… COMMAND…: as ann
	ip netns exec first setpriv --reuid 61821 --regid 61821 --clear-groups \
		env -i PATH="$PATH" WARREN_SOCKET=$T/first.sock LC_ALL=C.UTF-8 "$@"
}
asked() { as ssh -vvv -G "$1" 2>&1 | grep -c 'Executing command' || true; }
ours() { as ssh -G "$1" 2>/dev/null | grep -q '^proxycommand .*warren openssh'; }
names() { sed -n 's/^Match host \(.*\) exec .*/\1/p' "$file" 2>/dev/null; }
listed() { [ "$(names)" = "$1" ]; }
gone() { [ ! -e "$file" ]; }

note "install replaces the drop-in of before"
printf 'Match host !*.*,!*:*,* exec "/usr/bin/warren openssh detect %%h %%p %%r %%C"\n  ProxyCommand none\n' >$drop_in
[ "$(asked outside)" = 1 ] || fail "the drop-in of before does not run for every name"
expect 0 on first warren openssh install
[ "$(grep -c 'openssh detect' $drop_in)" = 1 ] || fail "the drop-in: $(cat $drop_in)"
file=$(sed -n 's/^ *Include *//p' $drop_in)
within 60 listed second

note "everybody reads the file, root alone writes it"
[ "$(stat -c '%a %U %G' "$file")" = "644 root root" ] || fail "$(ls -l "$file")"
[ "$(stat -c '%a %U' "$(dirname "$file")")" = "755 root" ] || fail "$(ls -ld "$(dirname "$file")")"
expect 0 as cat "$file"
expect 2 as sh -c "echo 'Host *' >>$file"
expect 2 as sh -c "echo 'Host *' >$file.new"
expect 1 as rm -f "$file"

note "ann logs in"
: >$T/prompt
signin_from $T/prompt &
as warren login >/dev/null 2>$T/prompt || fail "ann: $(cat $T/prompt)"
wait $!

note "a peer's name is asked for and works; a name outside costs no program"
for name in second SECOND second.warren.internal second. "$(on first warren --json status | jq -r '.peers.details[0].id')"; do
	[ "$(asked $name)" = 1 ] || fail "detect runs $(asked $name) times for $name"
	ours $name || fail "$name is not ours"
	expect 0 as ssh -o BatchMode=yes deploy@$name true
done
for name in outside first localhost seconds secon; do
	[ "$(asked $name)" = 0 ] || fail "detect runs for $name"
	! ours $name || fail "the drop-in touches $name"
done
if command -v strace >/dev/null; then
	as strace -f -qq -e trace=execve -o $T/home/ann/calls ssh -G outside >/dev/null
	[ "$(grep -c execve $T/home/ann/calls)" = 1 ] || fail "ssh -G outside starts something: $(cat $T/home/ann/calls)"
	as strace -f -qq -e trace=execve -o $T/home/ann/calls ssh -G second >/dev/null
	grep -q '"openssh", "detect", "second"' $T/home/ann/calls || fail "the trace shows nothing"
fi

note "aliases of one's own: what they stand for counts"
mkdir -p $T/home/ann/.ssh
printf 'Host bastion\n  HostName outside\nHost box\n  HostName second\n  User deploy\nHost second.alias\n  HostName outside\n' >$T/home/ann/.ssh/config
chown -R ann:ann $T/home/ann/.ssh
[ "$(asked bastion)" = 0 ] || fail "detect runs for an alias of a host outside"
[ "$(asked second.alias)" = 0 ] || fail "detect runs for an alias with a dot of a host outside"
as ssh -G bastion | grep -qx 'hostname outside' || fail "the alias is lost"
[ "$(asked box)" = 1 ] || fail "detect does not run for an alias of a peer"
expect 0 as ssh -o BatchMode=yes box 'id -un'
says '^deploy$'
rm $T/home/ann/.ssh/config

note "renamed in control"
ctl peer rename second bastion
within 60 listed bastion
expect 0 as ssh -o BatchMode=yes deploy@bastion true
[ "$(asked second)" = 0 ] || fail "detect runs for the name of before"
ctl peer rename bastion second
within 60 listed second
[ "$(asked bastion)" = 0 ] || fail "detect runs for the other name"

note "SSH off and on"
on second warren up --allow-server-ssh=false >/dev/null
within 60 gone
[ "$(asked second)" = 0 ] || fail "detect runs for a peer without SSH"
on second warren up --allow-server-ssh >/dev/null
within 60 listed second

note "added and removed in control"
ip netns add third
ip -n third link set lo up
mkdir -p /etc/netns/third
link third 198.19.0
peer_start third
# shellcheck disable=SC2086
on third warren up --control $CONTROL_URL --setup-key-file $T/setup-key --hostname third $SSH_FLAGS >/dev/null
within 60 listed second,third
expect 0 as ssh -o BatchMode=yes deploy@third true
ctl peer remove third
within 60 listed second

note "main is started anew: the list stays"
pid=$(pgrep -P "$(cat $T/pids/first)" -f -- '--role main')
kill "$pid"
other() { pid2=$(pgrep -P "$(cat $T/pids/first)" -f -- '--role main') && [ "$pid2" != "$pid" ]; }
within 60 other
listed second || fail "the list: $(names)"
within 60 on first warren status --check ready

note "down removes the file, up brings it back, the daemon's end removes it"
on first warren down
gone || fail "the file is there after down"
[ "$(asked second)" = 0 ] || fail "detect runs while the mesh is down"
on first warren up >/dev/null
within 60 listed second
expect 0 as ssh -G second
stop first
gone || fail "the file is there without a daemon"
expect 0 as ssh -G second
peer_start first
within 60 listed second

note "killed, it leaves the list: detect says no, and ssh goes on as ever"
kill -KILL "$(cat $T/pids/first)"
listed second || fail "the list: $(names)"
[ "$(asked second)" = 1 ] || fail "detect does not run"
! ours second || fail "second is ours without a daemon"
echo "all good"
