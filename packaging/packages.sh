#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that a purpose needs: packages.sh build|run|test …
# Services that packages bring stay off: nothing of this machine's own configuration is touched.
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

build="gcc g++ make cmake ninja-build pkg-config libc6-dev libsodium-dev libssl-dev libssh-dev libnl-3-dev
 libnl-route-3-dev libcurl4-openssl-dev libjansson-dev libuv1-dev libsqlite3-dev libseccomp-dev libpam0g-dev libqrencode-dev libcap-dev"
# Optional: seals and opens batches of packets on x86 (DECISIONS.md).
[ "$(dpkg --print-architecture)" = amd64 ] && build="$build libipsec-mb-dev"
run="iproute2 openssh-client openssh-sftp-server curl ca-certificates procps util-linux iputils-ping
 libqrencode4"
test="libcmocka-dev clang libclang-rt-14-dev wireguard-tools wireguard-go iperf3 nftables openssh-server jq
 tcpdump socat netcat-openbsd rsync git dropbear-bin putty-tools sshfs lftp rclone python3-paramiko python3-cryptography python3 ssh-audit xz-utils tmux ansible-core glewlwyd dbconfig-no-thanks"

# A guest with the kernel's own WireGuard (tests/support/kernel_guest.sh).
[ "$(dpkg --print-architecture)" = amd64 ] && test="$test qemu-system-x86"

want=
for purpose in "$@"; do
	case $purpose in
	build) want="$want $build" ;;
	run) want="$want $run" ;;
	test)
		want="$want $test"
		command -v npm >/dev/null || want="$want nodejs npm"
		;;
	*)
		echo "packages.sh: no such purpose: $purpose" >&2
		exit 2
		;;
	esac
done

missing=
for package in $want; do
	case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
	ii*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "packages.sh: missing:$missing; run as root to install them" >&2
	exit 1
fi

policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
	made=1
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
finish() { [ -z "$made" ] || rm -f $policy; }
trap finish EXIT
# glewlwyd asks for a configuration and a database of its own; its service starts at no boot either.
case $missing in
*glewlwyd*)
	echo 'glewlwyd glewlwyd/config_type select No configuration' | debconf-set-selections
	# Else it takes its sample from /usr/share/doc, which small images leave out.
	mkdir -p /etc/glewlwyd
	[ -e /etc/glewlwyd/glewlwyd.conf ] || echo '# not configured' >/etc/glewlwyd/glewlwyd.conf
	disable=glewlwyd
	;;
esac
echo "Installing packages:$missing"
apt-get -qq -o DPkg::Lock::Timeout=300 update
# shellcheck disable=SC2086
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >/dev/null
[ -z "${disable:-}" ] || update-rc.d "$disable" disable >/dev/null
