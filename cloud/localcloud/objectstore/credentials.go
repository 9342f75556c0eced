package objectstore

import (
	"bufio"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"showrunner/problem"
)

// Credentials sign a client's requests.
type Credentials struct {
	AccessKey string `json:"accessKeyId"`
	SecretKey string `json:"secretAccessKey"`
}

// LoadCredentials reads the credentials in file, and first makes random ones when
// there is no file. The file has mode 0600 and the form of an AWS shared
// credentials file, so that `AWS_SHARED_CREDENTIALS_FILE=FILE aws s3 …` works.
// Several processes may call it at the same time: all get the same credentials.
func LoadCredentials(file string) (Credentials, error) {
	const op = "objectstore.credentials"
	c, err := readCredentials(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return Credentials{}, problem.Wrap(err, problem.Internal, op, "making the folder of %s", file)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".credentials-*") // 0600
	if err != nil {
		return Credentials{}, problem.Wrap(err, problem.Internal, op, "writing %s", file)
	}
	defer os.Remove(tmp.Name())
	_, err = fmt.Fprintf(tmp, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", newAccessKey(), newSecretKey())
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return Credentials{}, problem.Wrap(err, problem.Internal, op, "writing %s", file)
	}
	// Link does not replace a file: of several processes one wins, and all read
	// its file.
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return Credentials{}, problem.Wrap(err, problem.Internal, op, "writing %s", file)
	}
	return readCredentials(file)
}

func readCredentials(file string) (Credentials, error) {
	f, err := os.Open(file)
	if err != nil {
		return Credentials{}, err
	}
	defer f.Close()
	var c Credentials
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKey = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.SecretKey = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return Credentials{}, err
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return Credentials{}, problem.New(problem.Precondition, "objectstore.credentials", "%s holds no credentials", file).
			WithHelp("remove the file to have new ones made")
	}
	return c, nil
}

// newAccessKey has the form that clients expect: 20 upper-case characters.
func newAccessKey() string {
	var b [10]byte
	rand.Read(b[:])
	return "AKIA" + base32.StdEncoding.EncodeToString(b[:])
}

func newSecretKey() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
