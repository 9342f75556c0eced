package localcloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"

	"showrunner/internal/filelock"
	"showrunner/problem"
)

var regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// CredentialsFile is the file with the keys of the object storages of a data
// folder: one pair for all regions, as in one AWS account.
func CredentialsFile(data string) string { return filepath.Join(data, "aws-credentials") }

// SocketName is the name of a region's control socket, for package sockpath.
func SocketName(region string) string { return "region-" + region }

// ports are the last addresses of a region, and the key that it gave to its edge.
type ports struct {
	Front   string `json:"front"`
	S3      string `json:"s3"`
	EdgeKey string `json:"edgeKey,omitempty"`
}

func loadPorts(file string) (ports, error) {
	var p ports
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, problem.Wrap(err, problem.Internal, "region.run", "reading %s", file)
	}
	return p, nil
}

func savePorts(file string, p ports) error {
	data, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(file+".tmp", data, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".tmp", file)
	}
	if err != nil {
		return problem.Wrap(err, problem.Internal, "region.run", "writing %s", file)
	}
	return nil
}

// listen opens the requested address, otherwise the remembered one, otherwise a
// free port. Only a requested address that is taken is an error.
func listen(asked, remembered string) (net.Listener, error) {
	if asked != "" {
		return net.Listen("tcp", asked)
	}
	if remembered != "" {
		if l, err := net.Listen("tcp", remembered); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// lockFolder locks the folder for this process; the system releases the lock when
// the process ends in any way.
func lockFolder(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, "lock")
	f, err := filelock.Claim(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
