package logs

import (
	"context"
	"maps"

	"showrunner/awsapi/wire"
)

type tagInput struct {
	ResourceArn string
	Tags        map[string]string
}

func (l *Logs) tag(ctx context.Context, call *wire.Call, in *tagInput) (*nothing, error) {
	return l.change(ctx, call, groupOfARN(in.ResourceArn), func(g *group) { g.addTags(in.Tags) })
}

func (g *group) addTags(tags map[string]string) {
	if g.Tags == nil {
		g.Tags = map[string]string{}
	}
	maps.Copy(g.Tags, tags)
}

type untagInput struct {
	ResourceArn string
	TagKeys     []string
}

func (l *Logs) untag(ctx context.Context, call *wire.Call, in *untagInput) (*nothing, error) {
	return l.change(ctx, call, groupOfARN(in.ResourceArn), func(g *group) { g.removeTags(in.TagKeys) })
}

func (g *group) removeTags(keys []string) {
	for _, k := range keys {
		delete(g.Tags, k)
	}
}

type tagsInput struct{ ResourceArn string }

type tagsOutput struct{ Tags map[string]string }

func (l *Logs) tags(ctx context.Context, call *wire.Call, in *tagsInput) (*tagsOutput, error) {
	return l.tagsOf(ctx, call, groupOfARN(in.ResourceArn))
}

func (l *Logs) tagsOf(ctx context.Context, call *wire.Call, name string) (*tagsOutput, error) {
	g, err := l.groups.Get(ctx, groupKey(call.Region, name))
	if err != nil {
		return nil, absent(err, errNoGroup)
	}
	out := &tagsOutput{Tags: map[string]string{}}
	maps.Copy(out.Tags, g.Tags)
	return out, nil
}

type tagGroupInput struct {
	LogGroupName string
	Tags         map[string]string
}

func (l *Logs) tagGroup(ctx context.Context, call *wire.Call, in *tagGroupInput) (*nothing, error) {
	return l.change(ctx, call, in.LogGroupName, func(g *group) { g.addTags(in.Tags) })
}

type untagGroupInput struct {
	LogGroupName string
	Tags         []string
}

func (l *Logs) untagGroup(ctx context.Context, call *wire.Call, in *untagGroupInput) (*nothing, error) {
	return l.change(ctx, call, in.LogGroupName, func(g *group) { g.removeTags(in.Tags) })
}

func (l *Logs) groupTags(ctx context.Context, call *wire.Call, in *groupInput) (*tagsOutput, error) {
	return l.tagsOf(ctx, call, in.LogGroupName)
}
