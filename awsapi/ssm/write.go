package ssm

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type tag struct{ Key, Value string }

type putInput struct {
	Name, Type, Value, Description, AllowedPattern, DataType, KeyId, Tier string
	Overwrite                                                             bool
	Tags                                                                  []tag
}

type putOutput struct {
	Version int64
	Tier    string
}

// sizes are the most bytes of a value, by tier.
var sizes = map[string]int{"Standard": 4 << 10, "Advanced": 8 << 10}

// checkValue says whether a value may be put, and in which tier.
func checkValue(in *putInput) (tier string, err error) {
	switch tier = in.Tier; {
	case tier == "Intelligent-Tiering" && len(in.Value) > sizes["Standard"]:
		tier = "Advanced"
	case tier == "" || tier == "Intelligent-Tiering":
		tier = "Standard"
	}
	if len(in.Value) > sizes[tier] {
		return "", wire.Errorf("ValidationException", "%s tier parameters support a maximum parameter value of %d characters.", tier, sizes[tier])
	}
	if in.AllowedPattern != "" {
		p, err := regexp.Compile(`^(?:` + in.AllowedPattern + `)$`)
		if err != nil {
			return "", wire.Errorf("InvalidAllowedPatternException", "The request does not meet the regular expression requirement.")
		}
		if !p.MatchString(in.Value) {
			return "", wire.Errorf("ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", in.AllowedPattern)
		}
	}
	return tier, nil
}

