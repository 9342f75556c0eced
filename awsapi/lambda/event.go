package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// event is a request that was accepted and that nobody waits for. It is there until it
// has been carried out.
type event struct {
	ID            string    `json:"id"`
	Region        string    `json:"region"`
	Function      string    `json:"function"`
	Created       time.Time `json:"created"` // of the function
	Qualifier     string    `json:"qualifier,omitempty"`
	Payload       []byte    `json:"payload"`
	ClientContext string    `json:"clientContext,omitempty"`
	Accepted      time.Time `json:"accepted"`
	Tries         int       `json:"tries"`           // that ended with a failure of the function
	Waits         int       `json:"waits"`           // in a row, because it could not run
	Due           time.Time `json:"due"`             // when it is tried next
	By            string    `json:"by,omitempty"`    // the process that carries it out
	Until         time.Time `json:"until,omitzero"`  // when another one may
	Depth         int       `json:"depth,omitempty"` // how many destinations led to it
	// Watched is set of a request of another service here: it is kept when it has failed.
	Watched bool      `json:"watched,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`
	Why     string    `json:"why,omitempty"` // it failed
}

func (e event) key() string { return e.Region + "/" + e.ID }

// accept keeps a request, which is carried out from then on, whatever dies.
func (s *Service) accept(ctx context.Context, region string, e event) error {
	e.Region, e.Accepted = region, s.Now().UTC()
	e.Due = e.Accepted
	if err := s.queue.Create(ctx, e.key(), e); err != nil && problem.CodeOf(err) != problem.Conflict {
		return err
	}
	s.wake()
	return nil
}

func (s *Service) wake() {
	select {
	case s.queued <- struct{}{}:
	default:
	}
}

// mostWorkers is how many requests that nobody waits for are carried out at once.
const mostWorkers = 32

// runQueue carries out what is queued, until ctx ends.
func (s *Service) runQueue(ctx context.Context, every time.Duration) {
	slots := make(chan struct{}, mostWorkers)
	tick := time.NewTicker(every)
	defer tick.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	busy := &busyEvents{all: map[string]bool{}}
	for {
		next, err := s.dispatch(ctx, slots, busy)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for requests to functions", "error", err)
		}
		timer.Reset(max(next, time.Millisecond))
		select {
		case <-s.queued:
		case <-tick.C:
		case <-timer.C:
		case <-ctx.Done():
			for range mostWorkers { // what is under way notices the end itself
				slots <- struct{}{}
			}
			return
		}
	}
}

// dispatch starts what is due and says how long nothing else is.
func (s *Service) dispatch(ctx context.Context, slots chan struct{}, busy *busyEvents) (time.Duration, error) {
	next := time.Hour
	for _, region := range s.Regions {
		for e, err := range s.queue.All(ctx, region+"/") {
			if err != nil {
				return next, err
			}
			v, now := e.Doc, s.Now()
			if !v.Ended.IsZero() {
				if now.Sub(v.Ended) > endedKept {
					if err := s.forget(ctx, v); err != nil {
						return next, err
					}
				}
				continue
			}
			if wait := v.Due.Sub(now); wait > 0 {
				next = min(next, wait)
				continue
			}
			if v.By != "" && v.By != s.process && !s.Alone && now.Before(v.Until) || !busy.take(e.Key) {
				continue // another process, or another goroutine, has it
			}
			select {
			case slots <- struct{}{}:
			default: // whoever is done wakes the loop
				busy.drop(e.Key)
				return next, nil
			}
			go func() {
				defer func() { busy.drop(e.Key); <-slots; s.wake() }()
				if err := s.carryOut(ctx, v); err != nil && ctx.Err() == nil {
					s.Log.Warn("a request to a function waits", "function", v.Function, "request", v.ID, "error", err)
				}
			}()
		}
	}
	return next, nil
}

// pauses of an event, by how often it has been tried.
var pauses = []time.Duration{time.Minute, 2 * time.Minute}

// eventSettings are the settings for requests that nobody waits for.
func (f *function) eventSettings(qualifier string) (retries int, age time.Duration, destinations object) {
	o := f.Events[eventKey(qualifier)]
	return o.Number("MaximumRetryAttempts", 2), time.Duration(o.Number("MaximumEventAgeInSeconds", 21600)) * time.Second, o.Inner("DestinationConfig")
}

