#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The OIDC client of identity/ against a provider that misbehaves in some seventy ways, one issuer each
# (hostile_provider.py): discovery, key set, device code, token endpoint, claims, TLS. Each login ends with
# one sentence that names the thing; what is within the allowed skew, or only a rotated key, goes well.
set -euo pipefail
src=${WARREN_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
bin=${WARREN_BIN:-$src/build/release/bin}
tool=$bin/oidc_tool
[[ -x $tool ]] || { echo "skipped: oidc_tool is not built"; exit 77; }
python3 -c 'import cryptography' 2>/dev/null || { echo "skipped: python3 has no cryptography"; exit 77; }
work=$(mktemp -d)
pid=
cleanup() {
	[[ -z $pid ]] || kill "$pid" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
checks=0
failed=0
bad() { echo "FAILED: $*" >&2; failed=1; }

certificate() { # NAME DAYS SUBJECT-ALTERNATIVE-NAME
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=provider" \
		-keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
	openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days "$2" \
		-extfile <(echo "subjectAltName=$3") -out "$work/$1.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Test CA" \
	-keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
certificate good 2 IP:127.0.0.1
certificate expired -1 IP:127.0.0.1
certificate other 2 DNS:id.example.com
ip link set lo up 2>/dev/null && ip addr add 192.0.2.9/32 dev lo 2>/dev/null || true
python3 "$src/tests/interop/hostile_provider.py" "$work" >"$work/ports" 2>"$work/log" &
pid=$!
for _ in {1..600}; do [[ -s $work/ports ]] && break; sleep 0.1; done
read -r plain good expired other garbage <"$work/ports"

# One login: its last line goes to a file, for it runs beside others.
login() { # NAME ISSUER [OPTIONS…]
	timeout 180 "$tool" "${@:3}" "$2" warren-cli device 2>&1 | tail -n 1 >"$work/out.$1" || true
}
judge() { # NAME WORDS: an extended regular expression, or "ok"
	local text
	checks=$((checks + 1))
	if [[ $2 == ok ]]; then
		jq -e '.event == "done" and .user == "alice@example.com"' "$work/out.$1" >/dev/null || bad "$1: $(cat "$work/out.$1")"
		return
	fi
	jq -e '.event == "failed"' "$work/out.$1" >/dev/null || { bad "$1 is no refusal: $(cat "$work/out.$1")"; return; }
	text=$(jq -r .text "$work/out.$1")
	grep -qE -- "$2" <<<"$text" || bad "$1 does not say \"$2\": $text"
	# One line for a terminal, and no token in it.
	[[ $(wc -l <<<"$text") == 1 && ${#text} -lt 500 && $text != *eyJ* ]] || bad "$1: not a sentence: $text"
	! LC_ALL=C.UTF-8 grep -qP '[\x00-\x1f\x7f\x{202e}]' <<<"$text" || bad "$1: not printable: $(cat -v <<<"$text")"
}
table() { # PREFIX-OF-ISSUER, then lines "NAME WORDS" on standard input
	local name words running=0
	cat >"$work/table"
	while read -r name words; do
		login "$name" "$1/$name" "${@:2}" &
		running=$((running + 1))
		((running < 12)) || { wait -n -p _ $(jobs -p | grep -v "^$pid$") || true; running=$((running - 1)); }
	done <"$work/table"
	for job in $(jobs -p | grep -v "^$pid$"); do wait "$job" || true; done
	while read -r name words; do judge "$name" "$words"; done <"$work/table"
}

echo "-- discovery"
table "http://127.0.0.1:$plain" <<'EOT'
fine ok
huge longer than allowed
short closed in the middle
loop too many redirects
elsewhere plain HTTP
file cannot reach|redirect|protocol
html discovery document
list discovery document|calls itself
empty discovery document
twice discovery document
tail discovery document
nul discovery document|calls itself
deep discovery document
no-such status 404
broken status 500
nameless calls itself ""
slash /slash/" but ".*/slash" is configured
red calls itself
no-keys "jwks_uri"
no-token "token_endpoint"
no-url "token_endpoint".*not a URL
plain plain HTTP
script javascript|URL|protocol|http
no-device no login by device code
EOT
echo "-- codes and the token endpoint"
table "http://127.0.0.1:$plain" <<'EOT'
device-html not understood
device-huge longer than allowed
device-moved status 302
device-500 status 500
device-script not understood
device-red not understood
device-over not understood
device-slow not understood
device-error refused the login.*invalid_client
token-html not understood
token-huge longer than allowed
token-moved status 307
token-none sent no id token
token-number not understood
token-long not understood
token-red refused the login
token-twice not understood
EOT
echo "-- keys"
table "http://127.0.0.1:$plain" <<'EOT'
rotated ok
keys-huge longer than allowed
keys-html key set
keys-none no usable key
keys-secret no usable key
keys-500 status 500
keys-loop too many redirects
keys-short no usable key
EOT
[[ $(curl -s "http://127.0.0.1:$plain/rotated/fetched" | jq .count) == 2 ]] || bad "a rotation costs more than one fetch"
echo "-- claims and headers"
table "http://127.0.0.1:$plain" <<'EOT'
no-sub "sub"
no-exp "exp"
no-aud aud
no-iss issuer|iss
no-email "email"
sub-number "sub"
email-list "email"
email-long "email"
email-red "email"
email-empty "email"
groups-text "groups"
groups-many "groups"
aud-other somebody-else
aud-two "azp"
aud-party ok
aud-number aud
iss-slash /iss-slash/"
exp-30 ok
exp-90 expired
iat-30 ok
iat-90 future
nbf-30 ok
nbf-90 "nbf"
exp-text "exp"
email-twice claims|JSON|twice|duplicate
no-json claims|JSON|object
alg-none none
alg-hs256 HS256
alg-es256 algorithm|ES256
alg-list header|alg
crit crit
b64 crit
jku mine
kid nobody
wrong-key signature
EOT
[[ $(curl -s "http://127.0.0.1:$plain/kid/fetched" | jq .count) == 2 ]] || bad "an unknown kid costs more than one fetch"
echo "-- TLS"
login tls-fine "https://127.0.0.1:$good/tls-fine" --ca "$work/ca.pem"
judge tls-fine ok
login tls-stranger "https://127.0.0.1:$good/x"
judge tls-stranger "127.0.0.1:$good.*certificate"
login tls-expired "https://127.0.0.1:$expired/x" --ca "$work/ca.pem"
judge tls-expired "127.0.0.1:$expired.*expired"
login tls-other "https://127.0.0.1:$other/x" --ca "$work/ca.pem"
judge tls-other "127.0.0.1:$other.*(does not match|no alternative|subject)"
login tls-none "https://127.0.0.1:$plain/x" --ca "$work/ca.pem"
judge tls-none "127.0.0.1:$plain.*(SSL|TLS|version)"
login tls-garbage "https://127.0.0.1:$garbage/x" --ca "$work/ca.pem"
judge tls-garbage "127.0.0.1:$garbage.*(SSL|TLS|length|version|record)"
login tls-pin "https://127.0.0.1:$good/x" --pin "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
judge tls-pin "pinned"
((failed == 0)) || exit 1
echo "$checks checks passed"
