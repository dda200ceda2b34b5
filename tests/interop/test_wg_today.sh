#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# warren-wg against today's wireguard-go (UDP GSO/GRO and TUN offloads of its own), as test_wg_go.sh does
# with Debian's. The box has no network: it is built by interop/install_wireguard_go before, or by
# tests/bench/tunnel; without either (no Go, no network) this is skipped.
program=$WARREN_SRC/build/bench/wireguard
if [ -x "$program" ]; then
	export GO_PROGRAM=$program
	exec "$(dirname "$0")/test_wg_go.sh"
fi
echo "SKIP: today's wireguard-go is not built (it needs Go and the network)"
exit 77
