package toolkit

import (
	"bytes"
	"context"
	_ "embed" // the program below
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// program calls one function, or says which of many cannot be called; it is our own,
// and runs in the user's Python.
//
//go:embed python.py
var program string

type python struct {
	module, function string
	arguments        any
	secrets          any
	timeout          any
	place            string
}

func (r *reader) pythonProvider(m map[string]any, place string) provider {
	p := &python{module: r.text(m, place, "module"), function: r.text(m, place, "func"),
		arguments: m["arguments"], secrets: m["secrets"], timeout: m["timeout"], place: place}
	if m["arguments"] != nil {
		r.object(m, place, "arguments")
	}
	if p.module != "" && p.function != "" {
		r.functions = append(r.functions, p)
	}
	return p
}

// question is what the program reads.
type question struct {
	Check         []wanted       `json:"check,omitempty"`
	Module        string         `json:"module,omitempty"`
	Function      string         `json:"func,omitempty"`
	Arguments     any            `json:"arguments,omitempty"`
	Configuration map[string]any `json:"configuration,omitempty"`
	Secrets       map[string]any `json:"secrets,omitempty"`
}

type wanted struct {
	Module    string   `json:"module"`
	Function  string   `json:"func"`
	Arguments []string `json:"arguments"`
}

// reply is what it writes.
type reply struct {
	Problems []string `json:"problems"`
	Output   any      `json:"output"`
	Failed   string   `json:"failed"`
}

// checkLimit bounds the imports of all modules.
const checkLimit = time.Minute

// packages says what to install for the modules of public extensions.
var packages = map[string]string{
	"chaosaddons": "chaostoolkit-addons", "chaosaws": "chaostoolkit-aws", "chaosazure": "chaostoolkit-azure",
	"chaoscf": "chaostoolkit-cloud-foundry", "chaosdatadog": "chaostoolkit-datadog", "chaosdynatrace": "chaostoolkit-dynatrace",
	"chaosgcp": "chaostoolkit-google-cloud-platform", "chaosgrafana": "chaostoolkit-grafana", "chaosgremlin": "chaostoolkit-gremlin",
	"chaosistio": "chaostoolkit-istio", "chaosk8s": "chaostoolkit-kubernetes", "chaoslib": "chaostoolkit-lib",
	"chaosoci": "chaostoolkit-oci", "chaosprometheus": "chaostoolkit-prometheus", "chaosreliably": "chaostoolkit-reliably", "chaosservicefabric": "chaostoolkit-service-fabric", "chaosslack": "chaostoolkit-slack",
	"chaosspring": "chaostoolkit-spring", "chaostoxi": "chaostoolkit-toxiproxy", "chaoswm": "chaostoolkit-wiremock",
}

// checkFunctions asks Python which functions are not there, or lack an argument.
func (r *reader) checkFunctions(ctx context.Context, o Options) {
	if len(r.functions) == 0 {
		return
	}
	if _, err := exec.LookPath("python3"); err != nil {
		for _, p := range r.functions {
			r.problem(p.place, "install Python 3 and the module", "python3 is not there, which calls %s.%s", p.module, p.function)
		}
		return
	}
	q := question{}
	for _, p := range r.functions {
		w := wanted{Module: p.module, Function: p.function, Arguments: []string{}}
		if m, ok := p.arguments.(map[string]any); ok {
			for k := range m {
				w.Arguments = append(w.Arguments, k)
			}
		}
		if strings.Contains(p.place, ".tolerance.") {
			w.Arguments = append(w.Arguments, "value")
		}
		q.Check = append(q.Check, w)
	}
	ctx, stop := context.WithTimeout(ctx, checkLimit)
	defer stop()
	answer, err := ask(ctx, o, q)
	if err != nil || len(answer.Problems) != len(r.functions) {
		r.problem("", "", "Python cannot say whether its functions are there: %v", err)
		return
	}
	for i, p := range r.functions {
		if why := answer.Problems[i]; why != "" {
			help := ""
			if name := packages[strings.Split(p.module, ".")[0]]; name != "" && strings.Contains(why, "module") {
				help = "pip install " + name
			}
			r.problem(p.place, help, "%s", why)
		}
	}
}

func (p *python) call(ctx context.Context, run *runner, extra map[string]any) (any, error) {
	ctx, stop := within(ctx, run.values.substitute(p.timeout))
	defer stop()
	q := question{Module: p.module, Function: p.function, Configuration: run.values.configuration,
		Arguments: merged(run.values.substitute(p.arguments), extra), Secrets: map[string]any{}}
	targets := []any{}
	switch s := p.secrets.(type) {
	case string:
		targets = append(targets, s)
	case []any:
		targets = s
	}
	for _, t := range targets { // a single target's secrets come without its name
		for name, v := range run.values.secrets[plain(t)] {
			q.Secrets[name] = v
		}
	}
	answer, err := ask(ctx, run.options, q)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errors.New("the function did not return within the time that the activity gives")
	case err != nil:
		return nil, err
	case answer.Failed != "":
		return nil, errors.New(answer.Failed)
	}
	return whole(answer.Output), nil
}

// ask runs the program once. Its answer comes on a descriptor of its own, since a
// function may print.
func ask(ctx context.Context, o Options, q question) (reply, error) {
	var out reply
	text, err := json.Marshal(q)
	if err != nil {
		return out, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return out, err
	}
	defer read.Close()
	cmd := exec.CommandContext(ctx, "python3", "-c", program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles, cmd.Dir, cmd.Env = bytes.NewReader(text), &stderr, []*os.File{write}, o.Dir, o.environ()
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		write.Close()
		return out, err
	}
	write.Close()
	decoded := json.NewDecoder(read).Decode(&out)
	err = cmd.Wait()
	if decoded == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return out, fmt.Errorf("python3 gave no answer (%v): %s", err, lines[len(lines)-1])
}

func (*python) configured(output any) any { return output }
