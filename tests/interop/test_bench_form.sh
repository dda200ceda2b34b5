#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/bench/ssh on a machine where nothing was built yet, and when a part of it cannot be measured: it
# builds what tests/netns/lib.sh takes along, says what was missed in its last line, and does not end with 0.
set -u
. "${WARREN_SRC:?}/tests/interop/lib_check.sh"
bench=$WARREN_SRC/tests/bench/ssh
[[ -x $bench ]]; ok "it can be executed"

targets() { # FILE: what cmake is told to build
	sed -n '/--build/,/[^\\]$/p' "$1" | sed 's/>.*//' | tr -s '\\\n\t ' ' ' | grep -o 'target .*'
}
needed=$(sed -n 's/^\tfor f in \(warren .*\); do$/\1/p' "$WARREN_SRC/tests/netns/lib.sh" | head -n 1)
[[ $needed == *warren-ssh-worker* ]]; ok "what the mesh of the tests needs"
for file in "$bench" "$WARREN_SRC/tests/bench/login"; do
	missing=
	for program in $needed; do
		[[ " $(targets "$file") " == *" $program "* ]] || missing+="$program "
	done
	is "${file##*/} builds it all" "" "$missing"
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/build/bin" # without a program
cd "$WARREN_SRC/tests/bench" || exit 1
WARREN_BIN=$dir/build/bin timeout 300 ./ssh --quick --only login,mesh --json "$dir/json" >"$dir/out" 2>"$dir/err"
is "nothing can be measured: status" 1 $?
has "nothing can be measured: the last line" "0 bars met, 2 missed: plain: ended before" "$(tail -n 1 "$dir/out")"
is "nothing can be measured: JSON" 2 "$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["bars"]))' "$dir/json")"
"$bench" --nonsense >/dev/null 2>&1; is "usage" 2 $?
summary
