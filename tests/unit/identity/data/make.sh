#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How the files in this folder were made: keys and certificates of OpenSSH's own ssh-keygen. The keys
# are thrown away, except ca.seed (hex), with which test_sshcert makes the same certificates again
# and compares the bytes. Run it only to replace all of them.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { ssh-keygen -q -N '' -C "$1" -f "$work/$1" "${@:2}"; }
key ca -t ed25519
key ca_other -t ed25519
key ca_rsa -t rsa -b 2048
key ed25519 -t ed25519
key ecdsa256 -t ecdsa -b 256
key ecdsa384 -t ecdsa -b 384
key ecdsa521 -t ecdsa -b 521
key rsa -t rsa -b 2048
key rsa1024 -t rsa -b 1024

# Keys of security tokens: the public half of an ordinary one under the other name.
python3 - "$work" <<'PY'
import base64, struct, sys
work = sys.argv[1]
def parts(blob):
    out = []
    while blob:
        n = struct.unpack(">I", blob[:4])[0]
        out.append(blob[4:4 + n])
        blob = blob[4 + n:]
    return out
def join(items):
    return b"".join(struct.pack(">I", len(i)) + i for i in items)
for source, name, kind in (("ed25519", "sk_ed25519", b"sk-ssh-ed25519@openssh.com"),
                           ("ecdsa256", "sk_ecdsa256", b"sk-ecdsa-sha2-nistp256@openssh.com")):
    blob = base64.b64decode(open(f"{work}/{source}.pub").read().split()[1])
    blob = join([kind] + parts(blob)[1:] + [b"ssh:"])
    open(f"{work}/{name}.pub", "w").write(f"{kind.decode()} {base64.b64encode(blob).decode()} {name}\n")
# openssh-key-v1, not encrypted: the private half is seed[32] || public[32] before comment and padding.
lines = open(f"{work}/ca").read().split("\n")
raw = base64.b64decode("".join(l for l in lines if not l.startswith("-")))
public = parts(base64.b64decode(open(f"{work}/ca.pub").read().split()[1]))[1]
at = raw.rindex(public)
open("ca.seed", "w").write(raw[at - 32:at].hex() + "\n")
PY

sign() { # NAME CA SUBJECT OPTIONS...
	cp "$work/$3.pub" "$work/to_sign.pub"
	ssh-keygen -q -s "$work/$2" "${@:4}" "$work/to_sign.pub"
	mv "$work/to_sign-cert.pub" "$1-cert.pub"
}
user=(-I "alice@example.com caller=p_a" -n deploy,alice -z 72623859790382856 -V 20260101000000Z:20260101000500Z)
for kind in ed25519 ecdsa256 ecdsa384 ecdsa521 rsa sk_ed25519 sk_ecdsa256; do
	sign "$kind" ca "$kind" "${user[@]}" -O source-address=100.64.0.7/32,fd00::7/128
done
sign rsa1024 ca rsa1024 "${user[@]}"
sign forever ca ed25519 -I forever -n deploy
sign bare ca ed25519 "${user[@]}" -O clear
sign force ca ed25519 "${user[@]}" -O clear -O force-command="/bin/echo hello" -O permit-pty
sign other_ca ca_other ed25519 "${user[@]}"
sign rsa_ca ca_rsa ed25519 "${user[@]}"
sign unknown ca ed25519 "${user[@]}" -O critical:verify-nothing@example.com=x
sign extension ca ed25519 "${user[@]}" -O extension:note@example.com=x
sign nobody ca ed25519 -I nobody -V 20260101000000Z:20260101000500Z
sign host ca ed25519 -h -I host -n web.example.com -V 20260101000000Z:20260101000500Z
cp "$work/ca.pub" "$work/ed25519.pub" .
