#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# wireguard_go.sh FOLDER: builds today's wireguard-go as FOLDER/wireguard, once. Without Go or the network it
# says so and leaves it (exit 0: test_wg_today.sh then skips itself).
set -eu
PATH="$PATH:/usr/local/go/bin:/usr/lib/go/bin"
folder=$1
[ ! -x "$folder/wireguard" ] || exit 0
mkdir -p "$folder"
command -v go >/dev/null || { echo "no Go here"; exit 0; }
echo "Building today's wireguard-go"
GOBIN=$(cd "$folder" && pwd) GOFLAGS=-mod=mod timeout 300 go install golang.zx2c4.com/wireguard@latest \
	>"$folder/go.log" 2>&1 || { echo "today's wireguard-go could not be built: $folder/go.log"; exit 0; }
