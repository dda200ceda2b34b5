#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# An independent Noise_IKpsk2 in the WireGuard flavour, from the paper, on nothing but hashlib and
# integers; prints the constants of test_noise.c. Slow and obvious on purpose.
import hashlib
import struct

P = 2**255 - 19


def x25519(k, u):
    k = bytearray(k)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = (k >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = (x2 + z2) % P, (x2 - z2) % P
        c, d = (x3 + z3) % P, (x3 - z3) % P
        da, cb = d * a % P, c * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")


def rotl(v, n):
    return ((v << n) | (v >> (32 - n))) & 0xFFFFFFFF


def chacha(key, counter, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    w = s[:]

    def quarter(a, b, c, d):
        w[a] = (w[a] + w[b]) & 0xFFFFFFFF
        w[d] = rotl(w[d] ^ w[a], 16)
        w[c] = (w[c] + w[d]) & 0xFFFFFFFF
        w[b] = rotl(w[b] ^ w[c], 12)
        w[a] = (w[a] + w[b]) & 0xFFFFFFFF
        w[d] = rotl(w[d] ^ w[a], 8)
        w[c] = (w[c] + w[d]) & 0xFFFFFFFF
        w[b] = rotl(w[b] ^ w[c], 7)

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack("<16I", *[(a + b) & 0xFFFFFFFF for a, b in zip(w, s)])


def aead(key, counter, plain, ad):
    nonce = bytes(4) + struct.pack("<Q", counter)
    stream = b"".join(chacha(key, 1 + i, nonce) for i in range((len(plain) + 63) // 64))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))
    one_time = chacha(key, 0, nonce)[:32]
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(one_time[16:], "little")

    def pad(x):
        return x + bytes(-len(x) % 16)

    data = pad(ad) + pad(sealed) + struct.pack("<QQ", len(ad), len(sealed))
    acc = 0
    for i in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[i : i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return sealed + ((acc + s) & (2**128 - 1)).to_bytes(16, "little")


def h(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def hmac(key, data):
    key = key + bytes(64 - len(key))
    inner = h(bytes(b ^ 0x36 for b in key), data)
    return h(bytes(b ^ 0x5C for b in key), inner)


def kdf(n, key, data):
    t0, out, last = hmac(key, data), [], b""
    for i in range(n):
        last = hmac(t0, last + bytes([i + 1]))
        out.append(last)
    return out


def clamp(k):
    k = bytearray(k)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    return bytes(k)


def run():
    si, sr = clamp(bytes(range(1, 33))), clamp(bytes(range(101, 133)))
    ei, er = clamp(bytes([0x11] * 32)), clamp(bytes([0x22] * 32))
    psk = bytes([0x33] * 32)
    stamp = bytes.fromhex("400000006553f10a00000000")
    pub = lambda k: x25519(k, BASE)
    c = h(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    hh = h(h(c, b"WireGuard v1 zx2c4 Jason@zx2c4.com"), pub(sr))
    e = pub(ei)
    msg = struct.pack("<II", 1, 0x01020304) + e
    hh = h(hh, e)
    (c,) = kdf(1, c, e)
    c, k = kdf(2, c, x25519(ei, pub(sr)))
    s = aead(k, 0, pub(si), hh)
    hh = h(hh, s)
    c, k = kdf(2, c, x25519(si, pub(sr)))
    t = aead(k, 0, stamp, hh)
    hh = h(hh, t)
    msg += s + t
    msg += mac(h(b"mac1----", pub(sr)), msg) + bytes(16)
    out = {"initiation": msg}

    e = pub(er)
    msg = struct.pack("<III", 2, 0x0A0B0C0D, 0x01020304) + e
    (c,) = kdf(1, c, e)
    hh = h(hh, e)
    (c,) = kdf(1, c, x25519(er, pub(ei)))
    (c,) = kdf(1, c, x25519(er, pub(si)))
    c, tau, k = kdf(3, c, psk)
    hh = h(hh, tau)
    msg += aead(k, 0, b"", hh)
    msg += mac(h(b"mac1----", pub(si)), msg) + bytes(16)
    out["response"] = msg
    first, second = kdf(2, c, b"")
    out["initiator_send"], out["initiator_receive"] = first, second
    packet = bytes.fromhex("45000014") + bytes(28)
    out["data"] = struct.pack("<IIQ", 4, 0x0A0B0C0D, 5) + aead(first, 5, packet, b"")
    return out


assert x25519(
    bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
    bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"  # RFC 7748 5.2
for name, value in run().items():
    print(name, value.hex())
