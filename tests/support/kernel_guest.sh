#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel_guest.sh FOLDER: a small guest with the kernel's own WireGuard, once: FOLDER/vmlinuz and FOLDER/initrd.
# Debian's kernel and busybox-static are downloaded and unpacked, never installed; wg is this machine's. The guest
# reads commands from its first serial port and answers each with its output and a line "@@ STATUS".
# Without packages, network or amd64 it says so and leaves it (exit 0: test_wg_kernel.sh then skips itself).
set -eu
export LC_ALL=C.UTF-8
PATH="$PATH:/usr/sbin:/sbin"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -s "$folder/initrd" ] || exit 0
leave() {
	echo "no guest with the kernel's WireGuard: $*"
	exit 0
}
[ "$(dpkg --print-architecture)" = amd64 ] || leave "it is made for amd64"
for c in qemu-system-x86_64 wg; do command -v $c >/dev/null || leave "$c is missing"; done
work=$(mktemp -d "$folder/XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

name() { apt-cache depends --important linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p'; }
package=$(name)
if [ -z "$package" ]; then
	timeout 120 apt-get -qq -o DPkg::Lock::Timeout=60 update >/dev/null 2>&1 || true
	package=$(name)
fi
[ -n "$package" ] || leave "the package lists do not know linux-image-cloud-amd64"
timeout 240 apt-get -qq -o APT::Sandbox::User=root download "$package" busybox-static >apt.log 2>&1 ||
	leave "$package and busybox-static could not be downloaded: $(tail -n 1 apt.log)"
dpkg-deb --fsys-tarfile ./busybox-static_*.deb | tar -x ./bin/busybox
dpkg-deb --fsys-tarfile ./linux-image-*.deb | tar -x --wildcards ./boot/vmlinuz-* './lib/modules/*/kernel/net/*' \
	'./lib/modules/*/kernel/drivers/net/*' './lib/modules/*/kernel/drivers/virtio/*' \
	'./lib/modules/*/kernel/lib/*' './lib/modules/*/kernel/crypto/*' './lib/modules/*/kernel/arch/*'

# Modules and what they need, in the order in which they can be loaded.
root=$work/root
mkdir -p "$root/bin" "$root/lib/modules" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/etc"
: >"$root/modules"
add() { # NAME: nothing where the kernel has it built in
	local file need
	file=$(find lib -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko" | head -n 1)
	if [ -z "$file" ] || grep -qx "$(basename "$file")" "$root/modules"; then return; fi
	for need in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' '); do add "$need"; done
	cp "$file" "$root/lib/modules/"
	basename "$file" >>"$root/modules"
}
for m in virtio_pci virtio_net wireguard; do add $m; done
grep -qx wireguard.ko "$root/modules" || leave "$package has no WireGuard"

cp bin/busybox "$root/bin/busybox"
cp "$(command -v wg)" "$root/bin/wg"
for library in $(ldd "$(command -v wg)" | grep -o '/[^ ]*'); do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done
cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
mount -t tmpfs t /tmp
while read -r m; do insmod /lib/modules/$m; done </modules
ip link set lo up
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo
cd /tmp
echo "@@ 0"
while read -r line; do
	eval "$line" </dev/null
	echo "@@ $?"
done
poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | bin/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initrd"
cp boot/vmlinuz-* "$folder/vmlinuz"
mv "$work/initrd" "$folder/initrd"
echo "made a guest of $package"
