// Package aws compares the AWS-compatible endpoint of `showrunner up` with moto,
// in turns and on one machine: how many PutMetricData and PutRecords requests
// each answers a second, and, step by step, which of the article's commands each
// answers and which of them really happen.
//
//	make build && cd bench && go run ./peers aws -showrunner ../bin/showrunner
//
// The requests are those of the aws command: JSON, signed, over kept connections.
// moto is the moto_server of the PATH. Nothing leaves this machine.
package aws

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"showrunner/bench/command"
)

// Main runs the benchmark with the arguments of its part of the command line. It
// exits with 1 when a step did not happen on our side, and with 2 on an error.
func Main(args []string) {
	flags := flag.NewFlagSet("peers aws", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	parts := flags.String("parts", "steps,puts", "what to compare")
	rounds := flags.Int("rounds", 3, "rounds of each request at each endpoint, in turns")
	last := flags.Duration("last", 4*time.Second, "how long a round lasts")
	clients := flags.Int("clients", 16, "requests under way at once")
	asJSON := flags.Bool("json", false, "print the figures as JSON")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	f, err := measure(ctx, *exe, strings.Split(*parts, ","), load{*rounds, *last, *clients})
	if err != nil {
		fmt.Fprintln(os.Stderr, "aws:", err)
		os.Exit(2)
	}
	if *asJSON {
		err = json.NewEncoder(os.Stdout).Encode(f)
	} else {
		f.print(os.Stdout)
	}
	if err != nil || f.missed() {
		os.Exit(1)
	}
}

// figures are the result.
type figures struct {
	Puts  []put  `json:"puts"`
	Steps []step `json:"steps"`
}

// put compares one request.
type put struct {
	Request string  `json:"request"`
	Ours    rate    `json:"ours"`
	Moto    rate    `json:"moto"`
	Ratio   float64 `json:"ratio"` // ours by moto's, requests a second
}

// rate is the median of the rounds.
type rate struct {
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
}

// step compares one step of the article.
type step struct {
	Name string  `json:"name"`
	Ours outcome `json:"ours"`
	Moto outcome `json:"moto"`
}

// outcome is what became of a step: whether the command was answered without an
// error, perhaps once a template and subnets had been made for it, whether what it
// says happened, and after how long since it was typed.
type outcome struct {
	Answered bool          `json:"answered"`
	Prepared bool          `json:"prepared,omitempty"` // but only once what it needs had been made
	Happened bool          `json:"happened"`
	After    time.Duration `json:"after,omitempty"`
	Said     string        `json:"said,omitempty"` // the error, when it was not answered as typed
}

func measure(ctx context.Context, exe string, parts []string, l load) (*figures, error) {
	dir, err := os.MkdirTemp("", "showrunner-peers-aws")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ours, err := startOurs(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	moto, err := startMoto(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer moto.stop()
	f := &figures{}
	for _, part := range parts {
		switch part {
		case "steps":
			f.Steps, err = takeSteps(ctx, dir, ours, moto)
		case "puts":
			f.Puts, err = comparePuts(ctx, l, ours, moto)
		default:
			err = fmt.Errorf("there is no part %q: steps, puts", part)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *figures) missed() bool {
	for _, s := range f.Steps {
		if !s.Ours.Happened {
			return true
		}
	}
	return false
}

func (f *figures) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(f.Steps) > 0 {
		f.printSteps(w, t)
	}
	if len(f.Puts) > 0 {
		fmt.Fprintln(t, "REQUEST\tSHOWRUNNER/S\tP50\tP99\tMOTO/S\tP50\tP99\tRATIO")
		for _, p := range f.Puts {
			fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%.0f\t%s\t%s\t%.1f\n", p.Request, p.Ours.PerSecond, ms(p.Ours.P50), ms(p.Ours.P99), p.Moto.PerSecond, ms(p.Moto.P50), ms(p.Moto.P99), p.Ratio)
		}
		t.Flush()
	}
}

func (f *figures) printSteps(w io.Writer, t *tabwriter.Writer) {
	fmt.Fprintln(t, "STEP\tSHOWRUNNER\tHAPPENED\tMOTO\tHAPPENED")
	for _, s := range f.Steps {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Ours.answer(), s.Ours.event(), s.Moto.answer(), s.Moto.event())
	}
	t.Flush()
	for _, s := range f.Steps {
		if s.Ours.Said != "" {
			fmt.Fprintf(w, "%s, here: %s\n", s.Name, s.Ours.Said)
		}
		if s.Moto.Said != "" {
			fmt.Fprintf(w, "%s, moto: %s\n", s.Name, s.Moto.Said)
		}
	}
	fmt.Fprintln(w)
}

func (o outcome) answer() string {
	switch {
	case o.Prepared:
		return "prepared"
	case o.Answered:
		return "answered"
	}
	return "error"
}

func (o outcome) event() string {
	if !o.Happened {
		return "no"
	}
	return fmt.Sprintf("after %.1f s", o.After.Seconds())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
