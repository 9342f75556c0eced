package secretsmanager

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Functions are called for a secret's rotation.
type Functions interface {
	Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error)
}

// rules say how often a secret is rotated.
type rules struct {
	AutomaticallyAfterDays       *int64 `json:"days,omitempty"`
	Duration, ScheduleExpression string `json:",omitempty"`
}

// rotation is how a secret is rotated, and how far a rotation that is under way is.
type rotation struct {
	Function string    `json:"function"`
	Rules    *rules    `json:"rules,omitempty"`
	Enabled  bool      `json:"enabled"`
	Last     time.Time `json:"last,omitzero"` // when one has ended
	Next     time.Time `json:"next,omitzero"`
	Token    string    `json:"token,omitempty"` // of the version that one under way makes
	Step     int       `json:"step,omitempty"`  // the next of the steps
	Tries    int       `json:"tries,omitempty"` // of this step, that have failed
	Due      time.Time `json:"due,omitzero"`    // when it is tried
}

// The steps of a rotation, each a request to its function.
var rotationSteps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

// mostTries is how often a step is tried.
const mostTries = 5

type rotateInput struct {
	SecretId, ClientRequestToken, RotationLambdaARN string
	RotationRules                                   *rules
	RotateImmediately                               *bool
}

// every is the time between two rotations; 0: there is no schedule.
func (r *rules) every() (time.Duration, error) {
	bad := wire.Errorf("InvalidParameterException", "The rotation schedule has to be AutomaticallyAfterDays, or rate(N days) or rate(N hours): cron expressions are not served here.")
	switch {
	case r == nil:
		return 0, nil
	case r.AutomaticallyAfterDays != nil:
		return time.Duration(*r.AutomaticallyAfterDays) * 24 * time.Hour, nil
	case r.ScheduleExpression == "":
		return 0, nil
	}
	rest, rate := strings.CutPrefix(r.ScheduleExpression, "rate(")
	number, unit, ok := strings.Cut(strings.TrimSuffix(rest, ")"), " ")
	n, err := strconv.Atoi(number)
	units := map[string]time.Duration{"day": 24 * time.Hour, "hour": time.Hour}
	if !rate || !ok || err != nil || n < 1 || units[strings.TrimSuffix(unit, "s")] == 0 {
		return 0, bad
	}
	return time.Duration(n) * units[strings.TrimSuffix(unit, "s")], nil
}

