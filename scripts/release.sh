#!/bin/sh
# Writes a release into dist/: a static binary for each system, their SHA-256
# checksums, and what the image is made of. release.sh VERSION
set -eu

version=${1:-}
case $version in
v[0-9]*) ;;
*)
	echo "usage: $0 VERSION, such as v0.3.0" >&2
	exit 2
	;;
esac
commit=$(git rev-parse HEAD 2>/dev/null || true)
date=$(git log -1 --format=%cI 2>/dev/null || true)
targets=${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}

rm -rf dist
mkdir -p dist
for target in $targets; do
	os=${target%/*}
	arch=${target#*/}
	file=showrunner-$version-$os-$arch
	echo "$file"
	# The same commit and toolchain make the same bytes, on any machine and in any folder.
	GOOS=$os GOARCH=$arch CGO_ENABLED=0 ${GO:-go} build -trimpath -buildvcs=false \
		-ldflags "-s -w -X showrunner/cli.releaseVersion=$version -X showrunner/cli.releaseCommit=$commit -X showrunner/cli.releaseDate=$date" \
		-o "dist/$file" ./cmd/showrunner
done
(cd dist && if command -v sha256sum >/dev/null 2>&1; then sha256sum showrunner-*; else shasum -a 256 showrunner-*; fi >SHA256SUMS)
cat dist/SHA256SUMS
