package codepipeline

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type createInput struct {
	Pipeline any
	Tags     []tag
}

type createOutput struct {
	Pipeline any
	Tags     []tag
}

// create makes a pipeline and, as on AWS, starts its first execution. The document
// comes first: what a crash cuts off, Run carries on.
func (s *Service) create(ctx context.Context, c *wire.Call, in *createInput) (*createOutput, error) {
	structure := normal(in.Pipeline, 1)
	name := delivery.Text(structure["name"])
	now := s.Now().UTC()
	d := document{Name: name, Region: c.Region, Version: 1, Created: now, Updated: now, Structure: structure, Tags: in.Tags, Pending: pendingCreate}
	if strings.Contains(name, "@") {
		if _, err := s.find(ctx, c, name); err == nil {
			return nil, inUse(name)
		}
	}
	if old, err := s.docs.Get(ctx, d.key()); err == nil {
		if old.Pending != pendingDelete {
			return nil, inUse(name)
		}
		if err := s.settle(ctx, d.key()); err != nil { // what a crash has left of its deletion
			return nil, err
		}
	}
	values, err := s.checked(ctx, &d, nil)
	if err != nil {
		return nil, err
	}
	if d.Application, err = s.freeApplication(ctx, c, name); err != nil {
		return nil, err
	}
	if err := s.carriedOut(ctx, d); err != nil {
		return nil, err
	}
	if err := s.keep(ctx, values); err != nil {
		return nil, err
	}
	if err = s.docs.Create(ctx, d.key(), d); err != nil {
		err = errors.Join(err, s.drop(ctx, slices.Collect(maps.Keys(values))))
		if problem.CodeOf(err) == problem.Conflict {
			return nil, inUse(name)
		}
		return nil, err
	}
	if err := s.settle(ctx, d.key()); err != nil {
		return nil, s.undo(ctx, d, err)
	}
	return &createOutput{d.Structure, in.Tags}, nil
}

func inUse(name string) error {
	return wire.Errorf("PipelineNameInUseException", "A pipeline with the name '%s' already exists in account '000000000000'", name)
}

// undo takes back a pipeline whose file was refused after all.
func (s *Service) undo(ctx context.Context, d document, cause error) error {
	if problem.CodeOf(cause) == problem.Unavailable {
		return cause // it is carried on later
	}
	return errors.Join(cause, s.drop(ctx, slices.Collect(maps.Values(d.Tokens))), s.docs.Delete(ctx, d.key(), nil))
}

// checked refuses what cannot be, and takes the credentials out of the structure.
func (s *Service) checked(ctx context.Context, d *document, kept map[string]string) (values map[string]string, err error) {
	if err := check(d.Structure); err != nil {
		return nil, err
	}
	for _, bucket := range stores(d.Structure) {
		if _, err := s.Renderer.Buckets.BucketRegion(ctx, bucket); problem.CodeOf(err) == problem.NotFound {
			return nil, invalidStructure("The artifact bucket %s does not exist", bucket)
		} else if err != nil {
			return nil, err
		}
	}
	values, d.Tokens, err = credentials(d.Structure, kept, func(action string) string {
		sum := sha256.Sum256([]byte(d.key() + "\n" + action + "\n" + rand.Text())) // each try has its own
		return "aws.codepipeline." + hex.EncodeToString(sum[:12])
	})
	return values, err
}