func (s *service) put(ctx context.Context, c *wire.Call, in *putInput) (*putOutput, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	tier, err := checkValue(in)
	if err != nil {
		return nil, err
	}
	if in.Overwrite && len(in.Tags) > 0 {
		return nil, wire.Errorf("ValidationException", "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	}
	var gone []version
	d, err := s.docs.Put(ctx, key(c, in.Name), func(d *document) error {
		gone = nil
		made := version{Number: 1, Type: in.Type, Value: in.Value, DataType: in.DataType, Description: in.Description, Pattern: in.AllowedPattern,
			KMSKey: in.KeyId, Tier: tier, Modified: s.now().UTC(), By: c.Caller}
		if d.Name != "" {
			if !in.Overwrite {
				return wire.Errorf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
			}
			last := d.current()
			made.Number = last.Number + 1
			if made.Type == "" {
				made.Type = last.Type
			}
			if made.Description == "" {
				made.Description = last.Description
			}
		}
		if made.Type == "" {
			return wire.Errorf("ValidationException", "A parameter type is required when you create a parameter.")
		}
		if made.DataType == "" {
			made.DataType = "text"
		}
		if made.Type == secure {
			if made.KMSKey == "" {
				made.KMSKey = "alias/aws/ssm"
			}
			made.Value = valueName(c, in.Name, made.Number, made.Modified)
			if err := s.values.Set(ctx, made.Value, []byte(in.Value)); err != nil {
				return err
			}
		}
		if d.Name == "" {
			d.Name, d.Tags = in.Name, in.Tags
		}
		d.Versions = append(d.Versions, made)
		if extra := len(d.Versions) - mostVersions; extra > 0 {
			if labelled := d.Versions[0]; len(labelled.Labels) > 0 {
				return wire.Errorf("ParameterMaxVersionLimitExceeded", "You attempted to create a new version of %s by calling the PutParameter API with the overwrite flag. Version %d, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.", in.Name, labelled.Number)
			}
			gone, d.Versions = d.Versions[:extra], d.Versions[extra:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &putOutput{Version: d.current().Number, Tier: tier}, s.forget(ctx, gone)
}

type nameInput struct{ Name string }

type none struct{}

func (s *service) delete(ctx context.Context, c *wire.Call, in *nameInput) (*none, error) {
	there, err := s.remove(ctx, c, in.Name)
	if err == nil && !there {
		err = notFound(in.Name)
	}
	return &none{}, err
}

// remove deletes a parameter and its values, and says whether it was there.
func (s *service) remove(ctx context.Context, c *wire.Call, name string) (bool, error) {
	d, _, _, err := s.selected(ctx, c, name)
	if wire.CodeOf(err) == "ParameterNotFound" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := s.docs.Delete(ctx, key(c, d.Name), nil); err != nil && problem.CodeOf(err) != problem.NotFound {
		return false, err
	}
	return true, s.forget(ctx, d.Versions)
}

type namesInput struct{ Names []string }

type deletedOutput struct{ DeletedParameters, InvalidParameters []string }

func (s *service) deleteMany(ctx context.Context, c *wire.Call, in *namesInput) (*deletedOutput, error) {
	out := &deletedOutput{DeletedParameters: []string{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		there, err := s.remove(ctx, c, name)
		switch {
		case err != nil:
			return nil, err
		case there:
			out.DeletedParameters = append(out.DeletedParameters, name)
		default:
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}

type labelInput struct {
	Name             string
	ParameterVersion *int64
	Labels           []string
}

type labelOutput struct {
	InvalidLabels    []string
	ParameterVersion int64
}

var validLabel = regexp.MustCompile(`^[A-Za-z_.\-][A-Za-z0-9_.\-]*$`)

// mostLabels is how many labels a version has at most.
const mostLabels = 10

func (s *service) label(ctx context.Context, c *wire.Call, in *labelInput) (*labelOutput, error) {
	out := &labelOutput{InvalidLabels: []string{}}
	var labels []string
	for _, l := range in.Labels {
		lower := strings.ToLower(l)
		if !validLabel.MatchString(l) || strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm") {
			out.InvalidLabels = append(out.InvalidLabels, l)
			continue
		}
		labels = append(labels, l)
	}
	_, err := s.docs.Update(ctx, key(c, in.Name), func(d *document) error {
		number := d.current().Number
		if in.ParameterVersion != nil {
			number = *in.ParameterVersion
		}
		at := slices.IndexFunc(d.Versions, func(v version) bool { return v.Number == number })
		if at < 0 {
			return wire.Errorf("ParameterVersionNotFound", "Systems Manager could not find version %d of %s. Verify the version and try again.", number, in.Name)
		}
		for i := range d.Versions {
			d.Versions[i].Labels = slices.DeleteFunc(d.Versions[i].Labels, func(l string) bool { return slices.Contains(labels, l) })
		}
		v := &d.Versions[at]
		if len(v.Labels)+len(labels) > mostLabels {
			return wire.Errorf("ParameterVersionLabelLimitExceeded", "An error occurred (ParameterVersionLabelLimitExceeded): a version has at most %d labels.", mostLabels)
		}
		v.Labels = append(v.Labels, labels...)
		out.ParameterVersion = number
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = notFound(in.Name)
	}
	return out, err
}

type resourceInput struct{ ResourceType, ResourceId string }

type tagInput struct {
	ResourceType, ResourceId string
	Tags                     []tag
}

// changeTags updates the tags of a parameter: other resources of Systems Manager
// are not served.
func (s *service) changeTags(ctx context.Context, c *wire.Call, kind, id string, how func([]tag) []tag) error {
	if kind != "Parameter" {
		return wire.Errorf("InvalidResourceType", "The resource type %s is not served here: Parameter is.", kind)
	}
	_, err := s.docs.Update(ctx, key(c, id), func(d *document) error { d.Tags = how(d.Tags); return nil })
	if problem.CodeOf(err) == problem.NotFound {
		err = wire.Errorf("InvalidResourceId", "The resource ID isn't valid. Verify that you entered the correct ID and try again.")
	}
	return err
}

func (s *service) tag(ctx context.Context, c *wire.Call, in *tagInput) (*none, error) {
	return &none{}, s.changeTags(ctx, c, in.ResourceType, in.ResourceId, func(tags []tag) []tag {
		for _, t := range in.Tags {
			tags = slices.DeleteFunc(tags, func(o tag) bool { return o.Key == t.Key })
		}
		return append(tags, in.Tags...)
	})
}

type untagInput struct {
	ResourceType, ResourceId string
	TagKeys                  []string
}

func (s *service) untag(ctx context.Context, c *wire.Call, in *untagInput) (*none, error) {
	return &none{}, s.changeTags(ctx, c, in.ResourceType, in.ResourceId, func(tags []tag) []tag {
		return slices.DeleteFunc(tags, func(t tag) bool { return slices.Contains(in.TagKeys, t.Key) })
	})
}

type tagsOutput struct{ TagList []tag }

func (s *service) tags(ctx context.Context, c *wire.Call, in *resourceInput) (*tagsOutput, error) {
	out := &tagsOutput{TagList: []tag{}}
	if in.ResourceType != "Parameter" {
		return nil, wire.Errorf("InvalidResourceType", "The resource type %s is not served here: Parameter is.", in.ResourceType)
	}
	d, err := s.docs.Get(ctx, key(c, in.ResourceId))
	if problem.CodeOf(err) == problem.NotFound {
		return nil, wire.Errorf("InvalidResourceId", "The resource ID isn't valid. Verify that you entered the correct ID and try again.")
	}
	out.TagList = append(out.TagList, d.Tags...)
	return out, err
}

type unlabelInput struct {
	Name             string
	ParameterVersion int64
	Labels           []string
}

type unlabelOutput struct{ RemovedLabels, InvalidLabels []string }

// unlabel takes labels from a version. Those that it does not have are told.
func (s *service) unlabel(ctx context.Context, c *wire.Call, in *unlabelInput) (*unlabelOutput, error) {
	out := &unlabelOutput{}
	_, err := s.docs.Update(ctx, key(c, in.Name), func(d *document) error {
		out = &unlabelOutput{RemovedLabels: []string{}, InvalidLabels: []string{}}
		at := slices.IndexFunc(d.Versions, func(v version) bool { return v.Number == in.ParameterVersion })
		if at < 0 {
			return wire.Errorf("ParameterVersionNotFound", "Systems Manager could not find version %d of %s. Verify the version and try again.", in.ParameterVersion, in.Name)
		}
		v := &d.Versions[at]
		for _, l := range in.Labels {
			if slices.Contains(v.Labels, l) {
				out.RemovedLabels = append(out.RemovedLabels, l)
			} else {
				out.InvalidLabels = append(out.InvalidLabels, l)
			}
		}
		v.Labels = slices.DeleteFunc(slices.Clone(v.Labels), func(l string) bool { return slices.Contains(in.Labels, l) })
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = notFound(in.Name)
	}
	return out, err
}
