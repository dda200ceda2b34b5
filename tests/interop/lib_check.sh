# SPDX-License-Identifier: Apache-2.0
# Sourced by tests: checks that are counted and do not stop the test. Its last lines: `summary`.
failed=0 passed=0

ok() { # NAME: the command before it decides
	local rc=$?
	if ((rc == 0)); then passed=$((passed + 1)) && echo "ok   $1"; else failed=$((failed + 1)) && echo "FAIL $1"; fi
	return $rc
}
is() { # NAME EXPECTED GOT
	[[ $2 == "$3" ]]
	ok "$1" || printf '  expected %q\n  got      %q\n' "$2" "$3"
}
has() { # NAME PART TEXT
	[[ $3 == *"$2"* ]]
	ok "$1" || printf '  expected a part %q\n  got      %q\n' "$2" "$3"
}
soon() { # COMMAND…: true within a time that is long enough for a busy machine
	local end=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}
summary() { # exit status 0: all is well
	echo "$passed passed, $failed failed"
	((failed == 0))
}
