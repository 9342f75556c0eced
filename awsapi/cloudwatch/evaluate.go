package cloudwatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/telemetry/alarm"
)

// How often alarms are evaluated: those of shorter periods than a minute more often.
const (
	shortRound = 10 * time.Second
	longRound  = time.Minute
)

// Run evaluates alarms until ctx ends.
func (c *CloudWatch) Run(ctx context.Context, log *slog.Logger) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		now := c.now()
		t.Reset(now.Truncate(shortRound).Add(shortRound).Sub(now))
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			log.Warn("alarms could not be evaluated; they are in the next round", "error", err)
		}
	}
}

// Round evaluates the alarms that are due, carries out the actions of transitions, and
// removes old history.
func (c *CloudWatch) Round(ctx context.Context) error {
	now := c.now()
	whole := now.Unix()%60 < int64(shortRound/time.Second)
	entries, err := c.alarms.List(ctx, "")
	if err != nil {
		return err
	}
	var failures []error
	regions := map[string]bool{}
	for _, e := range entries {
		region, _, _ := strings.Cut(e.Key, "/")
		regions[region] = true
		if e.Doc.Metric == nil || !whole && e.Doc.Metric.shortest() >= 60 {
			continue
		}
		failures = append(failures, c.evaluateAlarm(ctx, region, e.Doc, now))
	}
	for region := range regions {
		failures = append(failures, c.evaluateComposites(ctx, region))
	}
	if whole {
		failures = append(failures, c.sweep(ctx))
	}
	for _, e := range entries {
		region, _, _ := strings.Cut(e.Key, "/")
		failures = append(failures, c.actOn(ctx, region, e.Doc.Name))
	}
	return errors.Join(failures...)
}

// shortest is the period in seconds.
func (m metricAlarm) shortest() int64 {
	if m.Period > 0 {
		return m.Period
	}
	set, err := readQueries(m.Queries)
	if err != nil {
		return 60 // it was checked when it was put
	}
	return set.least()
}

// reading is the metric in the evaluation range, oldest first.
type reading struct {
	at      []time.Time
	value   []float64
	present []bool
	low     bool // the newest point has too few samples for its percentile
}

func (c *CloudWatch) evaluateAlarm(ctx context.Context, region string, d alarmDocument, now time.Time) error {
	m := *d.Metric
	r := alarm.Rule{Periods: int(m.Periods), Missing: alarm.Missing(cmp.Or(m.Missing, string(alarm.TreatMissing)))}
	if m.Datapoints != nil {
		r.Datapoints = int(*m.Datapoints)
	}
	if strings.HasPrefix(m.Namespace, "AWS/DynamoDB") {
		r.Missing = alarm.TreatIgnore
	}
	read, err := c.readAlarm(ctx, region, m, r.Range(), now)
	if err != nil || read.low && m.LowSamples == "ignore" {
		return err
	}
	points := make([]alarm.Point, len(read.value))
	breach := 0.0
	for i := range points {
		points[i] = alarm.Point{Present: read.present[i], Breaching: read.present[i] && breaches(m.Comparison, read.value[i], m.Threshold)}
		if points[i].Breaching {
			breach = read.value[i] - m.Threshold
		}
	}
	decision := r.Evaluate(points, d.State)
	if decision.State == d.State {
		return nil
	}
	reason, data := m.explain(r, decision, read, points, now)
	return c.become(ctx, region, d.Name, decision.State, reason, data, breach)
}

func breaches(comparison string, v, threshold float64) bool {
	switch comparison {
	case "GreaterThanOrEqualToThreshold":
		return v >= threshold
	case "GreaterThanThreshold":
		return v > threshold
	case "LessThanThreshold":
		return v < threshold
	}
	return v <= threshold
}

