package secretsmanager

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
)

type filter struct {
	Key    string
	Values []string
}

// matches says whether a filter selects a secret: one of its values matches; a
// value that begins with "!" selects what does not match it.
func (f filter) matches(c *wire.Call, d document) bool {
	return slices.ContainsFunc(f.Values, func(v string) bool {
		wanted, not := strings.CutPrefix(v, "!")
		return f.one(c, d, wanted) != not
	})
}

func (f filter) one(c *wire.Call, d document, v string) bool {
	switch f.Key {
	case "name":
		return strings.HasPrefix(d.Name, v)
	case "description":
		return words(d.Description, v)
	case "tag-key":
		return slices.ContainsFunc(d.Tags, func(t tag) bool { return strings.HasPrefix(t.Key, v) })
	case "tag-value":
		return slices.ContainsFunc(d.Tags, func(t tag) bool { return strings.HasPrefix(t.Value, v) })
	case "primary-region":
		return v == c.Region
	case "owning-service":
		return false
	}
	return words(d.Name, v) || words(d.Description, v) || slices.ContainsFunc(d.Tags, func(t tag) bool { return words(t.Key, v) || words(t.Value, v) })
}

// words says whether every word of v begins a word of text, whatever their case.
func words(text, v string) bool {
	have := strings.FieldsFunc(strings.ToLower(text), separates)
	want := strings.FieldsFunc(strings.ToLower(v), separates)
	if len(want) == 0 {
		return false
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return true
}

func separates(r rune) bool { return strings.ContainsRune(" /_+=.@-", r) }

// search lists a page of the secrets that every filter selects, and the token of the next.
func (s *Secrets) search(ctx context.Context, c *wire.Call, filters []filter, planned bool, asked *int64, next string, otherwise int) ([]document, string, error) {
	after, err := openToken(next)
	if err != nil {
		return nil, "", err
	}
	most := wire.Page(asked, otherwise)
	var found []document
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, "", err
		}
		if e.Key <= after || !s.selected(c, e, filters, planned) {
			continue
		}
		if len(found) == most {
			return found, wire.Token(c.Region + "/" + found[most-1].Name), nil
		}
		found = append(found, e.Doc)
	}
	return found, "", nil
}

func (s *Secrets) selected(c *wire.Call, e state.Entry[document], filters []filter, planned bool) bool {
	if s.over(e.Doc) || !planned && !e.Doc.Deletes.IsZero() {
		return false
	}
	return !slices.ContainsFunc(filters, func(f filter) bool { return !f.matches(c, e.Doc) })
}

type listInput struct {
	Filters                []filter
	IncludePlannedDeletion bool
	MaxResults             *int64
	NextToken, SortOrder   string
}

type listEntry struct {
	ARN, Name, Description, KmsKeyId                            string
	CreatedDate, LastChangedDate, LastAccessedDate, DeletedDate time.Time
	Tags                                                        []tag
	SecretVersionsToStages                                      map[string][]string
	RotationEnabled                                             *bool
	RotationLambdaARN                                           string
}

type listOutput struct {
	SecretList []listEntry
	NextToken  string
}

func (s *Secrets) list(ctx context.Context, c *wire.Call, in *listInput) (*listOutput, error) {
	found, next, err := s.search(ctx, c, in.Filters, in.IncludePlannedDeletion, in.MaxResults, in.NextToken, 100)
	if err != nil {
		return nil, err
	}
	if in.SortOrder == "desc" {
		slices.Reverse(found)
	}
	out := &listOutput{SecretList: []listEntry{}, NextToken: next}
	for _, d := range found {
		one := listEntry{ARN: d.ARN, Name: d.Name, Description: d.Description, KmsKeyId: d.KMSKey, CreatedDate: d.Created,
			LastChangedDate: d.Changed, LastAccessedDate: d.Accessed, DeletedDate: d.Marked, Tags: d.Tags, SecretVersionsToStages: d.stages()}
		if r := d.Rotation; r != nil {
			one.RotationEnabled, one.RotationLambdaARN = &r.Enabled, r.Function
		}
		out.SecretList = append(out.SecretList, one)
	}
	return out, nil
}
