package build

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// hashFiles is the command that a cache's key may use. It is a script, so that
// it works in any container too.
const hashFiles = `#!/bin/sh
# Prints one SHA-256 over the contents of the files named, in the order of their paths.
if [ $# -eq 0 ]; then echo "usage: codebuild-hash-files FILE..." >&2; exit 2; fi
cd "${CODEBUILD_SRC_DIR:-.}" || exit 1
list() {
  for p in "$@"; do
    if [ -f "$p" ]; then printf '%s\n' "$p"; continue; fi
    case $p in
    *'**'*) find . -type f -path "./$(printf '%s' "${p#./}" | sed 's|\*\*/|*|g; s|\*\*|*|g')" ;;
    *) for f in $p; do if [ -f "$f" ]; then printf '%s\n' "$f"; fi; done ;;
    esac
  done
}
files=$(list "$@" | LC_ALL=C sort -u)
if [ -z "$files" ]; then echo "codebuild-hash-files: no file matches $*" >&2; exit 1; fi
sum=sha256sum
command -v sha256sum >/dev/null 2>&1 || sum='shasum -a 256'
printf '%s\n' "$files" | while IFS= read -r f; do cat "$f"; done | $sum | cut -d' ' -f1
`

// ControlFolder is where the shell of the build in dir keeps its state: in
// memory, where the system has a folder for that.
func ControlFolder(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	base := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && info.Mode()&os.ModeSticky != 0 && !strings.HasPrefix(dir, "/dev/shm/") {
		base = "/dev/shm"
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(base, "showrunner-build-"+hex.EncodeToString(sum[:8]))
}
