package ec2

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// template is a launch template with its versions.
type template struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Created  time.Time         `json:"created"`
	By       string            `json:"by"`
	Default  int               `json:"default"`
	Latest   int               `json:"latest"`
	Versions []templateVersion `json:"versions"` // by number
	Token    string            `json:"token,omitempty"`
	Request  string            `json:"request,omitempty"` // digest of what the token was sent with
}

// templateVersion is one version of a launch template.
type templateVersion struct {
	Number      int       `json:"number"`
	Description string    `json:"description,omitempty"`
	Data        object    `json:"data"`
	Created     time.Time `json:"created"`
	By          string    `json:"by"`
	Token       string    `json:"token,omitempty"`
}

// seedTemplate makes the launch template that a region begins with.
func (s *Service) seedTemplate(ctx context.Context, region string) error {
	now := s.Now().UTC()
	t := template{ID: derivedID("lt-", region, TemplateName), Name: TemplateName, Created: now, By: s.owner(), Default: 1, Latest: 1,
		Versions: []templateVersion{{Number: 1, Description: "runs the built-in image", Created: now, By: s.owner(), Data: object{"ImageId": SampleImage, "InstanceType": "t3.micro"}}}}
	err := s.templates.Create(ctx, region+"/"+t.ID, t)
	if problem.CodeOf(err) == problem.Conflict {
		err = nil
	}
	return err
}

func (s *Service) owner() string { return "arn:aws:iam::" + s.Account + ":root" }

func (t template) told(tags map[string]string) object {
	return object{"LaunchTemplateId": t.ID, "LaunchTemplateName": t.Name, "CreateTime": t.Created, "CreatedBy": t.By, "DefaultVersionNumber": t.Default, "LatestVersionNumber": t.Latest, "Tags": tagList(tags)}
}

func (t template) version(v templateVersion) object {
	return object{"LaunchTemplateId": t.ID, "LaunchTemplateName": t.Name, "VersionNumber": v.Number, "VersionDescription": v.Description, "CreateTime": v.Created, "CreatedBy": v.By,
		"DefaultVersion": v.Number == t.Default, "LaunchTemplateData": v.Data}.With(nil)
}

