package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"

	"showrunner/problem"
)

// keys loads the identities once. The file may hold several identities, one a
// line: the first encrypts and all decrypt, so that a key can be replaced while
// old ciphertexts remain.
type keys struct {
	Options

	mu     sync.Mutex
	loaded []*age.X25519Identity
}

func (k *keys) where() string {
	if k.Identity != "" {
		return "the identity given in the configuration"
	}
	return k.KeyFile
}

func (k *keys) identities() ([]age.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return nil, err
	}
	list := make([]age.Identity, len(k.loaded))
	for i, id := range k.loaded {
		list[i] = id
	}
	return list, nil
}

// recipient returns the public key to encrypt to. It creates the key file when
// there is no file and nothing has been encrypted yet. A key that is lost while
// ciphertexts exist is never replaced silently: that would hide the loss until a
// deployment needs the old values.
func (k *keys) recipient(ctx context.Context, records Records) (age.Recipient, error) {
	first, err := k.first(ctx, records)
	if err != nil {
		return nil, err
	}
	return first.Recipient(), nil
}

// first returns the identity that encrypts.
func (k *keys) first(ctx context.Context, records Records) (*age.X25519Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.load()
	if errors.Is(err, fs.ErrNotExist) {
		existing, listErr := records.ListRecords(ctx, collection, "", "", 1)
		if listErr != nil {
			return nil, problem.Wrap(listErr, "", "secret.key", "looking for secrets that an earlier key encrypted")
		}
		if len(existing) > 0 {
			return nil, err
		}
		err = k.create()
	}
	if err != nil {
		return nil, err
	}
	return k.loaded[0], nil
}

func (k *keys) load() error {
	const op = "secret.key"
	if len(k.loaded) > 0 {
		return nil
	}
	text := k.Identity
	if text == "" {
		info, err := os.Stat(k.KeyFile)
		if errors.Is(err, fs.ErrNotExist) {
			return problem.Wrap(err, problem.Precondition, op, "the key that secrets are encrypted with is missing").
				WithHelp("put %s back from a backup; without it the secrets are lost: delete each and set it again", k.KeyFile)
		}
		if err != nil {
			return problem.Wrap(err, problem.Precondition, op, "reading the key")
		}
		if info.Mode().Perm()&0o077 != 0 {
			return problem.New(problem.Precondition, op, "%s may be read by others (mode %04o)", k.KeyFile, info.Mode().Perm()).
				WithHelp("chmod 600 %s, and consider replacing the secrets if others have an account here", k.KeyFile)
		}
		data, err := os.ReadFile(k.KeyFile)
		if err != nil {
			return problem.Wrap(err, problem.Precondition, op, "reading the key")
		}
		text = string(data)
	}
	// age's own error quotes the line, which may be most of a key.
	parsed, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return problem.New(problem.Precondition, op, "%s holds no age identity", k.where()).
			WithHelp("it has to be a line that begins with AGE-SECRET-KEY-1, as age-keygen writes it")
	}
	for _, id := range parsed {
		x, ok := id.(*age.X25519Identity)
		if !ok {
			return problem.New(problem.Precondition, op, "%s holds an identity that is not X25519", k.where())
		}
		k.loaded = append(k.loaded, x)
	}
	return nil
}

// create writes a complete new identity to a temporary file and then renames it.
// So of two processes one wins and the other reads the winner's key, and a crash
// leaves either no key or a complete one.
func (k *keys) create() error {
	const op = "secret.key"
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "making a key")
	}
	dir := filepath.Dir(k.KeyFile)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return problem.Wrap(err, problem.Precondition, op, "making the folder of the key")
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return problem.Wrap(err, problem.Precondition, op, "writing the key")
	}
	defer os.Remove(tmp.Name())
	_, err = fmt.Fprintf(tmp, "# encrypts the secrets of this data folder; keep a copy apart from backups of the folder\n# public key: %s\n%s\n", id.Recipient(), id)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Link(tmp.Name(), k.KeyFile)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return problem.Wrap(err, problem.Precondition, op, "writing the key")
	}
	syncDir(dir)
	return k.load()
}

// syncDir makes the new name durable where the system supports it; elsewhere the
// rename has to suffice.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync() //nolint:errcheck
		d.Close()
	}
}
