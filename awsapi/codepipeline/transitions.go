package codepipeline

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type enableInput struct{ PipelineName, StageName, TransitionType string }

type disableInput struct{ PipelineName, StageName, TransitionType, Reason string }

// entered is the stage into which a transition leads: out of a stage it is the next.
func (s *Service) entered(ctx context.Context, c *wire.Call, name, stageName, kind string) (target, string, error) {
	t, err := s.find(ctx, c, name)
	if err != nil {
		return t, "", err
	}
	stages := t.stages()
	i := slices.Index(stages, stageName)
	if kind == "Outbound" && i >= 0 {
		i++
	}
	switch {
	case i < 0:
		return t, "", noStage(stageName)
	case i >= len(stages):
		return t, "", wire.Errorf("ValidationException", "No transition leads out of the last stage, %s", stageName)
	case t.doc == nil:
		return t, "", wire.Errorf("ValidationException", "The pipeline %s was applied with a pipeline file: hold it back with showrunner freeze", name)
	}
	return t, stages[i], nil
}

func (s *Service) disable(ctx context.Context, c *wire.Call, in *disableInput) (*struct{}, error) {
	t, stageName, err := s.entered(ctx, c, in.PipelineName, in.StageName, in.TransitionType)
	if err != nil {
		return nil, err
	}
	_, err = s.docs.Update(ctx, t.doc.key(), func(d *document) error {
		if d.Disabled == nil {
			d.Disabled = map[string]transition{}
		}
		d.Disabled[stageName] = transition{Reason: in.Reason, By: c.Caller, At: s.Now().UTC(), Entries: entries(t.definition, stageName)}
		return nil
	})
	s.Gate.Read(ctx)
	return nil, err
}

func (s *Service) enable(ctx context.Context, c *wire.Call, in *enableInput) (*struct{}, error) {
	t, stageName, err := s.entered(ctx, c, in.PipelineName, in.StageName, in.TransitionType)
	if err != nil {
		return nil, err
	}
	_, err = s.docs.Update(ctx, t.doc.key(), func(d *document) error {
		delete(d.Disabled, stageName)
		return nil
	})
	s.Gate.Read(ctx)
	return nil, err
}

type tagInput struct {
	ResourceArn string
	Tags        []tag
}

type untagInput struct {
	ResourceArn string
	TagKeys     []string
}

type tagsInput struct {
	ResourceArn, NextToken string
	MaxResults             *int64
}

type tagsOutput struct {
	Tags      []tag
	NextToken string
}

// mostTags is how many tags a pipeline may have.
const mostTags = 50

// tagged is the key of the pipeline of an ARN.
func tagged(c *wire.Call, resource string) (string, error) {
	name, ok := strings.CutPrefix(resource, arn(c.Region, ""))
	if !ok || name == "" {
		return "", wire.Errorf("InvalidArnException", "The ARN %s is not that of a pipeline in %s", resource, c.Region)
	}
	return c.Region + "/" + name, nil
}

func (s *Service) changeTags(ctx context.Context, c *wire.Call, resource string, change func([]tag) []tag) error {
	key, err := tagged(c, resource)
	if err != nil {
		return err
	}
	_, err = s.docs.Update(ctx, key, func(d *document) error {
		if d.Tags = change(d.Tags); len(d.Tags) > mostTags {
			return wire.Errorf("TooManyTagsException", "A pipeline may have at most %d tags", mostTags)
		}
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		return wire.Errorf("ResourceNotFoundException", "The resource %s does not exist", resource)
	}
	return err
}

func without(tags []tag, keys []string) []tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t tag) bool { return slices.Contains(keys, t.Key) })
}

func (s *Service) tag(ctx context.Context, c *wire.Call, in *tagInput) (*struct{}, error) {
	var keys []string
	for _, t := range in.Tags {
		keys = append(keys, t.Key)
	}
	return &struct{}{}, s.changeTags(ctx, c, in.ResourceArn, func(old []tag) []tag { return append(without(old, keys), in.Tags...) })
}

func (s *Service) untag(ctx context.Context, c *wire.Call, in *untagInput) (*struct{}, error) {
	return &struct{}{}, s.changeTags(ctx, c, in.ResourceArn, func(old []tag) []tag { return without(old, in.TagKeys) })
}

func (s *Service) tags(ctx context.Context, c *wire.Call, in *tagsInput) (*tagsOutput, error) {
	key, err := tagged(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	d, err := s.docs.Get(ctx, key)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, wire.Errorf("ResourceNotFoundException", "The resource %s does not exist", in.ResourceArn)
	}
	return &tagsOutput{Tags: append([]tag{}, d.Tags...)}, err
}