// rotate begins a rotation: from then on it is carried out, whatever dies.
func (s *Secrets) rotate(ctx context.Context, c *wire.Call, in *rotateInput) (*secretOutput, error) {
	if in.ClientRequestToken == "" {
		return nil, wire.Errorf("InvalidParameterException", "You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	}
	key, d, err := s.find(ctx, c, in.SecretId)
	if err != nil {
		return nil, err
	}
	if !d.Deletes.IsZero() {
		return nil, marked()
	}
	function, schedule := in.RotationLambdaARN, in.RotationRules
	if d.Rotation != nil && function == "" {
		function = d.Rotation.Function
	}
	if d.Rotation != nil && schedule == nil {
		schedule = d.Rotation.Rules
	}
	if function == "" {
		return nil, wire.Errorf("InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
	}
	if err := s.callable(ctx, c, function); err != nil {
		return nil, err
	}
	every, err := schedule.every()
	if err != nil {
		return nil, err
	}
	now, at := s.now().UTC(), in.RotateImmediately == nil || *in.RotateImmediately
	d, err = s.docs.Update(ctx, key, func(d *document) error {
		r := d.Rotation
		if r == nil {
			r = &rotation{}
			d.Rotation = r
		}
		if r.Token != "" && r.Token != in.ClientRequestToken && at {
			return wire.Errorf("InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
		}
		r.Function, r.Rules, r.Enabled, r.Next = function, schedule, true, time.Time{}
		if every > 0 {
			r.Next = now.Add(every)
		}
		if at && r.Token == "" {
			d.beginRotation(in.ClientRequestToken, now)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &secretOutput{ARN: d.ARN, Name: d.Name}
	if at {
		out.VersionId = in.ClientRequestToken
		s.poke()
	}
	return out, nil
}

// callable refuses a function that is not there.
func (s *Secrets) callable(ctx context.Context, c *wire.Call, function string) error {
	denied := wire.Errorf("AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.")
	if s.functions == nil {
		return denied
	}
	_, err := s.functions.Call(ctx, *c, "lambda", "Invoke", map[string]any{"FunctionName": function, "InvocationType": "DryRun"})
	switch wire.CodeOf(err) {
	case "":
		return nil
	case "InternalFailure":
		return err
	}
	return denied
}

// beginRotation adds the version that a rotation makes, which has no value yet.
func (d *document) beginRotation(token string, now time.Time) {
	if d.version(token) == nil {
		d.Versions = append(d.Versions, version{ID: token, Created: now, Empty: true})
		d.move(pending, d.version(token))
	}
	d.Rotation.Token, d.Rotation.Step, d.Rotation.Tries, d.Rotation.Due = token, 0, 0, now
}

func (s *Secrets) cancelRotation(ctx context.Context, c *wire.Call, in *idInput) (*secretOutput, error) {
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error {
		d.take(pending)
		if d.Rotation != nil {
			d.Rotation.Enabled, d.Rotation.Token, d.Rotation.Next = false, "", time.Time{}
		}
		return nil
	})
	return &secretOutput{ARN: d.ARN, Name: d.Name}, err
}

func (s *Secrets) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run carries out rotations until ctx ends: those that were begun, and those whose time
// has come.
func (s *Secrets) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.rotateDue(ctx); err != nil && ctx.Err() == nil {
			log.Warn("rotating secrets", "error", err)
		}
		select {
		case <-tick.C:
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// rotateDue carries on what is due.
func (s *Secrets) rotateDue(ctx context.Context) error {
	all, err := s.docs.List(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range all {
		r := e.Doc.Rotation
		if r == nil || !r.Enabled || !e.Doc.Deletes.IsZero() {
			continue
		}
		if r.Token == "" && !r.Next.IsZero() && !s.now().Before(r.Next) {
			token := newToken()
			_, err := s.docs.Update(ctx, e.Key, func(d *document) error {
				if d.Rotation == nil || d.Rotation.Token != "" || !d.Rotation.Next.Equal(r.Next) {
					return nil // another one was first
				}
				every, err := d.Rotation.Rules.every()
				d.Rotation.Next = s.now().UTC().Add(every)
				d.beginRotation(token, s.now().UTC())
				return err
			})
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
		}
		if err := s.carry(ctx, e.Key); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// carry calls a rotation's function for one step after the other, as far as it comes.
func (s *Secrets) carry(ctx context.Context, key string) error {
	for {
		d, err := s.docs.Get(ctx, key)
		if err != nil {
			return err
		}
		r := d.Rotation
		if r == nil || !r.Enabled || r.Token == "" || s.now().Before(r.Due) {
			return nil
		}
		failure := s.step(ctx, key, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		token, at := r.Token, r.Step
		_, err = s.docs.Update(ctx, key, func(d *document) error {
			r := d.Rotation
			if r == nil || r.Token != token || r.Step != at {
				return nil
			}
			switch {
			case failure == nil && r.Step == len(rotationSteps)-1:
				if v := d.version(r.Token); v != nil && v == d.staged(current) {
					d.take(pending)
				}
				r.Token, r.Step, r.Tries, r.Last = "", 0, 0, s.now().UTC()
			case failure == nil:
				r.Step, r.Tries = r.Step+1, 0
			case r.Tries+1 >= mostTries: // the version stays pending, and the next rotation begins anew
				r.Token, r.Step, r.Tries = "", 0, 0
			default:
				r.Tries++
				r.Due = s.now().UTC().Add(time.Second << r.Tries)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// step calls the function for the next step. The error says that it failed.
func (s *Secrets) step(ctx context.Context, key string, d document) error {
	payload, err := json.Marshal(map[string]string{"Step": rotationSteps[d.Rotation.Step], "SecretId": d.ARN, "ClientRequestToken": d.Rotation.Token})
	if err != nil {
		return err
	}
	region, _, _ := strings.Cut(key, "/")
	c := wire.Call{Region: region, Account: strings.Split(d.ARN, ":")[4], Caller: "secretsmanager.amazonaws.com"}
	out, err := s.functions.Call(ctx, c, "lambda", "Invoke", map[string]any{"FunctionName": d.Rotation.Function, "Payload": payload})
	if err != nil {
		return err
	}
	if failed, _ := out["FunctionError"].(string); failed != "" {
		return wire.Errorf("InvalidRequestException", "the function of the rotation failed")
	}
	return nil
}

// newToken is a version's identifier.
func newToken() string { return carry.NewUUID() }
