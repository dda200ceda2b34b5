#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The broker's file of names for ssh (daemon/PROTOCOL.md, SSH_NAMES) with a main that lies: names get into it, in
# the broker's words, and nothing else does.
. "${WARREN_SRC:?run by ctest}/tests/netns/broker_lib.sh"
names() { cat /run/warren/ssh_names-*.conf; }
hosts() { sed -n 's/^Match host \(.*\) exec .*/\1/p' /run/warren/ssh_names-*.conf; }
no_file() { ! compgen -G '/run/warren/*ssh_names*' > /dev/null; }
is() { [[ $("${@:2}") == "$1" ]]; }

# One of a daemon that was killed.
start a
soon "main answers" says ok m a names 0
check "no names, no file" no_file
kill -9 "${pids[a]}"
wait "${pids[a]}" 2> /dev/null
soon "its main ended" not pgrep -f "$fake --role"

start a
soon "names are taken" says ok m a names 0 db web-1 web-2
check "they are in the file" is "db,web-1,web-2" hosts
check "root alone writes it" is "644 0 0" stat -c '%a %u %g' /run/warren/ssh_names-*.conf
check "and its folder" is "755 0 0" stat -c '%a %u %g' /run/warren
check "the program is a path of root's" says 'exec "/usr/bin/warren openssh detect %h %p %r %C"' names
kept=$(names)
lies() { # WHAT COMMAND…: main is ended, and the file is as it was
	local before what=$1
	shift
	before=$(grep -c 'does not parse' "$work/a.log")
	"$@" > /dev/null 2>&1
	ended() { (($(grep -c 'does not parse' "$work/a.log") > before)); }
	soon "$what: refused" ended
	check "$what: the file stays" is "$kept" names
	soon "$what: a new main" says ok m a user-dir 0
}
lies "a pattern" m a names 0 '*'
lies "not sorted" m a names 0 b a
# 08, request 1, some, two names: "a" and "b" with a line of its own between.
lies "a line" m a raw 0800000001000002016106620a686f7374
lies "every name, and some" m a names 1 a
check "what a good main says is taken again" says ok m a names 0 new
check "instead of the others" is new hosts
check "every name" says ok m a names 1
check "is a pattern of names without a dot" is '!*.*,!*:*,*' hosts
check "nothing is left beside it" is 1 bash -c 'ls -A /run/warren | grep -c ssh_names'
check "none" says ok m a names 0
check "no file" no_file
check "again" says ok m a names 0 db
check "teardown" says ok m a teardown
check "removes it" no_file
check "and again" says ok m a names 0 db

kill -9 "${pids[a]}"
wait "${pids[a]}" 2> /dev/null
soon "the others ended" not pgrep -f "$fake --role"
check "killed, it leaves one" is db hosts
start a
soon "which the next removes" no_file
soon "names once more" says ok m a names 0 db
mkdir /run/warren/keep
chmod 777 /run/warren
check "a folder that others write is no place for it" says ok m a names 0 other
check "so it stays as it was" is db hosts
check "and the log says so" says "cannot be written" tail -n 5 "$work/a.log"
chmod 755 /run/warren
kill "${pids[a]}"
wait "${pids[a]}"
check "exit status" test $? = 0
check "the end removes it" no_file
finish