// freeApplication is a name for the application of a new pipeline that no other has.
func (s *Service) freeApplication(ctx context.Context, c *wire.Call, name string) (string, error) {
	docs, err := s.docs.List(ctx, "")
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, e := range docs {
		taken[e.Doc.Application] = true
	}
	name = strings.Trim(strings.ReplaceAll(name, "@", "-"), "._-")
	if name == "" || len(name) > 80 {
		name = "pipeline-" + name[:min(len(name), 60)]
	}
	for _, candidate := range []string{name, name + "." + c.Region, name + ".codepipeline." + c.Region} {
		if taken[candidate] {
			continue
		}
		_, err := s.Control.Application(ctx, s.Principal, candidate)
		if problem.CodeOf(err) == problem.NotFound {
			return candidate, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", wire.Errorf("PipelineNameInUseException", "There are applications named %s already: choose another name", name)
}

// keep keeps credentials, by the names of their secrets.
func (s *Service) keep(ctx context.Context, values map[string]string) error {
	for name, value := range values {
		if err := s.Values.Set(ctx, name, []byte(value)); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets credentials.
func (s *Service) drop(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := ignoreMissing(s.Values.Delete(ctx, name)); err != nil {
			return err
		}
	}
	return nil
}

// unused are the secrets of one document that another does not have.
func unused(before, after document) []string {
	kept := slices.Collect(maps.Values(after.Tokens))
	return slices.DeleteFunc(slices.Collect(maps.Values(before.Tokens)), func(name string) bool { return slices.Contains(kept, name) })
}

func versionKey(key string, version int64) string { return fmt.Sprintf("%s/%010d", key, version) }

// mostVersions is how many versions of a pipeline are kept.
const mostVersions = 100

type getInput struct {
	Name    string
	Version *int64
}

type metadata struct {
	Created, Updated time.Time
	PipelineArn      string
}

type getOutput struct {
	Pipeline any
	Metadata metadata
}

func arn(region, name string) string {
	return "arn:aws:codepipeline:" + region + ":000000000000:" + name
}

func (s *Service) get(ctx context.Context, c *wire.Call, in *getInput) (*getOutput, error) {
	t, err := s.find(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	out := &getOutput{Pipeline: t.structure(), Metadata: metadata{Created: t.created(), Updated: t.updated, PipelineArn: arn(c.Region, in.Name)}}
	if in.Version == nil || *in.Version == t.version {
		return out, nil
	}
	old, err := s.versions.Get(ctx, versionKey(c.Region+"/"+in.Name, *in.Version))
	if problem.CodeOf(err) == problem.NotFound || t.doc == nil || *in.Version > t.version {
		return nil, wire.Errorf("PipelineVersionNotFoundException", "Account '000000000000' does not have a pipeline with name '%s' and version '%d'", in.Name, *in.Version)
	}
	out.Pipeline = old
	return out, err
}

func (t target) created() time.Time {
	if t.doc != nil {
		return t.doc.Created
	}
	return t.updated
}

type updateInput struct{ Pipeline any }

type updateOutput struct{ Pipeline any }

// update changes a pipeline. Executions under way go on as they were started.
func (s *Service) update(ctx context.Context, c *wire.Call, in *updateInput) (*updateOutput, error) {
	name := delivery.Text(decoded(in.Pipeline)["name"])
	t, err := s.find(ctx, c, name)
	if err != nil {
		return nil, err
	}
	if t.doc == nil {
		return nil, wire.Errorf("ValidationException", "The pipeline %s was applied with a pipeline file: change the file and apply it", name)
	}
	next := *t.doc
	next.Version++
	next.Structure, next.Updated, next.Pending = normal(in.Pipeline, next.Version), s.Now().UTC(), pendingUpdate
	values, err := s.checked(ctx, &next, t.doc.Tokens)
	if err != nil {
		return nil, err
	}
	if err := s.carriedOut(ctx, next); err != nil {
		return nil, err
	}
	if err := s.keep(ctx, values); err != nil {
		return nil, err
	}
	_, err = s.docs.Update(ctx, next.key(), func(d *document) error {
		if d.Version != t.doc.Version || d.Pending == pendingDelete {
			return wire.Errorf("ConcurrentModificationException", "The pipeline %s was changed at the same moment", name)
		}
		next.Tags, next.Disabled = d.Tags, d.Disabled
		if d.Pending == pendingCreate {
			next.Pending = pendingCreate // its first execution is still to be started
		}
		*d = next
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.drop(ctx, slices.Collect(maps.Keys(values))))
	}
	if err = s.settle(ctx, next.key()); err == nil {
		err = s.drop(ctx, unused(*t.doc, next))
	}
	if err == nil && next.Version > mostVersions {
		err = ignoreMissing(s.versions.Delete(ctx, versionKey(next.key(), next.Version-mostVersions), nil))
	}
	return &updateOutput{next.Structure}, err
}

func ignoreMissing(err error) error {
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}

type nameInput struct{ Name string }

// delete deletes a pipeline; one that is not there is deleted already. Its
// executions under way are ended, as on AWS.
func (s *Service) delete(ctx context.Context, c *wire.Call, in *nameInput) (*struct{}, error) {
	t, err := s.find(ctx, c, in.Name)
	switch {
	case wire.CodeOf(err) == "PipelineNotFoundException":
		return nil, nil
	case err != nil:
		return nil, err
	case t.doc == nil:
		return nil, wire.Errorf("ValidationException", "The pipeline %s was applied with a pipeline file: showrunner applications delete %s, or take it out of the file", in.Name, t.app)
	}
	if _, err := s.docs.Update(ctx, t.doc.key(), func(d *document) error { d.Pending = pendingDelete; return nil }); err != nil {
		return nil, ignoreMissing(err)
	}
	return nil, s.settle(ctx, t.doc.key())
}

type listInput struct {
	MaxResults *int64
	NextToken  string
}

type summary struct {
	Name, PipelineType, ExecutionMode string
	Created, Updated                  time.Time
	Version                           int64
}

type listOutput struct {
	Pipelines []summary
	NextToken string
}

func (s *Service) list(ctx context.Context, c *wire.Call, in *listInput) (*listOutput, error) {
	docs, err := s.docs.List(ctx, c.Region+"/")
	if err != nil {
		return nil, err
	}
	all, err := s.others(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range docs {
		if e.Doc.Pending != pendingDelete {
			all = append(all, target{name: e.Doc.Name, doc: &e.Doc, updated: e.Doc.Updated, version: e.Doc.Version})
		}
	}
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.name, b.name) })
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, badToken()
	}
	most, out := wire.Page(in.MaxResults, 1000), &listOutput{Pipelines: []summary{}}
	for _, t := range all {
		if t.name <= after {
			continue
		}
		if len(out.Pipelines) == most {
			out.NextToken = wire.Token(out.Pipelines[most-1].Name)
			break
		}
		st := t.structure()
		out.Pipelines = append(out.Pipelines, summary{Name: t.name, Version: t.version, Created: t.created(), Updated: t.updated,
			PipelineType: delivery.Text(st["pipelineType"]), ExecutionMode: delivery.Text(st["executionMode"])})
	}
	return out, nil
}

func badToken() error {
	return wire.Errorf("InvalidNextTokenException", "The specified next token is not valid")
}
