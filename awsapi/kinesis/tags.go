package kinesis

import (
	"context"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

type tagResourceInput struct {
	ResourceARN string
	Tags        map[string]string
}

func (s *Streams) tagResource(ctx context.Context, c *wire.Call, in *tagResourceInput) (*none, error) {
	return s.changeTags(ctx, c, in.ResourceARN, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

type untagResourceInput struct {
	ResourceARN string
	TagKeys     []string
}

func (s *Streams) untagResource(ctx context.Context, c *wire.Call, in *untagResourceInput) (*none, error) {
	return s.changeTags(ctx, c, in.ResourceARN, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

// changeTags changes the tags of a stream or of a consumer.
func (s *Streams) changeTags(ctx context.Context, c *wire.Call, arn string, how func(map[string]string)) (*none, error) {
	w := whichConsumer{ConsumerARN: arn}
	_, err := s.change(ctx, c, w.stream(), func(d *stream) error {
		tags := &d.Tags
		if strings.Contains(arn, "/consumer/") {
			at, err := w.in(*d, c)
			if err != nil {
				return err
			}
			tags = &d.Consumers[at].Tags
		}
		if *tags == nil {
			*tags = map[string]string{}
		}
		how(*tags)
		return nil
	})
	return &none{}, err
}

type resourceTagsOutput struct{ Tags []tagEntry }

func (s *Streams) resourceTags(ctx context.Context, c *wire.Call, in *resourceInput) (*resourceTagsOutput, error) {
	w := whichConsumer{ConsumerARN: in.ResourceARN}
	d, err := s.find(ctx, c, w.stream())
	if err != nil {
		return nil, err
	}
	tags := d.Tags
	if strings.Contains(in.ResourceARN, "/consumer/") {
		at, err := w.in(d, c)
		if err != nil {
			return nil, err
		}
		tags = d.Consumers[at].Tags
	}
	out := &resourceTagsOutput{Tags: []tagEntry{}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, tagEntry{k, tags[k]})
	}
	return out, nil
}