// template finds the launch template that a request names, by identifier or name,
// and its key. Errors: InvalidLaunchTemplateId.NotFound and its like.
func (s *Service) template(ctx context.Context, region string, in object) (template, string, error) {
	id, name := in.Text("LaunchTemplateId"), in.Text("LaunchTemplateName")
	switch {
	case id != "" && name != "":
		return template{}, "", wire.Errorf("InvalidParameterCombination", "You must specify either the launch template ID or the launch template name, but not both.")
	case id != "":
		t, err := s.templates.Get(ctx, region+"/"+id)
		if problem.CodeOf(err) == problem.NotFound {
			err = wire.Errorf("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
		}
		return t, region + "/" + id, err
	case name == "":
		return template{}, "", wire.Errorf("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request.")
	}
	for e, err := range s.templates.All(ctx, region+"/") {
		if err != nil {
			return template{}, "", err
		}
		if e.Doc.Name == name {
			return e.Doc, e.Key, nil
		}
	}
	return template{}, "", wire.Errorf("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// find is the version that a word means: a number, $Latest, or $Default, which is
// also what no word means.
func (t template) find(word string) (templateVersion, error) {
	number := t.Default
	switch word {
	case "", "$Default":
	case "$Latest":
		number = t.Latest
	default:
		n, err := strconv.Atoi(word)
		if err != nil {
			return templateVersion{}, wire.Errorf("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", word, t.ID)
		}
		number = n
	}
	at := slices.IndexFunc(t.Versions, func(v templateVersion) bool { return v.Number == number })
	if at < 0 {
		return templateVersion{}, wire.Errorf("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", word, t.ID)
	}
	return t.Versions[at], nil
}

// TemplateData is the launch data of a template's version, and what names it: the
// members LaunchTemplateId, LaunchTemplateName and Version as a number.
func (s *Service) TemplateData(ctx context.Context, region string, spec object) (data, which object, err error) {
	if err := s.seed(ctx, region); err != nil {
		return nil, nil, err
	}
	t, _, err := s.template(ctx, region, spec)
	if err != nil {
		return nil, nil, err
	}
	v, err := t.find(spec.Text("Version"))
	return v.Data, object{"LaunchTemplateId": t.ID, "LaunchTemplateName": t.Name, "Version": strconv.Itoa(v.Number)}, err
}

func (s *Service) createTemplate(ctx context.Context, c *wire.Call, in object) (object, error) {
	data := in.Inner("LaunchTemplateData").Clone()
	if err := refuse(data); err != nil {
		return nil, err
	}
	now, request := s.Now().UTC(), digest(in)
	t := template{ID: tokenID(c, in, "lt-"), Name: in.Text("LaunchTemplateName"), Created: now, By: c.Caller, Default: 1, Latest: 1, Token: in.Text("ClientToken"), Request: request,
		Versions: []templateVersion{{Number: 1, Description: in.Text("VersionDescription"), Data: data, Created: now, By: c.Caller}}}
	have, _, err := s.template(ctx, c.Region, object{"LaunchTemplateName": t.Name})
	switch {
	case err == nil && have.Token == t.Token && t.Token != "" && have.Request == request:
		t = have
	case err == nil && have.Token == t.Token && t.Token != "":
		return nil, wire.Errorf("IdempotentParameterMismatch", "Client token already used before.")
	case err == nil:
		return nil, wire.Errorf("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
	case wire.CodeOf(err) != "InvalidLaunchTemplateName.NotFoundException":
		return nil, err
	default:
		if err := s.templates.Create(ctx, c.Region+"/"+t.ID, t); err != nil {
			if problem.CodeOf(err) == problem.Conflict {
				return nil, wire.Errorf("IdempotentParameterMismatch", "Client token already used before.")
			}
			return nil, err
		}
	}
	tags := tagsFor(in, "launch-template")
	return object{"LaunchTemplate": t.told(tags)}, s.keepTags(ctx, c.Region, t.ID, tags)
}

func (s *Service) createVersion(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, key, err := s.template(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	var made templateVersion
	t, err := s.templates.Update(ctx, key, func(t *template) error {
		if token := in.Text("ClientToken"); token != "" {
			if at := slices.IndexFunc(t.Versions, func(v templateVersion) bool { return v.Token == token }); at >= 0 {
				made = t.Versions[at]
				return nil
			}
		}
		data := in.Inner("LaunchTemplateData").Clone()
		if from := in.Text("SourceVersion"); from != "" {
			source, err := t.find(from)
			if err != nil {
				return err
			}
			data = source.Data.With(data)
		}
		if err := refuse(data); err != nil {
			return err
		}
		t.Latest++
		made = templateVersion{Number: t.Latest, Description: in.Text("VersionDescription"), Data: data, Created: s.Now().UTC(), By: c.Caller, Token: in.Text("ClientToken")}
		t.Versions = append(t.Versions, made)
		return nil
	})
	return object{"LaunchTemplateVersion": t.version(made)}, err
}

func (s *Service) modifyTemplate(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, key, err := s.template(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	t, err := s.templates.Update(ctx, key, func(t *template) error {
		if word := in.Text("DefaultVersion"); word != "" {
			v, err := t.find(word)
			if err != nil {
				return err
			}
			t.Default = v.Number
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(ctx, c.Region, t.ID)
	return object{"LaunchTemplate": t.told(tags)}, err
}

func (s *Service) deleteTemplate(ctx context.Context, c *wire.Call, in object) (object, error) {
	t, key, err := s.template(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(ctx, c.Region, t.ID)
	if err != nil {
		return nil, err
	}
	if err := s.templates.Delete(ctx, key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	if err := s.tags.Delete(ctx, c.Region+"/"+t.ID, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	return object{"LaunchTemplate": t.told(tags)}, nil
}

func (s *Service) deleteVersions(ctx context.Context, c *wire.Call, in object) (object, error) {
	t, key, err := s.template(ctx, c.Region, in)
	if err != nil {
		return nil, err
	}
	done, failed := []any{}, []any{}
	_, err = s.templates.Update(ctx, key, func(t *template) error {
		done, failed = []any{}, []any{}
		for _, word := range in.Texts("Versions") {
			n, _ := strconv.Atoi(word)
			one := object{"LaunchTemplateId": t.ID, "LaunchTemplateName": t.Name, "VersionNumber": n}
			at := slices.IndexFunc(t.Versions, func(v templateVersion) bool { return v.Number == n })
			switch {
			case at < 0:
				failed = append(failed, one.With(object{"ResponseError": object{"Code": "launchTemplateVersionDoesNotExist", "Message": "The specified launch template version does not exist."}}))
			case n == t.Default:
				failed = append(failed, one.With(object{"ResponseError": object{"Code": "unexpectedError", "Message": "The default version of a launch template cannot be deleted."}}))
			default:
				t.Versions = slices.Delete(t.Versions, at, at+1)
				done = append(done, one)
			}
		}
		return nil
	})
	_ = t
	return object{"SuccessfullyDeletedLaunchTemplateVersions": done, "UnsuccessfullyDeletedLaunchTemplateVersions": failed}, err
}

func (s *Service) describeTemplates(ctx context.Context, c *wire.Call, in object) (object, error) {
	tags, err := s.allTags(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	ids, names := in.Texts("LaunchTemplateIds"), in.Texts("LaunchTemplateNames")
	for _, id := range ids {
		if _, _, err := s.template(ctx, c.Region, object{"LaunchTemplateId": id}); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if _, _, err := s.template(ctx, c.Region, object{"LaunchTemplateName": name}); err != nil {
			return nil, wire.Errorf("InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist.")
		}
	}
	var all []object
	for e, err := range s.templates.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if len(ids)+len(names) == 0 || slices.Contains(ids, e.Doc.ID) || slices.Contains(names, e.Doc.Name) {
			all = append(all, e.Doc.told(tags[e.Doc.ID]))
		}
	}
	if all, err = filters(in, documented("DescribeLaunchTemplates", named("LaunchTemplateName", "LaunchTemplateId", "CreateTime")), all); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("LaunchTemplateId"), b.Text("LaunchTemplateId")) })
	return answer(in, "LaunchTemplates", all, by("LaunchTemplateId"))
}

func (s *Service) describeVersions(ctx context.Context, c *wire.Call, in object) (object, error) {
	var found []template
	words := in.Texts("Versions")
	if in.Text("LaunchTemplateId") == "" && in.Text("LaunchTemplateName") == "" {
		if len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { return w != "$Latest" && w != "$Default" }) {
			return nil, wire.Errorf("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request.")
		}
		for e, err := range s.templates.All(ctx, c.Region+"/") {
			if err != nil {
				return nil, err
			}
			found = append(found, e.Doc)
		}
	} else {
		t, _, err := s.template(ctx, c.Region, in)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	var all []object
	for _, t := range found {
		wanted := t.Versions
		if len(words) > 0 {
			wanted = nil
			for _, w := range words {
				v, err := t.find(w)
				if err != nil {
					return nil, err
				}
				if !slices.ContainsFunc(wanted, func(have templateVersion) bool { return have.Number == v.Number }) {
					wanted = append(wanted, v)
				}
			}
		}
		for _, v := range wanted {
			least, err := strconv.Atoi(cmp.Or(in.Text("MinVersion"), "0"))
			most, err2 := strconv.Atoi(cmp.Or(in.Text("MaxVersion"), "2147483647"))
			if err != nil || err2 != nil {
				return nil, wire.Errorf("InvalidParameterValue", "MinVersion and MaxVersion are numbers.")
			}
			if v.Number >= least && v.Number <= most {
				all = append(all, t.version(v))
			}
		}
	}
	all, err := filters(in, documented("DescribeLaunchTemplateVersions", named("is-default-version=DefaultVersion", "image-id=LaunchTemplateData.ImageId", "instance-type=LaunchTemplateData.InstanceType", "CreateTime", "key-name=LaunchTemplateData.KeyName",
		"ebs-optimized=LaunchTemplateData.EbsOptimized", "http-tokens=LaunchTemplateData.MetadataOptions.HttpTokens", "http-endpoint=LaunchTemplateData.MetadataOptions.HttpEndpoint", "iam-instance-profile=LaunchTemplateData.IamInstanceProfile.Arn")), all)
	if err != nil {
		return nil, err
	}
	// The newest first, as AWS has them; the key of a page falls with the number.
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(versionKey(a), versionKey(b)) })
	return answer(in, "LaunchTemplateVersions", all, versionKey)
}

func versionKey(o object) string {
	return o.Text("LaunchTemplateId") + "/" + strconv.Itoa(1<<40-o.Number("VersionNumber", 0))
}
