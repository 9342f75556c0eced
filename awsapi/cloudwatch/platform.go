package cloudwatch

import (
	"cmp"
	"context"
	"time"
)

// Measurement is a value of a metric that this system measures itself, in a namespace
// of AWS's, which clients cannot put into.
type Measurement struct {
	Namespace, Name, Unit string
	// Dimensions are names and values, in turn.
	Dimensions []string
	Value      float64
	Count      float64   // how often the value was measured; 0 is once
	At         time.Time // zero: now
}

// Publish keeps measurements of a region.
func (c *CloudWatch) Publish(ctx context.Context, region string, list []Measurement) error {
	now := c.now()
	data := make([]datum, len(list))
	for i, m := range list {
		d := datum{metric: metric{region: region, namespace: m.Namespace, name: m.Name}, unit: m.Unit, at: m.At, observations: []observation{single(m.Value, cmp.Or(m.Count, 1))}}
		if d.at.IsZero() {
			d.at = now
		}
		d.unit = cmp.Or(d.unit, noUnit)
		for n := 0; n+1 < len(m.Dimensions); n += 2 {
			d.metric.dimensions = append(d.metric.dimensions, dimension{m.Dimensions[n], m.Dimensions[n+1]})
		}
		d.metric.dimensions = sortedDimensions(d.metric.dimensions)
		data[i] = d
	}
	return c.keeper.put(ctx, data)
}
