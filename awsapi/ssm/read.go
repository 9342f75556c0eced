package ssm

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

type parameter struct {
	ARN, DataType, Name, Selector, Type, Value string
	LastModifiedDate                           time.Time
	Version                                    int64
}

func (s *service) told(ctx context.Context, c *wire.Call, d document, v version, selector string, decrypt bool) (parameter, error) {
	text, err := s.text(ctx, v, decrypt)
	return parameter{ARN: arn(c, d.Name), DataType: v.DataType, Name: d.Name, Selector: selector, Type: v.Type, Value: text, LastModifiedDate: v.Modified, Version: v.Number}, err
}

type getInput struct {
	Name           string
	WithDecryption bool
}

type getOutput struct{ Parameter parameter }

func (s *service) get(ctx context.Context, c *wire.Call, in *getInput) (*getOutput, error) {
	d, v, selector, err := s.selected(ctx, c, in.Name)
	if wire.CodeOf(err) == "ParameterNotFound" {
		return nil, &wire.Error{Code: "ParameterNotFound"} // AWS says no more
	}
	if err != nil {
		return nil, err
	}
	p, err := s.told(ctx, c, d, v, selector, in.WithDecryption)
	return &getOutput{p}, err
}

type manyInput struct {
	Names          []string
	WithDecryption bool
}

type manyOutput struct {
	Parameters        []parameter
	InvalidParameters []string
}

func (s *service) getMany(ctx context.Context, c *wire.Call, in *manyInput) (*manyOutput, error) {
	out := &manyOutput{Parameters: []parameter{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		d, v, selector, err := s.selected(ctx, c, name)
		switch code := wire.CodeOf(err); code {
		case "":
		case "ParameterNotFound", "ParameterVersionNotFound":
			out.InvalidParameters = append(out.InvalidParameters, name)
			continue
		default:
			return nil, err
		}
		p, err := s.told(ctx, c, d, v, selector, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, p)
	}
	return out, nil
}

type pathInput struct {
	Path, NextToken           string
	Recursive, WithDecryption bool
	MaxResults                *int64
	ParameterFilters          []filter
}

type pathOutput struct {
	Parameters []parameter
	NextToken  string
}

func (s *service) getPath(ctx context.Context, c *wire.Call, in *pathInput) (*pathOutput, error) {
	if !strings.HasPrefix(in.Path, "/") {
		return nil, wire.Errorf("ValidationException", "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\".")
	}
	below := filter{Key: "Path", Option: "OneLevel", Values: []string{in.Path}}
	if in.Recursive {
		below.Option = "Recursive"
	}
	found, next, err := s.search(ctx, c, append([]filter{below}, in.ParameterFilters...), in.MaxResults, in.NextToken, 10)
	if err != nil {
		return nil, err
	}
	out := &pathOutput{Parameters: []parameter{}, NextToken: next}
	for _, d := range found {
		p, err := s.told(ctx, c, d, d.current(), "", in.WithDecryption)
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, p)
	}
	return out, nil
}

// search lists a page of the parameters that every filter selects, by name.
func (s *service) search(ctx context.Context, c *wire.Call, filters []filter, asked *int64, next string, otherwise int) ([]document, string, error) {
	for _, f := range filters {
		if err := f.check(); err != nil {
			return nil, "", err
		}
	}
	after, ok := wire.OpenToken(next)
	if !ok {
		return nil, "", wire.Errorf("InvalidNextToken", "The specified token isn't valid.")
	}
	most := wire.Page(asked, otherwise)
	var found []document
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, "", err
		}
		if e.Key <= after || slices.ContainsFunc(filters, func(f filter) bool { return !f.matches(e.Doc) }) {
			continue
		}
		if len(found) == most {
			return found, wire.Token(key(c, found[most-1].Name)), nil
		}
		found = append(found, e.Doc)
	}
	return found, "", nil
}

type historyInput struct {
	Name, NextToken string
	MaxResults      *int64
	WithDecryption  bool
}

type historyEntry struct {
	AllowedPattern, DataType, Description, KeyId, LastModifiedUser, Name, Tier, Type, Value string
	Labels                                                                                  []string
	LastModifiedDate                                                                        time.Time
	Version                                                                                 int64
}

type historyOutput struct {
	Parameters []historyEntry
	NextToken  string
}

func (s *service) history(ctx context.Context, c *wire.Call, in *historyInput) (*historyOutput, error) {
	d, _, _, err := s.selected(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, wire.Errorf("InvalidNextToken", "The specified token isn't valid.")
	}
	most, out := wire.Page(in.MaxResults, 50), &historyOutput{Parameters: []historyEntry{}}
	for _, v := range d.Versions {
		id := d.Name + " " + strings.Repeat("0", 20-len(itoa(v.Number))) + itoa(v.Number)
		if id <= after {
			continue
		}
		if len(out.Parameters) == most {
			break
		}
		text, err := s.text(ctx, v, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		labels := v.Labels
		if labels == nil {
			labels = []string{}
		}
		out.Parameters = append(out.Parameters, historyEntry{AllowedPattern: v.Pattern, DataType: v.DataType, Description: v.Description, KeyId: v.KMSKey, LastModifiedUser: v.By,
			Name: d.Name, Tier: v.Tier, Type: v.Type, Value: text, Labels: labels, LastModifiedDate: v.Modified, Version: v.Number})
		if v.Number != d.current().Number {
			out.NextToken = wire.Token(id)
		} else {
			out.NextToken = ""
		}
	}
	return out, nil
}

type describeInput struct {
	NextToken        string
	MaxResults       *int64
	ParameterFilters []filter
	Filters          []oldFilter
}

// oldFilter is the form of filters that AWS keeps for old clients.
type oldFilter struct {
	Key    string
	Values []string
}

type metadata struct {
	ARN, AllowedPattern, DataType, Description, KeyId, LastModifiedUser, Name, Tier, Type string
	LastModifiedDate                                                                      time.Time
	Version                                                                               int64
	Policies                                                                              []none
}

type describeOutput struct {
	Parameters []metadata
	NextToken  string
}

func (s *service) describe(ctx context.Context, c *wire.Call, in *describeInput) (*describeOutput, error) {
	filters := in.ParameterFilters
	for _, f := range in.Filters {
		one := filter{Key: f.Key, Values: f.Values}
		if f.Key == "Name" {
			one.Option = "BeginsWith"
		}
		filters = append(filters, one)
	}
	found, next, err := s.search(ctx, c, filters, in.MaxResults, in.NextToken, 50)
	if err != nil {
		return nil, err
	}
	out := &describeOutput{Parameters: []metadata{}, NextToken: next}
	for _, d := range found {
		v := d.current()
		out.Parameters = append(out.Parameters, metadata{ARN: arn(c, d.Name), AllowedPattern: v.Pattern, DataType: v.DataType, Description: v.Description, KeyId: v.KMSKey,
			LastModifiedUser: v.By, Name: d.Name, Tier: v.Tier, Type: v.Type, LastModifiedDate: v.Modified, Version: v.Number, Policies: []none{}})
	}
	return out, nil
}
