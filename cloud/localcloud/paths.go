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

// CredentialsFile is where the keys of the object storages of a data folder
// are: one pair for all regions, as one account has.
func CredentialsFile(data string) string { return filepath.Join(data, "aws-credentials") }

// SocketName is the name, for package sockpath, of a region's control socket.
func SocketName(region string) string { return "region-" + region }

// ports are where a region last listened, and the key that it gave to its edge.
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

// listen opens the address asked for, or else the remembered one, or else a
// free port: only what was asked for is insisted on.
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

// lockFolder takes the folder for this process; the system lets go of it
// however the process ends.
func lockFolder(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, "lock")
	f, err := filelock.Try(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
