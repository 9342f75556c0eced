package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"showrunner/problem"
)

// The types of the statements that we make: in-toto Statement v1 with a SLSA
// Provenance v1 predicate (https://slsa.dev/spec/v1.0/provenance).
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
)

// Statement says something about artifacts. This package only makes statements
// about where artifacts came from.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Provenance `json:"predicate"`
}

// Resource is a thing with a digest: {"sha256": …} for content,
// {"gitCommit": …} for a commit.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// Provenance says how artifacts were made.
type Provenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is the input of a build: a second build with an equal
// definition should make the same artifact.
type BuildDefinition struct {
	BuildType            string         `json:"buildType"`
	ExternalParameters   map[string]any `json:"externalParameters"`
	InternalParameters   map[string]any `json:"internalParameters,omitempty"`
	ResolvedDependencies []Resource     `json:"resolvedDependencies,omitempty"`
}

// RunDetails describes one run of the build.
type RunDetails struct {
	Builder    Builder    `json:"builder"`
	Metadata   Metadata   `json:"metadata"`
	Byproducts []Resource `json:"byproducts,omitempty"`
}

// Builder identifies the program that ran the build.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

// Metadata says when the build ran.
type Metadata struct {
	InvocationID string    `json:"invocationId,omitempty"`
	StartedOn    time.Time `json:"startedOn,omitzero"`
	FinishedOn   time.Time `json:"finishedOn,omitzero"`
}

// NewStatement makes the provenance statement of one artifact.
func NewStatement(name string, ref Ref, p Provenance) Statement {
	return Statement{
		Type:          StatementType,
		Subject:       []Resource{{Name: name, Digest: map[string]string{"sha256": ref.Hex()}}},
		PredicateType: PredicateType,
		Predicate:     p,
	}
}

// Attest keeps a statement beside an artifact. Two builds that make the same
// artifact leave two statements. Errors: not_found, invalid when the artifact
// is not among the statement's subjects.
func (s *Store) Attest(ctx context.Context, ref Ref, st Statement) error {
	const op = "artifact.attest"
	if !s.Has(ref) {
		return problem.New(problem.NotFound, op, "no artifact %s", ref)
	}
	named := false
	for _, subject := range st.Subject {
		named = named || subject.Digest["sha256"] == ref.Hex()
	}
	if !named || st.Type != StatementType || st.PredicateType != PredicateType {
		return problem.New(problem.Invalid, op, "the statement is not a provenance of %s", ref)
	}
	data, err := json.Marshal(st)
	if err != nil {
		return problem.Wrap(err, problem.Invalid, op, "statement on %s", ref)
	}
	sum := sha256.Sum256(data)
	// The name sorts by time and is the same for the same statement.
	stamp := st.Predicate.RunDetails.Metadata.FinishedOn.UTC().Format("20060102T150405.000000000Z")
	name := filepath.Join(s.path("statements", ref.Hex()), stamp+"-"+hex.EncodeToString(sum[:8])+".json")
	return s.shared(func() error { return s.writeFile(name, data) })
}

// Attestation returns the newest statement on an artifact. Errors: not_found.
func (s *Store) Attestation(ctx context.Context, ref Ref) (Statement, error) {
	all, err := s.Attestations(ctx, ref)
	if err == nil && len(all) == 0 {
		err = problem.New(problem.NotFound, "artifact.attestation", "no provenance is recorded for artifact %s", ref)
	}
	if err != nil {
		return Statement{}, err
	}
	return all[len(all)-1], nil
}

// Attestations returns all statements on an artifact, oldest first.
func (s *Store) Attestations(_ context.Context, ref Ref) ([]Statement, error) {
	const op = "artifact.attestation"
	h, err := digestHex(string(ref))
	if err != nil {
		return nil, err
	}
	dir := s.path("statements", h)
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err, op, "artifact %s", ref)
	}
	var all []Statement
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			return nil, unavailable(err, op, "artifact %s", ref)
		}
		// The name ends with the first digits of the content's digest.
		if sum := sha256.Sum256(data); !strings.HasSuffix(name.Name(), "-"+hex.EncodeToString(sum[:8])+".json") {
			return nil, corrupt(op, "statement on", string(ref))
		}
		var st Statement
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&st); err != nil {
			return nil, corrupt(op, "statement on", string(ref))
		}
		all = append(all, st)
	}
	return all, nil
}
