#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Not a byte of output is lost at the end of a command: 1,000 runs of `seq 1 100000`, half of them on a
# terminal, over four connections at a time, each compared. (RUNS: how many of each.)
. "$WARREN_SRC/tests/interop/lib_compare.sh"
servers <<<'MaxSessions 10'
runs=${RUNS:-500} streams=4
pipes=$(seq 1 100000 | cksum) terminal=$(seq 1 100000 | sed 's/$/\r/' | cksum)
stream() { # NUMBER: its part of the runs; what was lost comes out
	local i
	timeout 90 ssh -F ssh -o ControlMaster=yes -o ControlPath=$dir/l-$1 -fN ours || echo "no connection"
	for ((i = $1; i < runs; i += streams)); do
		[[ $(timeout 90 ssh -F ssh -o ControlPath=$dir/l-$1 ours 'seq 1 100000' </dev/null | cksum) == "$pipes" ]] || echo "run $i"
		[[ $(timeout 90 ssh -F ssh -o ControlPath=$dir/l-$1 -tt ours 'seq 1 100000' </dev/null 2>/dev/null | cksum) == "$terminal" ]] ||
			echo "run $i on a terminal"
		echo >>runs-$1
	done
	ssh -F ssh -o ControlPath=$dir/l-$1 -O exit ours 2>/dev/null
}
waiting=()
for ((n = 0; n < streams; n++)); do
	stream $n >lost-$n 2>err-$n &
	waiting+=($!)
done
wait "${waiting[@]}"
is "all runs" "$runs" "$(cat runs-* | wc -l)"
is "what was lost" "" "$(cat lost-*)"
finished