// carryOut tries an event once. An error leaves it for later.
func (s *Service) carryOut(ctx context.Context, e event) error {
	w := which{e.Function, e.Qualifier}
	f, v, err := s.target(ctx, e.Region, w)
	if wire.CodeOf(err) == "ResourceNotFoundException" || err == nil && !f.Created.Equal(e.Created) {
		return s.forget(ctx, e)
	}
	if err != nil {
		return err
	}
	e, err = s.queue.Update(ctx, e.key(), func(now *event) error {
		if now.By != "" && now.By != s.process && !s.Alone && s.Now().Before(now.Until) {
			return problem.New(problem.Precondition, "lambda.event", "another control plane carries it out")
		}
		if now.Due.After(s.Now()) {
			return problem.New(problem.Precondition, "lambda.event", "it was tried meanwhile")
		}
		now.By, now.Until = s.process, s.Now().Add(v.timeout()+time.Minute)
		return nil
	})
	switch problem.CodeOf(err) {
	case "":
	case problem.NotFound, problem.Precondition:
		return nil
	default:
		return err
	}
	r, err := s.run(ctx, request{region: e.Region, f: &f, v: v, qualifier: e.Qualifier, id: e.ID, payload: e.Payload, clientContext: e.ClientContext, joins: e.key() + "/" + number(e.Tries) + "/" + number(e.Waits)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	retries, age, destinations := f.eventSettings(e.Qualifier)
	old := s.Now().Sub(e.Accepted)
	switch {
	case err == nil && !r.Failed:
		return s.done(ctx, e, &f, v, r, "Success", destinations.Inner("OnSuccess"))
	case err == nil && (e.Tries >= retries || e.Watched && hopeless(r.Payload)):
		return s.done(ctx, e, &f, v, r, "RetriesExhausted", destinations.Inner("OnFailure"))
	case old >= age:
		return s.done(ctx, e, &f, v, r, "EventAgeExceeded", destinations.Inner("OnFailure"))
	case err == nil:
		return s.later(ctx, e, func(e *event) {
			e.Due = s.Now().Add(pauses[min(e.Tries, len(pauses)-1)])
			e.Tries++
			e.Waits = 0
		})
	}
	return s.later(ctx, e, func(e *event) { // it did not run: as often as it takes, less and less often
		e.Due = s.Now().Add(min(time.Second<<min(e.Waits, 8), 5*time.Minute))
		e.Waits++
	})
}

// later puts an event back.
func (s *Service) later(ctx context.Context, e event, how func(*event)) error {
	_, err := s.queue.Update(ctx, e.key(), func(now *event) error {
		how(now)
		now.By, now.Until = "", time.Time{}
		return nil
	})
	return err
}

// forget removes an event that was carried out.
func (s *Service) forget(ctx context.Context, e event) error {
	err := s.queue.Delete(ctx, e.key(), nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return err
}

// endedKept is how long a request that has failed is kept for the service that sent it.
const endedKept = 24 * time.Hour

// hopeless says whether a function failed because its code cannot be loaded.
func hopeless(payload []byte) bool {
	var said struct{ ErrorType string }
	_ = json.Unmarshal(payload, &said) // what is no object says nothing
	return slices.Contains([]string{"Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError", "Runtime.MalformedHandlerName", "Runtime.InvalidEntrypoint"}, said.ErrorType)
}

// Failed says of a request that another service here has sent with a token whether it
// has failed for good, and why.
func (s *Service) Failed(ctx context.Context, region, token string) (why string, failed bool, err error) {
	e, err := s.queue.Get(ctx, event{ID: token, Region: region}.key())
	if problem.CodeOf(err) == problem.NotFound {
		return "", false, nil
	}
	return e.Why, !e.Ended.IsZero(), err
}

// done tells an event's destination, if there is one, and removes it.
func (s *Service) done(ctx context.Context, e event, f *function, v *version, r outcome, condition string, destination object) error {
	if e.Watched && condition != "Success" {
		_, err := s.queue.Update(ctx, e.key(), func(e *event) error {
			e.Ended, e.Why, e.Payload = s.Now().UTC(), condition+" "+string(r.Payload), nil
			return nil
		})
		return err
	}
	if arn := destination.Text("Destination"); arn != "" && e.Depth < 16 {
		if err := s.tell(ctx, e, f, v, r, condition, arn); err != nil {
			return err
		}
	}
	return s.forget(ctx, e)
}

// tell asks the function that is a destination.
func (s *Service) tell(ctx context.Context, e event, f *function, v *version, r outcome, condition, arn string) error {
	w, err := s.which(&wire.Call{Region: e.Region, Account: s.Account}, arn, "")
	if err != nil {
		return err
	}
	to, err := s.load(ctx, e.Region, w)
	if wire.CodeOf(err) == "ResourceNotFoundException" {
		s.Log.Warn("the destination of a function's requests is not there", "function", e.Function, "destination", arn)
		return nil
	}
	if err != nil {
		return err
	}
	response := object{"statusCode": 200, "executedVersion": v.Number}
	if r.Failed {
		response["functionError"] = "Unhandled"
	}
	record := object{
		"version": "1.0", "timestamp": s.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext":  object{"requestId": e.ID, "functionArn": s.arn(e.Region, f.Name, v.Number), "condition": condition, "approximateInvokeCount": e.Tries + 1},
		"requestPayload":  json.RawMessage(e.Payload),
		"responseContext": response, "responsePayload": orNull(r.Payload),
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	// The same event tells its destination once, whatever dies in between.
	return s.accept(ctx, e.Region, event{ID: derived(e.ID, condition), Function: w.name, Created: to.Created, Qualifier: w.qualifier, Payload: text, Depth: e.Depth + 1})
}

func orNull(payload []byte) json.RawMessage {
	if !json.Valid(payload) {
		return json.RawMessage("null")
	}
	return payload
}
