package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// noise makes a service with the errors and latencies of a real one: ERRORS is the share
// of requests that fail, which swings within PERIOD by the clock of all instances; LATENCY is
// the median time of an answer, which varies by a lognormal distribution.
type noise struct {
	errors  float64
	latency time.Duration
	period  time.Duration // of the swing
}

const (
	errorSwing    = 0.8 // of the share
	defaultPeriod = 40 * time.Second
	spread        = 0.6 // deviation of the logarithm of the latency
)

// newNoise reads the environment: without ERRORS and LATENCY there is no noise.
func newNoise() (noise, error) {
	n := noise{period: defaultPeriod}
	var err error
	if text := os.Getenv("ERRORS"); text != "" {
		if n.errors, err = strconv.ParseFloat(text, 64); err != nil {
			return n, fmt.Errorf("ERRORS: %w", err)
		}
	}
	if text := os.Getenv("LATENCY"); text != "" {
		if n.latency, err = time.ParseDuration(text); err != nil {
			return n, fmt.Errorf("LATENCY: %w", err)
		}
	}
	if text := os.Getenv("PERIOD"); text != "" {
		if n.period, err = time.ParseDuration(text); err != nil || n.period <= 0 {
			return n, fmt.Errorf("PERIOD is %q, not a time above zero", text)
		}
	}
	return n, nil
}

// disturb waits for the latency, and says whether the request fails.
func (n noise) disturb(r *http.Request) (fails bool) {
	if n.latency > 0 {
		wait := time.NewTimer(time.Duration(float64(n.latency) * math.Exp(spread*rand.NormFloat64())))
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
	}
	phase := 2 * math.Pi * float64(time.Now().UnixNano()) / float64(n.period)
	return rand.Float64() < n.errors*(1+errorSwing*math.Sin(phase))
}