// readAlarm reads the last periods that are over.
func (c *CloudWatch) readAlarm(ctx context.Context, region string, m metricAlarm, periods int, now time.Time) (reading, error) {
	period := m.shortest()
	round := longRound
	if period < 60 {
		round = shortRound
	}
	end := now.Truncate(round)
	if len(m.Queries) > 0 {
		end = now.Truncate(time.Duration(period) * time.Second)
	}
	begin := end.Add(-time.Duration(period*int64(periods)) * time.Second)
	var r reading
	if len(m.Queries) > 0 {
		set, err := readQueries(m.Queries)
		if err != nil {
			return r, err
		}
		results, err := c.evaluate(ctx, region, set, begin, end)
		if err != nil {
			return r, err
		}
		for _, result := range results {
			if result.id == m.returned() {
				one := result.value.one
				if result.value.isNumber() {
					one = constant(result.value.number, result.grid)
				}
				for t := begin; t.Before(end); t = t.Add(time.Duration(period) * time.Second) {
					v, ok := one[t.Unix()]
					r.at, r.value, r.present = append(r.at, t), append(r.value, v), append(r.present, ok)
				}
			}
		}
		return r, nil
	}
	byUnit, err := c.keeper.read(ctx, metric{region, m.Namespace, m.MetricName, m.Dimensions}, begin, end)
	if err != nil {
		return r, err
	}
	var all []observation
	for unit, list := range byUnit {
		if m.Unit == "" || unit == m.Unit {
			all = append(all, list...)
		}
	}
	for t := begin; t.Before(end); t = t.Add(time.Duration(period) * time.Second) {
		b := within(all, t, time.Duration(period)*time.Second)
		v, ok := 0.0, false
		if len(b.observations) > 0 {
			v, ok = b.statistic(cmp.Or(m.Statistic, m.ExtendedStatistic))
		}
		r.at, r.value, r.present = append(r.at, t), append(r.value, v), append(r.present, ok)
		r.low = ok && b.tooFew(m.ExtendedStatistic)
	}
	return r, nil
}

func within(list []observation, from time.Time, width time.Duration) bucket {
	b := bucket{start: from.UnixMilli()}
	for _, o := range list {
		if o.at >= b.start && o.at < b.start+width.Milliseconds() {
			b.observations = append(b.observations, o)
		}
	}
	return b
}

// tooFew tells whether a percentile rests on fewer samples than AWS calls enough.
func (b bucket) tooFew(extended string) bool {
	p, ok := percentileOf(extended)
	if !ok {
		return false
	}
	count, _ := b.statistic("SampleCount")
	if p >= 50 {
		return p < 100 && count < 10/(1-p/100)
	}
	return p > 0 && count < 10/(p/100)
}

var comparisonWords = map[string]string{"GreaterThanOrEqualToThreshold": "greater than or equal to", "GreaterThanThreshold": "greater than", "LessThanThreshold": "less than", "LessThanOrEqualToThreshold": "less than or equal to"}

// explain is the reason in CloudWatch's words, and its data as JSON.
func (m metricAlarm) explain(r alarm.Rule, d alarm.Decision, read reading, points []alarm.Point, now time.Time) (reason, data string) {
	var shown []string
	var recent []float64
	for i := len(points) - 1; i >= 0 && len(recent) < d.Points; i-- {
		if points[i].Present {
			recent = append(recent, read.value[i])
			shown = append(shown, fmt.Sprintf("%s (%s)", number64(read.value[i]), read.at[i].UTC().Format("02/01/06 15:04:05")))
		}
	}
	not := "not "
	if d.State == alarm.Alarm {
		not = ""
	}
	switch {
	case d.State == alarm.InsufficientData:
		reason = fmt.Sprintf("Insufficient Data: %s unknown.", counted(r.Periods-d.Points, "datapoint was", "datapoints were"))
	case d.Points == 0 && d.Filled > 0:
		treated := "NonBreaching"
		if r.Missing == alarm.TreatBreaching {
			treated = "Breaching"
		}
		reason = fmt.Sprintf("Threshold Crossed: no datapoints were received for %s and %s treated as [%s].", counted(r.Periods, "period", "periods"), counted(d.Filled, "missing datapoint was", "missing datapoints were"), treated)
	case r.Datapoints > 0 && r.Datapoints != r.Periods || d.Points > 1 && d.Breaching != d.Points && d.State == alarm.Alarm:
		reason = fmt.Sprintf("Threshold Crossed: %d out of the last %s [%s] %s %s%s the threshold (%s).", d.Breaching, counted(d.Points, "datapoint", "datapoints"), strings.Join(shown, ", "), was(d.Breaching), not, comparisonWords[m.Comparison], number64(m.Threshold))
	default:
		reason = fmt.Sprintf("Threshold Crossed: %s [%s] %s %s%s the threshold (%s).", counted(d.Points, "datapoint", "datapoints"), strings.Join(shown, ", "), was(d.Points), not, comparisonWords[m.Comparison], number64(m.Threshold))
	}
	raw, _ := json.Marshal(map[string]any{"version": "1.0", "queryDate": now.UTC().Format("2006-01-02T15:04:05.000+0000"), "statistic": cmp.Or(m.Statistic, m.ExtendedStatistic), "period": m.shortest(),
		"recentDatapoints": append([]float64{}, recent...), "threshold": m.Threshold}) // numbers and texts
	return reason, string(raw)
}

