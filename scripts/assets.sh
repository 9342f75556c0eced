#!/bin/sh
# Makes the assets from elsewhere anew and checks that they are the committed ones.
set -eu
cd "$(dirname "$0")/../web/assets"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$tmp" && npm pack --silent htmx.org@4.0.1 >/dev/null && tar xzf htmx.org-4.0.1.tgz)
cp "$tmp/package/dist/htmx.min.js" htmx.min.js
cp "$tmp/package/LICENSE" htmx.LICENSE
sha256sum -c SHA256SUMS
