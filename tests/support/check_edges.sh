#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Holds the include lines of the tree to the allowed edges of ARCHITECTURE.md, and libraries and
# operating systems to the folders that may know them. Lists every bad line; exit 1 when there is one.
#
#   check_edges.sh              self-test, then checks the tree this script is in
#   check_edges.sh ROOT         checks ROOT
#   check_edges.sh --self-test  makes trees with one fault each and sees every one found
set -u
export LC_ALL=C.UTF-8

folders="platform policy tunnel identity ssh control daemon cli tray"

# The module of a file or of an include: control/proto and daemon/ipc are libraries of their own.
module_of() {
	case $1 in
	control/proto/*) echo control/proto ;;
	daemon/ipc/*) echo daemon/ipc ;;
	*) echo "${1%%/*}" ;;
	esac
}

# What a module may include besides itself.
allowed() {
	case $1 in
	platform) echo ;;
	policy | tunnel | identity | control/proto | daemon/ipc) echo platform ;;
	ssh) echo platform policy identity ;;
	control) echo platform policy identity control/proto ;;
	daemon) echo platform policy tunnel identity control/proto daemon/ipc ssh ;;
	cli) echo platform policy daemon/ipc ;;
	tray) echo platform daemon/ipc ;;
	esac
}

# library_ok INCLUDE FILE
library_ok() {
	case $1 in
	libssh/*) [[ $2 == ssh/* ]] ;;
	sqlite3.h | libpq-fe.h) [[ $2 == control/store_* ]] ;;
	curl/*) [[ $2 == identity/* || $2 == daemon/* ]] ;;
	*) true ;;
	esac
}

list_lines() { # REGEX FOLDER...: FILE:LINE:TEXT
	local regex=$1
	shift
	grep -rnE --include='*.c' --include='*.h' -e "$regex" -- "$@" 2>/dev/null
}

# Reads FILE:LINE:TEXT of all include lines, prints the bad ones.
judge_includes() {
	local file line text name from to
	while IFS=: read -r file line text; do
		[[ $text =~ ^[[:space:]]*#[[:space:]]*include[[:space:]]*[\<\"]([^\>\"]+)[\>\"] ]] || continue
		name=${BASH_REMATCH[1]}
		if ! library_ok "$name" "$file"; then
			echo "$file:$line: <$name> may not be included here"
			continue
		fi
		case $name in
		*..*)
			echo "$file:$line: \"$name\": write the path from the root"
			continue
			;;
		esac
		[[ $name == */* && " $folders " == *" ${name%%/*} "* ]] || continue
		from=$(module_of "$file")
		to=$(module_of "$name")
		[[ $from == "$to" || " $(allowed "$from") " == *" $to "* ]] ||
			echo "$file:$line: $from may not include $to (\"$name\")"
	done
}

check() {
	local present=() folder bad
	cd "$1" || return 2
	for folder in $folders; do
		[[ -d $folder ]] && present+=("$folder")
	done
	if ((${#present[@]} == 0)); then
		echo "check_edges: none of our folders is in $1" >&2
		return 2
	fi
	bad=$(
		list_lines '^[[:space:]]*#[[:space:]]*include' "${present[@]}" | judge_includes
		list_lines '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif|elifdef)\b.*\b(__linux__|__linux|__APPLE__|__FreeBSD__|_WIN32)\b' \
			"${present[@]}" | grep -v '^platform/' |
			sed -E 's/^([^:]*:[0-9]+):.*/\1: operating systems are told apart in platform\/ only/'
	)
	[[ -z $bad ]] && return 0
	echo "$bad"
	return 1
}

# expect STATUS FILE TEXT: a tree with that one file gives that status.
expect() {
	local want=$1 file=$2 tree got
	tree=$(mktemp -d) || exit 2
	mkdir -p "$tree/$(dirname "$file")"
	printf '%s\n' "$3" >"$tree/$file"
	(check "$tree") >"$tree/out" 2>&1
	got=$?
	if ((got != want)) || { ((want == 1)) && ! grep -q "^$file:1: " "$tree/out"; }; then
		echo "self-test: $file with '$3': status $got instead of $want"
		failures=$((failures + 1))
	fi
	rm -rf "$tree"
}

self_test() {
	failures=0
	expect 0 policy/a.c '#include "platform/error.h"'
	expect 0 policy/a.c '#include "policy/b.h"'
	expect 1 policy/a.c '#include "tunnel/device.h"'
	expect 1 policy/sub/a.h '#  include <daemon/engine.h>'
	expect 1 platform/a.c '#include "policy/policy.h"'
	expect 1 tunnel/a.c '#include "policy/policy.h"'
	expect 1 tunnel/a.c '#include "../policy/policy.h"'
	expect 1 ssh/a.c '#include "tunnel/device.h"'
	expect 0 ssh/a.c '#include "identity/jwt.h"'
	expect 0 daemon/a.c '#include "ssh/wire/ssh_wire.h"'
	expect 0 daemon/a.c '#include "control/proto/map.h"'
	expect 1 daemon/a.c '#include "control/store.h"'
	expect 1 daemon/a.c '#include "cli/status.h"'
	expect 0 control/a.c '#include "control/proto/map.h"'
	expect 1 control/a.c '#include "daemon/ipc/ipc.h"'
	expect 1 control/proto/a.c '#include "control/store.h"'
	expect 1 control/proto/a.c '#include "policy/policy.h"'
	expect 0 cli/a.c '#include "daemon/ipc/ipc.h"'
	expect 1 cli/a.c '#include "daemon/engine.h"'
	expect 1 daemon/ipc/a.c '#include "daemon/engine.h"'
	expect 0 ssh/a.c '#include <libssh/server.h>'
	expect 1 daemon/a.c '#include <libssh/libssh.h>'
	expect 0 control/store_sqlite.c '#include <sqlite3.h>'
	expect 1 control/serve.c '#include <sqlite3.h>'
	expect 1 control/serve.c '#include <libpq-fe.h>'
	expect 0 identity/http.c '#include <curl/curl.h>'
	expect 1 control/serve.c '#include <curl/curl.h>'
	expect 0 platform/a.c '#ifdef __linux__'
	expect 1 tunnel/a.c '#ifdef __linux__'
	expect 1 tunnel/a.c '# if defined(__APPLE__) || defined(__FreeBSD__)'
	expect 1 cli/a.c '#ifndef _WIN32'
	expect 2 elsewhere/a.c '#include "platform/error.h"'
	((failures == 0)) || return 1
	echo "self-test: passed"
}

case ${1-} in
'') self_test && check "$(dirname "$0")/../.." ;;
--self-test) self_test ;;
-*)
	echo "usage: check_edges.sh [ROOT | --self-test]" >&2
	exit 2
	;;
*) check "$1" ;;
esac
