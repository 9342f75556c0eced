package cloudwatch

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// dashboard is kept and returned: nothing here draws it.
type dashboard struct {
	Name    string    `json:"name"`
	Body    string    `json:"body"`
	Changed time.Time `json:"changed"`
}

func dashboardARN(call *wire.Call, name string) string {
	return "arn:aws:cloudwatch::" + call.Account + ":dashboard/" + name
}

func noDashboard(name string) error {
	return &wire.Error{Code: "ResourceNotFound", Status: 404, Message: "Dashboard " + name + " does not exist"}
}

func (c *CloudWatch) putDashboard(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	body := in.Text("DashboardBody")
	var d map[string]any
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		return nil, wire.Errorf("InvalidParameterInput", "The field DashboardBody must be a valid JSON object")
	}
	messages := []any{}
	if widgets, ok := d["widgets"].([]any); !ok || len(widgets) == 0 {
		messages = append(messages, wire.Object{"DataPath": "/widgets", "Message": "Dashboard has no widgets"})
	}
	name := in.Text("DashboardName")
	_, err := c.dashboards.Put(ctx, name, func(have *dashboard) error {
		*have = dashboard{name, body, c.now().UTC()}
		return nil
	})
	return wire.Object{"DashboardValidationMessages": messages}, err
}

func (c *CloudWatch) getDashboard(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	name := in.Text("DashboardName")
	d, err := c.dashboards.Get(ctx, name)
	if problem.CodeOf(err) == problem.NotFound {
		err = noDashboard(name)
	}
	return wire.Object{"DashboardArn": dashboardARN(call, name), "DashboardBody": d.Body, "DashboardName": name}, err
}

func (c *CloudWatch) listDashboards(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	all := []any{}
	for e, err := range c.dashboards.All(ctx, in.Text("DashboardNamePrefix")) {
		if err != nil {
			return nil, err
		}
		all = append(all, wire.Object{"DashboardArn": dashboardARN(call, e.Doc.Name), "DashboardName": e.Doc.Name, "LastModified": e.Doc.Changed, "Size": len(e.Doc.Body)})
	}
	return wire.Object{"DashboardEntries": all}, nil
}

// deleteDashboards deletes all of them, or none when one is not there.
func (c *CloudWatch) deleteDashboards(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	names := in.Texts("DashboardNames")
	var absent []string
	for _, name := range names {
		if _, err := c.dashboards.Get(ctx, name); problem.CodeOf(err) == problem.NotFound {
			absent = append(absent, name)
		} else if err != nil {
			return nil, err
		}
	}
	if len(absent) > 0 {
		return nil, noDashboard(strings.Join(absent, ", "))
	}
	for _, name := range names {
		if err := c.dashboards.Delete(ctx, name, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
	}
	return wire.Object{}, nil
}
