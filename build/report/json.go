package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

func cucumber(r io.Reader) ([]Case, error) {
	type step struct {
		Name   string `json:"name"`
		Result struct {
			Status   string  `json:"status"`
			Duration float64 `json:"duration"` // nanoseconds
			Message  string  `json:"error_message"`
		} `json:"result"`
	}
	var features []struct {
		Name     string `json:"name"`
		URI      string `json:"uri"`
		Elements []struct {
			Name   string `json:"name"`
			Type   string `json:"type"`
			Before []step `json:"before"`
			Steps  []step `json:"steps"`
			After  []step `json:"after"`
		} `json:"elements"`
	}
	if err := json.NewDecoder(r).Decode(&features); err != nil {
		return nil, err
	}
	var cases []Case
	for _, f := range features {
		for _, e := range f.Elements {
			if e.Type == "background" {
				continue
			}
			c := Case{Suite: cmp.Or(f.Name, f.URI), Name: e.Name, Status: Succeeded}
			for _, steps := range [][]step{e.Before, e.Steps, e.After} {
				for _, s := range steps {
					c.DurationMs += s.Result.Duration / 1e6
					status := cucumberStatus(s.Result.Status)
					if worse(status, c.Status) {
						c.Status = status
						c.Message = shorten(cmp.Or(s.Result.Message, s.Name))
					}
				}
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

func cucumberStatus(s string) Status {
	switch s {
	case "passed":
		return Succeeded
	case "failed":
		return Failed
	case "ambiguous":
		return Errored
	case "skipped", "pending":
		return Skipped
	}
	return Unknown
}

// worse orders statuses: what went wrong says more than what did not run.
func worse(a, b Status) bool {
	rank := map[Status]int{Succeeded: 0, Skipped: 1, Unknown: 2, Errored: 3, Failed: 4}
	return rank[a] > rank[b]
}

// simpleCov reads .resultset.json: by suite, by file, hits by line (null for
// lines that cannot run), in its old and its new form.
func simpleCov(r io.Reader) (Lines, error) {
	var suites map[string]json.RawMessage
	if err := json.NewDecoder(r).Decode(&suites); err != nil {
		return Lines{}, err
	}
	files := map[string][]*float64{}
	branches := map[string]map[string]float64{}
	found := false
	read := func(raw json.RawMessage) error {
		var coverage map[string]json.RawMessage
		if err := json.Unmarshal(raw, &coverage); err != nil {
			return err
		}
		found = true
		for name, data := range coverage {
			if err := addFile(files, branches, name, data); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	for name, raw := range suites {
		if name == "coverage" { // the JSON formatter's form has one suite without a name
			if err := read(raw); err != nil {
				return Lines{}, err
			}
			continue
		}
		var suite struct {
			Coverage json.RawMessage `json:"coverage"`
		}
		if json.Unmarshal(raw, &suite) == nil && suite.Coverage != nil {
			if err := read(suite.Coverage); err != nil {
				return Lines{}, err
			}
		}
	}
	if !found {
		return Lines{}, errors.New("it has no coverage")
	}
	var lines Lines
	for _, hits := range files {
		for _, h := range hits {
			if h != nil {
				lines.LinesTotal++
				if *h > 0 {
					lines.LinesCovered++
				}
			}
		}
	}
	for _, of := range branches {
		for _, h := range of {
			lines.BranchesTotal++
			if h > 0 {
				lines.BranchesCovered++
			}
		}
	}
	return lines, nil
}

// addFile adds one file's hits to those of other suites.
func addFile(files map[string][]*float64, branches map[string]map[string]float64, name string, data json.RawMessage) error {
	var hits []any
	if err := json.Unmarshal(data, &hits); err != nil {
		var file struct {
			Lines    []any                         `json:"lines"`
			Branches map[string]map[string]float64 `json:"branches"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			return err
		}
		hits = file.Lines
		for condition, arms := range file.Branches {
			for arm, n := range arms {
				if branches[name] == nil {
					branches[name] = map[string]float64{}
				}
				branches[name][condition+arm] += n
			}
		}
	}
	sum := files[name]
	for i, h := range hits {
		if i >= len(sum) {
			sum = append(sum, nil)
		}
		if n, ok := h.(float64); ok {
			if sum[i] != nil {
				n += *sum[i]
			}
			sum[i] = &n
		}
	}
	files[name] = sum
	return nil
}
