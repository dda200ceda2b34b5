#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs the whole suite: unit, fuzz replay, end to end and
# interop on the release build; then unit and fuzz replay again under address and undefined-behaviour
# sanitizers. Ends in ctest's summary. `tests/run.sh --quick` leaves the sanitizers out.
set -eu
export LC_ALL=C.UTF-8
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PATH:-}
export PATH
cd "$(dirname "$(readlink -f "$0")")/.."
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "tests/run.sh: run it as root (the tests make network namespaces), or install sudo" >&2
		exit 1
	}
	exec sudo -- "$0" "$@"
fi
[ -c /dev/net/tun ] || {
	echo "tests/run.sh: /dev/net/tun is missing: load the tun module or give the container the device" >&2
	exit 1
}
quick=
[ "${1:-}" = --quick ] && quick=1

packaging/packages.sh build run test
werror=${CI:+-DWARREN_WERROR=ON}
rm -rf build/release/Testing build/asan/Testing

build() {
	# shellcheck disable=SC2086
	cmake --preset "$1" ${werror:-} >build/cmake-"$1".log 2>&1 || {
		cat build/cmake-"$1".log
		exit 1
	}
	cmake --build --preset "$1" -- -k 0 >build/build-"$1".log 2>&1 || {
		grep -E 'error|warning|FAILED|undefined' build/build-"$1".log | head -60
		exit 1
	}
}
mkdir -p build
status=0
if [ -z "$quick" ]; then
	build asan
	echo "== unit tests and fuzz inputs under address and undefined-behaviour sanitizers"
	ASAN_OPTIONS=detect_leaks=1 ctest --test-dir build/asan --output-on-failure -j2 -L 'unit|fuzz' ||
		status=1
fi
build release
echo "== all tests on the release build"
ctest --test-dir build/release --output-on-failure -j2 || status=1
exit $status
