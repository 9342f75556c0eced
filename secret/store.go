package secret

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"io"
	"regexp"
	"time"

	"filippo.io/age"

	"showrunner/problem"
	"showrunner/store/record"
)

// MaxSize bounds one value, in bytes.
const MaxSize = 64 << 10

const collection = "secrets"

// Records keeps the ciphertexts. GetRecord returns not_found for a record that
// does not exist; PutRecord returns conflict when the version does not match.
type Records interface {
	GetRecord(ctx context.Context, collection, key string) (record.Record, error)
	PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error)
	DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error
	ListRecords(ctx context.Context, collection, prefix, after string, limit int) ([]record.Record, error)
}

// Info is the public data of a secret.
type Info struct {
	Name    string    `json:"name"`
	Updated time.Time `json:"updated"`
}

// Store keeps secrets. Its methods may be called concurrently and from several
// processes that share the records and the key.
type Store struct {
	records Records
	keys    *keys
}

// Options say where the key comes from.
type Options struct {
	// KeyFile holds an age identity, mode 0600. The first Set creates it.
	KeyFile string
	// Identity is the identity itself (AGE-SECRET-KEY-1…), for replicas that get
	// it from their environment; KeyFile is then ignored.
	Identity string
}

// New returns a store. It reads the key at the first use, not now, so that a
// machine without secrets needs no key.
func New(records Records, o Options) *Store {
	return &Store{records: records, keys: &keys{Options: o}}
}

// sealed is the record of one secret.
type sealed struct {
	Format     int    `json:"format"` // 1
	Ciphertext []byte `json:"ciphertext"`
}

// opened is the encrypted content. It includes the name, so that a ciphertext
// that was moved to another name is rejected.
type opened struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$`)

// CheckName returns an invalid problem for text that cannot be a secret's name:
// letters, digits and "_./-", at most 128, beginning with a letter, digit or "_".
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return problem.New(problem.Invalid, "secret.name", "%q cannot be the name of a secret", name).
			WithHelp("use letters, digits and _ . / -, beginning with a letter, a digit or _, at most 128 characters")
	}
	return nil
}

// Set creates or replaces a secret. Events are recorded with it.
func (s *Store) Set(ctx context.Context, name string, value []byte, events ...record.Event) error {
	const op = "secret.set"
	if err := CheckName(name); err != nil {
		return err
	}
	switch {
	case len(value) == 0:
		return problem.New(problem.Invalid, op, "the value of %s is empty", name).
			WithHelp("give the value on standard input; delete the secret if it is no longer needed")
	case len(value) > MaxSize:
		return problem.New(problem.Invalid, op, "the value of %s has %d bytes, at most %d are kept", name, len(value), MaxSize)
	}
	recipient, err := s.keys.recipient(ctx, s.records)
	if err != nil {
		return err
	}
	data, err := seal(recipient, opened{Name: name, Value: value})
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "encrypting %s", name)
	}
	for {
		current, err := s.records.GetRecord(ctx, collection, name)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return problem.Wrap(err, "", op, "reading %s", name)
		}
		_, err = s.records.PutRecord(ctx, record.Record{Collection: collection, Key: name, Version: current.Version, Data: data}, events...)
		if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue // another process set it at the same moment; the later write wins
		}
		if err != nil {
			return problem.Wrap(err, "", op, "keeping %s", name)
		}
		return nil
	}
}

// DeriveKey returns a key for another purpose, derived from the key that encrypts
// the secrets. It is the same as long as that key is the same, and does not
// reveal that key. Like Set it creates the key when there is none and nothing has
// been encrypted yet.
func (s *Store) DeriveKey(ctx context.Context, purpose string) ([]byte, error) {
	identity, err := s.keys.first(ctx, s.records)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(identity.String()))
	mac.Write([]byte(purpose))
	return mac.Sum(nil), nil
}

// Delete removes a secret. Errors: not_found.
func (s *Store) Delete(ctx context.Context, name string, events ...record.Event) error {
	const op = "secret.delete"
	for {
		current, err := s.records.GetRecord(ctx, collection, name)
		if err != nil {
			return s.missing(err, op, name)
		}
		err = s.records.DeleteRecord(ctx, collection, name, current.Version, events...)
		if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return s.missing(err, op, name)
		}
		return nil
	}
}

// List returns the secrets by name, without values.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	const page = 500
	list := []Info{}
	for after := ""; ; {
		records, err := s.records.ListRecords(ctx, collection, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "secret.list", "listing secrets")
		}
		for _, r := range records {
			list = append(list, Info{Name: r.Key, Updated: r.Updated})
			after = r.Key
		}
		if len(records) < page {
			return list, nil
		}
	}
}

// Resolve returns a secret's value. Errors: not_found; precondition when the
// current key is not the key that encrypted it.
func (s *Store) Resolve(ctx context.Context, name string) (string, error) {
	const op = "secret.resolve"
	r, err := s.records.GetRecord(ctx, collection, name)
	if err != nil {
		return "", s.missing(err, op, name)
	}
	identities, err := s.keys.identities()
	if err != nil {
		return "", err
	}
	o, err := unseal(identities, r.Data)
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, op, "the secret %s cannot be decrypted with this key", name).
			WithHelp("restore the key that encrypted it (%s), or set it again: showrunner secret set %s", s.keys.where(), name)
	}
	if o.Name != name {
		return "", problem.New(problem.Precondition, op, "the ciphertext kept for %s belongs to another secret", name).
			WithHelp("set it again: showrunner secret set %s", name)
	}
	return string(o.Value), nil
}

func (s *Store) missing(err error, op, name string) error {
	if problem.CodeOf(err) != problem.NotFound {
		return problem.Wrap(err, "", op, "reading %s", name)
	}
	return problem.New(problem.NotFound, op, "there is no secret named %q", name).
		WithHelp("set it: showrunner secret set %s (value on standard input)", name)
}

func seal(to age.Recipient, o opened) (json.RawMessage, error) {
	plain, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return json.Marshal(sealed{Format: 1, Ciphertext: out.Bytes()})
}

func unseal(with []age.Identity, data json.RawMessage) (opened, error) {
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return opened{}, err
	}
	if s.Format != 1 {
		return opened{}, problem.New(problem.Precondition, "secret.unseal", "format %d was written by a newer version", s.Format)
	}
	r, err := age.Decrypt(bytes.NewReader(s.Ciphertext), with...)
	if err != nil {
		return opened{}, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, 2*MaxSize))
	if err != nil {
		return opened{}, err
	}
	var o opened
	return o, json.Unmarshal(plain, &o)
}
