#!/bin/sh
# Builds the site and the service into out/. Needs sh, sed, git and go.
#
# Assets carry the hash of their content in their names, so that they may be
# kept for ever and a page never meets the assets of another version.
set -eu

version=${CODEBUILD_RESOLVED_SOURCE_VERSION:-$(git rev-parse HEAD 2>/dev/null || echo development)}
short=$version
[ ${#version} -lt 40 ] || short=$(printf %.7s "$version")
built=$(date -u +%Y-%m-%dT%H:%M:%SZ)

rm -rf out
mkdir -p out/site/assets out/service

# asset FILE copies it under its hashed name and prints the path for the page.
asset() {
  name=${1##*/}
  hash=$(git hash-object "$1" | cut -c1-12)
  hashed="assets/${name%.*}-$hash.${name##*.}"
  cp "$1" "out/site/$hashed"
  printf '/%s' "$hashed"
}

sed -e "s|@STYLE@|$(asset site/style.css)|" \
    -e "s|@SCRIPT@|$(asset site/page.js)|" \
    -e "s|@MARK@|$(asset site/mark.svg)|" \
    -e "s|@VERSION@|$short|g" \
    -e "s|@BUILT@|$built|g" \
    site/page.html > out/site/index.html
sed -e "s|@STYLE@|$(asset site/style.css)|" -e "s|@MARK@|$(asset site/mark.svg)|" site/404.html > out/site/404.html
printf '{"version":"%s","built":"%s"}\n' "$version" "$built" > out/site/version.json

# The usual settings, so that what is compiled already is used again.
go build -ldflags "-s -w" -o out/service/storefront main.go
echo "built $short"
