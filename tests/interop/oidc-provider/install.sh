#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts the provider and its packages into FOLDER (default: build/oidc-provider). Needs the network, so
# it runs before the tests are put into boxes of their own. 77: no npm, or no registry.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../../build/oidc-provider}

command -v npm >/dev/null || { echo "install.sh: skipped: npm is not installed" >&2; exit 77; }
mkdir -p "$folder"
for file in package.json package-lock.json .npmrc provider.mjs; do # a test beside this one may be reading them
	cmp -s "$here/$file" "$folder/$file" && continue
	cp "$here/$file" "$folder/$file.$$"
	mv "$folder/$file.$$" "$folder/$file"
done
cd "$folder"
if [[ -e node_modules/.warren-lock ]] && cmp -s package-lock.json node_modules/.warren-lock; then
	exit 0
fi
npm ci --no-audit --no-fund --loglevel=error ||
	{ echo "install.sh: skipped: npm ci failed (no network?)" >&2; exit 77; }
cp package-lock.json node_modules/.warren-lock