// number64 writes a number as AWS does: always with a decimal point.
func number64(v float64) string {
	text := fmt.Sprintf("%v", v)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// become sets an alarm's state. A transition is noted, and its actions are carried out.
func (c *CloudWatch) become(ctx context.Context, region, name string, s alarm.State, reason, data string, breach float64) error {
	now := c.now().UTC()
	changed := false
	doc, err := c.alarms.Update(ctx, alarmKey(region, name), func(d *alarmDocument) error {
		changed = d.State != s
		d.Reason, d.ReasonData, d.Updated = reason, data, now
		if changed {
			d.Old, d.State, d.Transitioned, d.Breach, d.Due = d.State, s, now, breach, true
		}
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		return nil // it was deleted meanwhile
	}
	if err != nil || !changed {
		return err
	}
	if err := c.note(ctx, region, doc, "StateUpdate", fmt.Sprintf("Alarm updated from %s to %s", doc.Old, doc.State), data); err != nil {
		return err
	}
	return c.actOn(ctx, region, name)
}

// repeatEvery is how often scaling is asked for again while an alarm lasts, as on AWS.
const repeatEvery = time.Minute

// actOn carries out the actions of a transition that has none yet, and asks for scaling
// again while the alarm lasts. The document says first that they are carried out, so
// that two control planes do not both do so.
func (c *CloudWatch) actOn(ctx context.Context, region, name string) error {
	now := c.now().UTC()
	var due []string
	doc, err := c.alarms.Update(ctx, alarmKey(region, name), func(d *alarmDocument) error {
		due = nil
		fresh, again := d.Due, d.State == alarm.Alarm && !now.Before(d.Acted.Add(repeatEvery))
		if !fresh && !again || !d.ActionsEnabled {
			return errNothingDue
		}
		for _, arn := range d.actionsOf(d.State) {
			if fresh || strings.Contains(arn, ":autoscaling:") {
				due = append(due, arn)
			}
		}
		if len(due) == 0 && !fresh {
			return errNothingDue
		}
		d.Due, d.Acted = false, now
		return nil
	})
	switch {
	case errors.Is(err, errNothingDue), problem.CodeOf(err) == problem.NotFound:
		return nil
	case err != nil:
		return err
	}
	for _, arn := range due {
		summary := "Successfully executed action " + arn
		if err := c.act(ctx, region, arn, Change{Alarm: doc.Name, Old: string(doc.Old), New: string(doc.State), Reason: doc.Reason, At: doc.Transitioned, Breach: doc.Breach}); err != nil {
			summary = fmt.Sprintf("Failed to execute action %s. Received error: %q", arn, err.Error())
		}
		if err := c.note(ctx, region, doc, "Action", summary, ""); err != nil {
			return err
		}
	}
	return nil
}

var errNothingDue = errors.New("no action is due")
