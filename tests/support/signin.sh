#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Signs a person in as a browser would: signin.sh URL [USER_CODE]
#
# Opens a login URL, follows redirects with a cookie jar, fills in the forms that come (device code,
# e-mail address and password, consent, "Continue" and "Allow" of an SSH login) and submits them, until
# a page says that it is done. Knows the pages of the embedded issuer, the development forms of
# npm's oidc-provider, and what glewlwyd's login page does. Exit 0 only when it is done; otherwise the page's own words on stderr.
#
#   WARREN_SIGNIN_USER           e-mail address (or account name)
#   WARREN_SIGNIN_PASSWORD_FILE  file with the password (a final newline is not part of it)
#   WARREN_SIGNIN_CURL_OPTS      more options for curl, e.g. -k for a self-made certificate
set -euo pipefail
export LC_ALL=C.UTF-8
umask 077

fail() {
	echo "signin.sh: $*" >&2
	exit 1
}

[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: signin.sh URL [USER_CODE]" >&2; exit 2; }
url=$1
code=${2:-}
user=${WARREN_SIGNIN_USER:?signin.sh: WARREN_SIGNIN_USER is not set}
password_file=${WARREN_SIGNIN_PASSWORD_FILE:?signin.sh: WARREN_SIGNIN_PASSWORD_FILE is not set}
read -r -a options <<<"${WARREN_SIGNIN_CURL_OPTS:-}"
[ -r "$password_file" ] || fail "cannot read $password_file"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# A copy without the final newline: curl reads the password from a file, never from its arguments.
printf '%s' "$(<"$password_file")" >"$dir/password"

# fetch CURL_ARGUMENTS...: the page into $dir/page, its address into $url, its status into $status
fetch() {
	local answer
	answer=$(curl --silent --show-error --location --max-redirs 12 --max-time 60 \
		--proto '=http,https' --noproxy '*' --cookie-jar "$dir/jar" --cookie "$dir/jar" \
		--output "$dir/page" --write-out '%{http_code} %{url_effective}' "${options[@]}" "$@") ||
		fail "curl failed for $url"
	status=${answer%% *}
	url=${answer#* }
	# One tag a line, so that sed can read them.
	tr '\n\r\t' '   ' <"$dir/page" | sed 's/</\n</g; s/$/\n/' >"$dir/tags"
}

unescape() {
	sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&#39;/'"'"'/g; s/&#x27;/'"'"'/g; s/&amp;/\&/g'
}

# attribute NAME <TAG
attribute() {
	sed -n 's/.*[[:space:]]'"$1"'="\([^"]*\)".*/\1/p' | head -n 1 | unescape
}

# The words of the page, for a person.
words() {
	sed -n 's/^<\(h1\|p\|title\)[^>]*>\(.*\)$/\2/p' "$dir/tags" | unescape | head -n 6 | tr '\n' ' '
}

origin() {
	sed -n 's|^\(https\{0,1\}://[^/?#]*\).*|\1|p' <<<"$1"
}

# Submits the first form of the page.
submit() {
	local action tag name value type asked_password=
	local -a fields=()
	sed -n '/^<form/,/^<\/form/{p;/^<\/form/q}' "$dir/tags" >"$dir/form"
	action=$(grep -m1 '^<form' "$dir/form" | attribute action)
	while IFS= read -r tag; do
		name=$(attribute name <<<"$tag")
		value=$(attribute value <<<"$tag")
		type=$(attribute type <<<"$tag")
		[ -n "$name" ] || continue
		case "$tag" in
		'<button'*)
			# Ours: the button that goes on. Other buttons stay unpressed.
			[[ $tag == *'class="primary"'* ]] || continue
			;;
		esac
		if [ "$type" = password ]; then
			fields+=(--data-urlencode "$name@$dir/password")
			asked_password=1
			continue
		fi
		case "$name" in
		email | login | username) [ "$type" = hidden ] || value=$user ;;
		user_code) [ -n "$value" ] || value=$code ;;
		esac
		fields+=(--data-urlencode "$name=$value")
	done < <(grep -E '^<(input|button)' "$dir/form" || true)
	if [ -n "$asked_password" ]; then
		[ -z "$password_given" ] || fail "the password was not accepted: $(words)"
		password_given=1
	fi
	case "$action" in
	http://* | https://*) ;;
	/*) action=$(origin "$url")$action ;;
	'') action=$url ;;
	*) action=${url%%\?*} action=${action%/*}/$action ;;
	esac
	url=$action
	fetch "${fields[@]}" "$action"
}

# query NAME: a value of $url's query
query() {
	local value
	value=$(sed -n 's/.*[?&]'"$1"'=\([^&]*\).*/\1/p' <<<"$url" | tr '+' ' ')
	printf '%b' "${value//%/\\x}"
}

# glewlwyd's login page is a program: it signs in, grants the scopes and goes back to where it came from.
glewlwyd() {
	local back client scope site
	site=$(origin "$url")
	case $(query prompt) in
	deviceComplete) exit 0 ;;
	device*) fail "glewlwyd says $(query prompt)" ;;
	esac
	[ -z "$password_given" ] || fail "glewlwyd asks again: $url"
	password_given=1
	back=$(query callback_url) client=$(query client_id) scope=$(query scope)
	jq -nc --arg username "$user" --rawfile password "$dir/password" '{$username, $password}' >"$dir/body"
	fetch -H 'Content-Type: application/json' --data-binary "@$dir/body" "$site/api/auth/"
	[ "$status" = 200 ] || fail "the password was not accepted: status $status"
	jq -nc --arg scope "$scope" '{$scope}' >"$dir/body"
	fetch -X PUT -H 'Content-Type: application/json' --data-binary "@$dir/body" "$site/api/auth/grant/$client"
	[ "$status" = 200 ] || fail "the scopes were not granted: status $status"
	fetch "$back&g_continue"
}

if [ -z "$code" ] && [[ $url =~ [?\&]user_code=([A-Za-z0-9-]+) ]]; then
	code=${BASH_REMATCH[1]}
fi
password_given=
fetch "$url"
for ((step = 0; step < 12; step++)); do
	state=$(grep -m1 'id="warren-state"' "$dir/tags" | attribute value || true)
	case "$state" in
	done) exit 0 ;;
	failed) fail "$(words)" ;;
	esac
	if [[ $url == */login.html\?* ]]; then
		glewlwyd
		continue
	fi
	! grep -q 'role="alert"' "$dir/tags" || fail "$(words)"
	if grep -q '^<form' "$dir/tags"; then
		submit
		continue
	fi
	# Pages of others: the loopback address of a program that waits, and oidc-provider's last page.
	if [ "$status" = 200 ]; then
		[[ $url =~ ^http://(127\.0\.0\.1|\[::1\]):[0-9]+/ ]] && [[ $url == *code=* ]] && exit 0
		grep -qi 'sign-in success' "$dir/tags" && exit 0
	fi
	fail "status $status and no form at ${url%%\?*}: $(words)"
done
fail "not done after $step forms"
