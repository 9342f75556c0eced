package logs

import (
	"context"
	"strings"

	"showrunner/awsapi/wire"
)

type describeGroupsInput struct {
	LogGroupNamePrefix, LogGroupNamePattern, LogGroupClass string
	Limit                                                  *int64
	NextToken                                              string
}

type shownGroup struct {
	LogGroupName      string
	Arn, LogGroupArn  string
	CreationTime      int64
	RetentionInDays   *int64
	MetricFilterCount int64
	StoredBytes       int64
	KmsKeyID          string `wire:"kmsKeyId"`
	LogGroupClass     string
	// DeletionProtectionEnabled is always false: deletion is not protected here.
	DeletionProtectionEnabled bool
}

type describeGroupsOutput struct {
	LogGroups []shownGroup
	NextToken string
}

func (l *Logs) describeGroups(ctx context.Context, call *wire.Call, in *describeGroupsInput) (*describeGroupsOutput, error) {
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The specified nextToken is invalid.")
	}
	out := &describeGroupsOutput{LogGroups: []shownGroup{}}
	for e, err := range l.groups.From(ctx, call.Region+"/"+in.LogGroupNamePrefix, after) {
		if err != nil {
			return nil, err
		}
		g := e.Doc
		if !strings.Contains(strings.ToLower(g.Name), strings.ToLower(in.LogGroupNamePattern)) || in.LogGroupClass != "" && g.Class != in.LogGroupClass {
			continue
		}
		if len(out.LogGroups) == wire.Page(in.Limit, 50) {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		shown := shownGroup{LogGroupName: g.Name, Arn: groupARN(call, g.Name) + ":*", LogGroupArn: groupARN(call, g.Name), CreationTime: g.Created, MetricFilterCount: int64(len(g.Filters)),
			RetentionInDays: g.Retention, KmsKeyID: g.KMSKey, LogGroupClass: g.Class}
		for s, err := range l.streams.All(ctx, e.Key) {
			if err != nil {
				return nil, err
			}
			shown.StoredBytes += s.Doc.Bytes
		}
		out.LogGroups = append(out.LogGroups, shown)
	}
	return out, nil
}

// listGroups is the names of groups, by a regular expression: parts of names, of which ^
// says that one begins the name, with | between them.
func (l *Logs) listGroups(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	var all []wire.Object
	for e, err := range l.groups.All(ctx, groupPrefix(call.Region)) {
		if err != nil {
			return nil, err
		}
		g := e.Doc
		if in.Has("logGroupNamePattern") && !namedLike(g.Name, in.Text("logGroupNamePattern")) || in.Has("logGroupClass") && g.Class != in.Text("logGroupClass") {
			continue
		}
		all = append(all, wire.Object{"logGroupName": g.Name, "logGroupArn": groupARN(call, g.Name), "logGroupClass": g.Class})
	}
	p := wire.Paging{Token: "nextToken", Most: "limit", Least: 1, Greatest: 1000, Otherwise: 50,
		BadToken: func(string) error { return invalid("The specified nextToken is invalid.") },
		BadCount: func(string) error { return invalid("limit must be between 1 and 1000.") }}
	out, next, err := wire.Cut(p, in, all, func(o wire.Object) string { return o.Text("logGroupName") })
	return wire.Object{"logGroups": wire.List(out)}.With(wire.Object{"nextToken": next}), err
}

func namedLike(name, pattern string) bool {
	for part := range strings.SplitSeq(pattern, "|") {
		if begin, ok := strings.CutPrefix(part, "^"); ok && strings.HasPrefix(name, begin) || !ok && strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// retentions are the numbers of days that AWS takes.
var retentions = []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

type retentionInput struct {
	LogGroupName    string
	RetentionInDays int64
}
